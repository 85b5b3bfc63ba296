-- customers: the newest profile of each customer and visitor; the row with the largest version wins (read with FINAL).
-- The table is made anew and fills as the log is read again, which this version does once: its profiles have other
-- columns. merged_into is the customer into whose profile a visitor's went; such a row holds nothing else any more.
-- Money is in currency, the base currency ('' while it is undecided). satisfaction is the mean of the ratings, 1 to 5.
-- mean_gap_days is the mean number of days between orders. *_7d, *_30d and *_90d are decayed as of decayed_at: an event
-- weighs 1/e after so many days.
CREATE OR REPLACE TABLE customers
(
    customer_id String,
    version UInt64,
    merged_into String,
    first_seen DateTime64(6, 'UTC'),
    last_seen DateTime64(6, 'UTC'),
    first_order Nullable(DateTime64(6, 'UTC')),
    last_order Nullable(DateTime64(6, 'UTC')),
    last_refund Nullable(DateTime64(6, 'UTC')),
    last_web Nullable(DateTime64(6, 'UTC')),
    last_session Nullable(DateTime64(6, 'UTC')),
    last_view Nullable(DateTime64(6, 'UTC')),
    last_cart Nullable(DateTime64(6, 'UTC')),
    last_checkout Nullable(DateTime64(6, 'UTC')),
    last_ticket Nullable(DateTime64(6, 'UTC')),
    events UInt64,
    orders UInt64,
    items UInt64,
    revenue Decimal(18, 4),
    refunds UInt64,
    refunded Decimal(18, 4),
    currency LowCardinality(String),
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
    satisfaction Nullable(Float64),
    mean_gap_days Nullable(Float64),
    decayed_at DateTime('UTC'),
    orders_7d Float64,
    orders_30d Float64,
    orders_90d Float64,
    web_7d Float64,
    web_30d Float64,
    web_90d Float64,
    tickets_30d Float64,
    revenue_90d Float64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY customer_id;

-- customer_daily: reasons holds per outcome the numbers of the features that moved the score most, strongest first and
-- counted from 1; a negative number lowers the score. The view daily_reasons names them.
ALTER TABLE customer_daily ADD COLUMN IF NOT EXISTS reasons Map(String, Array(Int8)) AFTER percentile;

-- newest_scores: the newest scores of each customer, from either table. It needs no FINAL. Visitors are not in it.
CREATE OR REPLACE VIEW newest_scores AS
SELECT
    customer_id,
    max(row_version) AS version,
    argMax(row_as_of, row_version) AS as_of,
    argMax(row_segment, row_version) AS segment,
    argMax(row_lifecycle, row_version) AS lifecycle,
    argMax(row_model_version, row_version) AS model_version,
    argMax(row_probability, row_version) AS probability,
    argMax(row_percentile, row_version) AS percentile
FROM
(
    SELECT
        customer_id,
        version AS row_version,
        toDateTime64(as_of, 6, 'UTC') AS row_as_of,
        segment AS row_segment,
        lifecycle AS row_lifecycle,
        model_version AS row_model_version,
        probability AS row_probability,
        percentile AS row_percentile
    FROM customer_daily
    UNION ALL
    SELECT customer_id, version, as_of, segment, lifecycle, model_version, probability, percentile
    FROM score_changes
    WHERE NOT startsWith(customer_id, 'anonymous:') AND NOT startsWith(customer_id, 'email:')
)
GROUP BY customer_id;

-- daily_reasons: the reasons of customer_daily in words, such as "+ log_carts". It keeps one row per customer and sweep.
CREATE OR REPLACE VIEW daily_reasons AS
SELECT
    as_of,
    customer_id,
    mapApply(
        (outcome, numbers) -> (outcome, arrayMap(
            number -> concat(if(number > 0, '+ ', '- '), [
                'log_days_since_order', 'log_days_since_seen', 'log_tenure_days', 'log_orders', 'log_mean_gap_days',
                'log_overdue', 'gap_spread', 'log_revenue', 'log_average_order', 'log_orders_7d', 'log_orders_30d',
                'log_orders_90d', 'log_web_7d', 'log_web_30d', 'log_web_90d', 'log_tickets_30d', 'satisfaction',
                'refund_rate', 'conversion', 'log_carts'
            ][abs(number)]),
            numbers)),
        reasons) AS reasons
FROM customer_daily FINAL;
