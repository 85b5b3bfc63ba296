-- identity_links: every decision about who is whom. identity is a visitor (anonymous:<id>) or an e-mail address
-- (email:<hash>), person the customer; outcome is linked, or why not. decided_at is the sweep from which on it counts.
CREATE TABLE IF NOT EXISTS identity_links
(
    identity String,
    person String,
    outcome LowCardinality(String),
    occurred_at DateTime64(6, 'UTC'),
    decided_at DateTime('UTC')
)
ENGINE = ReplacingMergeTree(decided_at)
ORDER BY (identity, person);

-- customers: whom a visitor turned out to be; empty of all others. Such a row holds nothing else any more.
ALTER TABLE customers ADD COLUMN IF NOT EXISTS merged_into String DEFAULT '';

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
    WHERE NOT startsWith(customer_id, 'anonymous:')
)
GROUP BY customer_id;
