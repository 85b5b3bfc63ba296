"""The way in from PostgreSQL: tables or an outbox, polled by a watermark or streamed by logical replication."""
