-- log_events: source is that of transactions, empty for others; of events from before this migration only orders have it, and of
-- orders with several records only the newest one. With it a rebuild from the warehouse recognises an order that was reported twice,
-- as the dataflow does.
ALTER TABLE log_events ADD COLUMN IF NOT EXISTS source LowCardinality(String);
ALTER TABLE log_events_of_transactions MODIFY QUERY SELECT 'transaction' AS kind, log_partition, log_offset, event_id, name, customer_id, anonymous_id, occurred_at, received_at, properties, source FROM transactions;
INSERT INTO log_events (kind, log_partition, log_offset, event_id, name, customer_id, anonymous_id, occurred_at, received_at, properties, source)
SELECT 'transaction', log_partition, log_offset, event_id, name, customer_id, anonymous_id, occurred_at, received_at, properties, source
FROM transactions WHERE name = 'Order Completed'
SETTINGS max_threads = 1, max_insert_threads = 1, min_insert_block_size_bytes = 67108864;
