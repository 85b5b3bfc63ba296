"""Writing to Kafka: acknowledged records, topics, ticks of the clock, transactions and positions in them."""
