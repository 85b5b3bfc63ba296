-- A copy of what profiles need of the facts, in the order of the log, for a rebuild from the warehouse.
CREATE TABLE {table:Identifier}
(
    kind LowCardinality(String),
    log_partition UInt16,
    log_offset UInt64,
    event_id String,
    name String,
    customer_id String,
    anonymous_id String,
    occurred Int64,
    received Int64,
    properties String CODEC(ZSTD(1))
)
ENGINE = MergeTree
ORDER BY (kind, log_partition, log_offset)
