"""From scored blocks to rows of ClickHouse and hashes of Redis."""
