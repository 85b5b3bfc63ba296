-- probability and percentile are maps from outcome to figure. Their keys are plain strings: with LowCardinality keys
-- inserts take three times as long.

-- customer_daily: every customer as of every sweep. version is larger for what is newer. The features are what the
-- models saw.
CREATE TABLE IF NOT EXISTS customer_daily
(
    as_of DateTime('UTC'),
    customer_id String,
    version UInt64,
    segment LowCardinality(String),
    lifecycle LowCardinality(String),
    model_version LowCardinality(String),
    probability Map(String, Float64),
    percentile Map(String, Float32),
    log_days_since_order Float32,
    log_days_since_seen Float32,
    log_tenure_days Float32,
    log_orders Float32,
    log_mean_gap_days Float32,
    log_overdue Float32,
    gap_spread Float32,
    log_revenue Float32,
    log_average_order Float32,
    log_orders_7d Float32,
    log_orders_30d Float32,
    log_orders_90d Float32,
    log_web_7d Float32,
    log_web_30d Float32,
    log_web_90d Float32,
    log_tickets_30d Float32,
    satisfaction Float32,
    refund_rate Float32,
    conversion Float32,
    log_carts Float32
)
ENGINE = ReplacingMergeTree
ORDER BY (as_of, customer_id);

-- score_changes: what events made of a customer's scores between two sweeps, with the reason per outcome.
CREATE TABLE IF NOT EXISTS score_changes
(
    customer_id String,
    version UInt64,
    as_of DateTime64(6, 'UTC'),
    segment LowCardinality(String),
    lifecycle LowCardinality(String),
    model_version LowCardinality(String),
    probability Map(String, Float64),
    percentile Map(String, Float32),
    reasons Map(String, String)
)
ENGINE = ReplacingMergeTree
ORDER BY (customer_id, version);

-- newest_scores: the newest scores of each customer, from either table. It needs no FINAL.
CREATE VIEW IF NOT EXISTS newest_scores AS
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
)
GROUP BY customer_id;
