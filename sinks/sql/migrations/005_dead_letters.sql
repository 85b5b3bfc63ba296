-- dead_letters: every record that was no event, known by its place in the log. key and body are the bytes as they came,
-- which need not be text; field and reason say what is wrong with them.
CREATE TABLE IF NOT EXISTS dead_letters
(
    topic LowCardinality(String),
    log_partition UInt16,
    log_offset UInt64,
    entered_at DateTime64(3, 'UTC'),
    stage LowCardinality(String),
    field String,
    reason String,
    error LowCardinality(String),
    key String,
    body String CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (topic, log_partition, log_offset);
