-- log_clocks: the records at which the clock of a topic-partition entered a slot (a day), events and ticks, with the clock
-- after them. Facts hold no ticks; with these rows a rebuild from facts finds each event in the slot in which it counted.
CREATE TABLE IF NOT EXISTS log_clocks
(
    topic LowCardinality(String),
    log_partition UInt16,
    log_offset UInt64,
    clock DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree
ORDER BY (topic, log_partition, log_offset);
