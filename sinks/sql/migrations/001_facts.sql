-- Facts: one row per event, known by its customer and event id. The row that stands later in the log wins, so a
-- record that is written twice stays one row (read with FINAL). anonymous_id is '' where the event has none, and
-- customer_id likewise; properties holds the event's properties as JSON text.

-- web_events: views, carts and check-outs.
CREATE TABLE IF NOT EXISTS web_events
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
    INDEX by_time occurred_at TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(log_offset)
ORDER BY (customer_id, event_id);

-- transactions: orders, refunds and cancellations; amount 0 and currency '' where the event names no money;
-- amount_base is the amount in the base currency.
CREATE TABLE IF NOT EXISTS transactions
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
    items UInt32,
    INDEX by_time occurred_at TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(log_offset)
ORDER BY (customer_id, event_id);

-- service_events: tickets, chats and satisfaction scores.
CREATE TABLE IF NOT EXISTS service_events
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
    INDEX by_time occurred_at TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(log_offset)
ORDER BY (customer_id, event_id);

-- identity_events: identify and alias.
CREATE TABLE IF NOT EXISTS identity_events
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
    INDEX by_time occurred_at TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(log_offset)
ORDER BY (customer_id, event_id);
