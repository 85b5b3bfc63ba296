-- Makes the view order_sources; sinks/order_sources.py puts in a row per source.
CREATE OR REPLACE VIEW order_sources
(
    source LowCardinality(String) COMMENT 'name of the source',
    shop UInt32 COMMENT 'sources with one number report the same orders',
    place UInt32 COMMENT '1 for the source that leads'
)
AS
SELECT listed.1 AS source, listed.2 AS shop, listed.3 AS place
FROM (SELECT arrayJoin(CAST([/* rows */], 'Array(Tuple(LowCardinality(String), UInt32, UInt32))')) AS listed)
