-- Makes the view customers_360; sinks/traits.py adds a column for each declared trait.
CREATE OR REPLACE VIEW customers_360
(
    customer_id String COMMENT 'id of the customer',
    first_seen DateTime64(6, 'UTC') COMMENT 'time of the first event',
    last_seen DateTime64(6, 'UTC') COMMENT 'time of the newest event',
    first_order Nullable(DateTime64(6, 'UTC')) COMMENT 'time of the first order',
    last_order Nullable(DateTime64(6, 'UTC')) COMMENT 'time of the newest order',
    events UInt64 COMMENT 'number of events',
    orders UInt64 COMMENT 'number of orders',
    items UInt64 COMMENT 'items in these orders',
    revenue Decimal(18, 4) COMMENT 'worth of the orders, in the base currency',
    refunded Decimal(18, 4) COMMENT 'what was paid back, in the base currency',
    currency LowCardinality(String) COMMENT 'the base currency, ISO 4217; empty while it is undecided',
    cancelled UInt64 COMMENT 'number of cancelled orders',
    mean_gap_days Nullable(Float64) COMMENT 'mean number of days between orders',
    web_events UInt64 COMMENT 'number of web events',
    sessions UInt64 COMMENT 'number of visits',
    product_views UInt64 COMMENT 'events Product Viewed',
    carts UInt64 COMMENT 'events Product Added',
    checkouts UInt64 COMMENT 'events Checkout Started',
    tickets UInt64 COMMENT 'tickets opened',
    tickets_solved UInt64 COMMENT 'tickets solved',
    satisfaction Nullable(Float64) COMMENT 'mean of the ratings, 1 to 5',
    segment LowCardinality(String) COMMENT 'segment at the newest sweep; empty of customers who were not in it',
    lifecycle LowCardinality(String) COMMENT 'lifecycle at the newest sweep',
    probability Map(String, Float64) COMMENT 'probability by outcome at the newest sweep, 0 to 1',
    percentile Map(String, Float32) COMMENT 'per cent of customers with a lower score, by outcome',
    scored_at Nullable(DateTime('UTC')) COMMENT 'the newest sweep with this customer'/* columns */
)
AS
WITH
    (SELECT max(as_of) FROM customer_daily) AS _last_sweep,
    (SELECT max(as_of) FROM customer_daily WHERE as_of < _last_sweep) AS _sweep_before
SELECT
    _people.customer_id AS customer_id, first_seen, last_seen, first_order, last_order, events, orders, items, revenue,
    refunded, currency, cancelled, mean_gap_days, web_events, sessions, product_views, carts, checkouts, tickets,
    tickets_solved, satisfaction, segment, lifecycle, probability, percentile,
    nullIf(scored_at, toDateTime(0, 'UTC')) AS scored_at/* values */
FROM
(
    SELECT
        customer_id, first_seen, last_seen, first_order, last_order, events, orders, items, revenue, refunded, currency, cancelled,
        mean_gap_days, web_events, sessions, product_views, carts, checkouts, tickets, tickets_solved, satisfaction
    FROM customers FINAL
    WHERE merged_into = '' AND NOT startsWith(customer_id, 'anonymous:') AND NOT startsWith(customer_id, 'email:')
) AS _people
LEFT JOIN
(
    SELECT
        customer_id,
        argMax(customer_daily.segment, (as_of, version)) AS segment,
        argMax(customer_daily.lifecycle, (as_of, version)) AS lifecycle,
        argMax(customer_daily.probability, (as_of, version)) AS probability,
        argMax(customer_daily.percentile, (as_of, version)) AS percentile,
        max(as_of) AS scored_at
    FROM customer_daily
    WHERE as_of IN (_last_sweep, _sweep_before)
    GROUP BY customer_id
) AS _scores ON _scores.customer_id = _people.customer_id
LEFT JOIN
(
    SELECT customer_id, CAST((groupArray(toString(trait)), groupArray(json)), 'Map(String, String)') AS _set
    FROM customer_traits
    GROUP BY customer_id
) AS _traits ON _traits.customer_id = _people.customer_id
SETTINGS join_use_nulls = 0
