"""The local stack: Kafka, ClickHouse, Redis and the dataflow as child processes of one supervisor, without Docker."""
