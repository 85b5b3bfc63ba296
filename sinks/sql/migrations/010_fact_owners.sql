-- Other keys need new tables, because ClickHouse cannot change a key in place: create a table, copy the rows, exchange the
-- two, drop the old one. {run} is unique to each run (sinks/migrations.py): until the exchange a run writes only to its own
-- copy, so a migration that died runs again from its start. Rows are copied in blocks of about 64 MiB.

-- Facts: one row per event, known by its customer (else its visitor) and event id. Of several records of an event the one
-- with the newest received_at wins, which is how an order changes its status; of those with the same, the one that stands
-- first in the log, so a history that is published again changes no row. precedence is made of the two. visitor is the
-- anonymous id of an event without a customer_id, else ''.

CREATE TABLE web_events_new_{run}
(
    event_id String,
    name LowCardinality(String),
    customer_id String,
    anonymous_id String,
    occurred_at DateTime64(6, 'UTC'),
    received_at DateTime64(6, 'UTC'),
    source LowCardinality(String),
    properties String CODEC(ZSTD(1)),
    schema_version UInt8,
    is_late UInt8,
    log_partition UInt16,
    log_offset UInt64,
    session_id String,
    url String CODEC(ZSTD(1)),
    product_id String,
    visitor String MATERIALIZED if(customer_id = '', anonymous_id, ''),
    precedence UInt128 MATERIALIZED bitShiftLeft(toUInt128(toUnixTimestamp64Micro(received_at)), 64) + bitNot(bitShiftLeft(log_offset, 16) + log_partition),
    INDEX by_time occurred_at TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(precedence)
ORDER BY (customer_id, visitor, event_id);
INSERT INTO web_events_new_{run} SELECT * FROM web_events SETTINGS max_threads = 1, max_insert_threads = 1, min_insert_block_size_bytes = 67108864;
EXCHANGE TABLES web_events AND web_events_new_{run};
DROP TABLE web_events_new_{run};

-- Of two rows of one record, the one whose money has been converted wins.
CREATE TABLE transactions_new_{run}
(
    event_id String,
    name LowCardinality(String),
    customer_id String,
    anonymous_id String,
    occurred_at DateTime64(6, 'UTC'),
    received_at DateTime64(6, 'UTC'),
    source LowCardinality(String),
    properties String CODEC(ZSTD(1)),
    schema_version UInt8,
    is_late UInt8,
    log_partition UInt16,
    log_offset UInt64,
    order_id String,
    amount Decimal(18, 4),
    currency LowCardinality(String),
    amount_base Decimal(18, 4),
    amount_waits UInt8 DEFAULT 0,
    items UInt32,
    visitor String MATERIALIZED if(customer_id = '', anonymous_id, ''),
    precedence UInt128 MATERIALIZED bitShiftLeft(toUInt128(toUnixTimestamp64Micro(received_at)), 64) + bitNot(bitShiftLeft(log_offset, 17) + bitShiftLeft(toUInt64(log_partition), 1) + amount_waits),
    INDEX by_time occurred_at TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(precedence)
ORDER BY (customer_id, visitor, event_id);
INSERT INTO transactions_new_{run} SELECT * FROM transactions SETTINGS max_threads = 1, max_insert_threads = 1, min_insert_block_size_bytes = 67108864;
EXCHANGE TABLES transactions AND transactions_new_{run};
DROP TABLE transactions_new_{run};

CREATE TABLE service_events_new_{run}
(
    event_id String,
    name LowCardinality(String),
    customer_id String,
    anonymous_id String,
    occurred_at DateTime64(6, 'UTC'),
    received_at DateTime64(6, 'UTC'),
    source LowCardinality(String),
    properties String CODEC(ZSTD(1)),
    schema_version UInt8,
    is_late UInt8,
    log_partition UInt16,
    log_offset UInt64,
    ticket_id String,
    conversation_id String,
    satisfaction Nullable(Float32),
    visitor String MATERIALIZED if(customer_id = '', anonymous_id, ''),
    precedence UInt128 MATERIALIZED bitShiftLeft(toUInt128(toUnixTimestamp64Micro(received_at)), 64) + bitNot(bitShiftLeft(log_offset, 16) + log_partition),
    INDEX by_time occurred_at TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(precedence)
ORDER BY (customer_id, visitor, event_id);
INSERT INTO service_events_new_{run} SELECT * FROM service_events SETTINGS max_threads = 1, max_insert_threads = 1, min_insert_block_size_bytes = 67108864;
EXCHANGE TABLES service_events AND service_events_new_{run};
DROP TABLE service_events_new_{run};

CREATE TABLE identity_events_new_{run}
(
    event_id String,
    name LowCardinality(String),
    customer_id String,
    anonymous_id String,
    occurred_at DateTime64(6, 'UTC'),
    received_at DateTime64(6, 'UTC'),
    source LowCardinality(String),
    properties String CODEC(ZSTD(1)),
    schema_version UInt8,
    is_late UInt8,
    log_partition UInt16,
    log_offset UInt64,
    previous_id String,
    visitor String MATERIALIZED if(customer_id = '', anonymous_id, ''),
    precedence UInt128 MATERIALIZED bitShiftLeft(toUInt128(toUnixTimestamp64Micro(received_at)), 64) + bitNot(bitShiftLeft(log_offset, 16) + log_partition),
    INDEX by_time occurred_at TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(precedence)
ORDER BY (customer_id, visitor, event_id);
INSERT INTO identity_events_new_{run} SELECT * FROM identity_events SETTINGS max_threads = 1, max_insert_threads = 1, min_insert_block_size_bytes = 67108864;
EXCHANGE TABLES identity_events AND identity_events_new_{run};
DROP TABLE identity_events_new_{run};

-- dead_letters: invalid records, known by what they hold and what is wrong with them. Of several such records the first
-- in the log is the row. content is a hash of key and body, precedence falls with the position in the log.
CREATE TABLE dead_letters_new_{run}
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
    body String CODEC(ZSTD(1)),
    source LowCardinality(String) DEFAULT '',
    content FixedString(16) MATERIALIZED sipHash128(key, body),
    precedence UInt64 MATERIALIZED bitNot(bitShiftLeft(log_offset, 16) + log_partition)
)
ENGINE = ReplacingMergeTree(precedence)
ORDER BY (topic, stage, source, field, reason, content);
INSERT INTO dead_letters_new_{run} SELECT * FROM dead_letters SETTINGS max_threads = 1, max_insert_threads = 1, min_insert_block_size_bytes = 67108864;
EXCHANGE TABLES dead_letters AND dead_letters_new_{run};
DROP TABLE dead_letters_new_{run};
