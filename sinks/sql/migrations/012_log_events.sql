-- What a rebuild from the warehouse needs (`crmstream rebuild --from-warehouse`): records in the order of the log.

-- log_clocks: the records at which the clock of a topic-partition entered a slot (a day), events and ticks, with the clock
-- after them. Facts hold no ticks; with these rows a rebuild finds each event in the slot in which it counted.
CREATE TABLE IF NOT EXISTS log_clocks
(
    topic LowCardinality(String),
    log_partition UInt16,
    log_offset UInt64,
    clock DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree
ORDER BY (topic, log_partition, log_offset);

-- log_events: every record of an event that became a fact, also those that a later record of the same event replaced in
-- the fact tables: profiles count the first one. properties is '{}' for web events, whose properties do not count.
-- ClickHouse fills the table from inserts into the fact tables. Whoever deletes facts deletes them here too.
CREATE TABLE IF NOT EXISTS log_events
(
    kind LowCardinality(String),
    log_partition UInt16,
    log_offset UInt64 CODEC(Delta, LZ4),
    event_id String CODEC(ZSTD(1)),
    name LowCardinality(String),
    customer_id String CODEC(ZSTD(1)),
    anonymous_id String CODEC(ZSTD(1)),
    occurred_at DateTime64(6, 'UTC') CODEC(Delta, LZ4),
    received_at DateTime64(6, 'UTC') CODEC(Delta, LZ4),
    properties String CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (kind, log_partition, log_offset);
CREATE MATERIALIZED VIEW IF NOT EXISTS log_events_of_web_events TO log_events AS SELECT 'web' AS kind, log_partition, log_offset, event_id, name, customer_id, anonymous_id, occurred_at, received_at, '{}' AS properties FROM web_events;
CREATE MATERIALIZED VIEW IF NOT EXISTS log_events_of_transactions TO log_events AS SELECT 'transaction' AS kind, log_partition, log_offset, event_id, name, customer_id, anonymous_id, occurred_at, received_at, properties FROM transactions;
CREATE MATERIALIZED VIEW IF NOT EXISTS log_events_of_service_events TO log_events AS SELECT 'service' AS kind, log_partition, log_offset, event_id, name, customer_id, anonymous_id, occurred_at, received_at, properties FROM service_events;
CREATE MATERIALIZED VIEW IF NOT EXISTS log_events_of_identity_events TO log_events AS SELECT 'identity' AS kind, log_partition, log_offset, event_id, name, customer_id, anonymous_id, occurred_at, received_at, properties FROM identity_events;

-- Older facts: of an event with several records the newest is left.
INSERT INTO log_events SELECT 'web', log_partition, log_offset, event_id, name, customer_id, anonymous_id, occurred_at, received_at, '{}' FROM web_events SETTINGS max_threads = 1, max_insert_threads = 1, min_insert_block_size_bytes = 67108864;
INSERT INTO log_events SELECT 'transaction', log_partition, log_offset, event_id, name, customer_id, anonymous_id, occurred_at, received_at, properties FROM transactions SETTINGS max_threads = 1, max_insert_threads = 1, min_insert_block_size_bytes = 67108864;
INSERT INTO log_events SELECT 'service', log_partition, log_offset, event_id, name, customer_id, anonymous_id, occurred_at, received_at, properties FROM service_events SETTINGS max_threads = 1, max_insert_threads = 1, min_insert_block_size_bytes = 67108864;
INSERT INTO log_events SELECT 'identity', log_partition, log_offset, event_id, name, customer_id, anonymous_id, occurred_at, received_at, properties FROM identity_events SETTINGS max_threads = 1, max_insert_threads = 1, min_insert_block_size_bytes = 67108864;
