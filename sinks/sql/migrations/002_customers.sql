-- customers: the newest profile of each customer; the row with the largest version wins (read with FINAL).
-- revenue and refunded are in the base currency. gap_count and gap_sum_squares tell of the
-- gaps between a customer's orders: how many, and the sum of their squares in whole hours. *_7d, *_30d and *_90d are
-- counts that decay with that time constant, in units of 2^-20; revenue_90d likewise, in 1/10,000 of the currency.
CREATE TABLE IF NOT EXISTS customers
(
    customer_id String,
    version UInt64,
    first_seen DateTime64(6, 'UTC'),
    last_seen DateTime64(6, 'UTC'),
    first_order Nullable(DateTime64(6, 'UTC')),
    last_order Nullable(DateTime64(6, 'UTC')),
    last_web Nullable(DateTime64(6, 'UTC')),
    last_ticket Nullable(DateTime64(6, 'UTC')),
    events UInt64,
    orders UInt64,
    items UInt64,
    revenue Decimal(18, 4),
    refunds UInt64,
    refunded Decimal(18, 4),
    cancelled UInt64,
    web_events UInt64,
    sessions UInt64,
    product_views UInt64,
    carts UInt64,
    cart_views UInt64,
    checkouts UInt64,
    service_events UInt64,
    tickets UInt64,
    tickets_solved UInt64,
    satisfaction_count UInt64,
    satisfaction_sum Decimal(18, 4),
    gap_count UInt64,
    gap_sum_squares UInt64,
    orders_7d Int64,
    orders_30d Int64,
    orders_90d Int64,
    web_7d Int64,
    web_30d Int64,
    web_90d Int64,
    tickets_30d Int64,
    revenue_90d Int64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY customer_id;
