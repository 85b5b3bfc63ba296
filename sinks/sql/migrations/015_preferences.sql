-- preferences: what each customer likes, by what was bought and visited. An order or a visit weighs 1 today and 1/e after 90 days.
CREATE OR REPLACE VIEW preferences
(
    customer_id String COMMENT 'the owner now; of visitors anonymous:<id> or email:<hash>',
    kind LowCardinality(String) COMMENT 'product, category or brand (of ordered items), order_weekday, order_hour, or channel, weekday, hour (of visits)',
    value String COMMENT 'the product_id, category, brand or channel; the day of the week from 1, Monday, to 7; the hour in UTC, 0 to 23',
    times UInt64 COMMENT 'number of orders or visits with it; cancelled orders do not count',
    weight Float64 COMMENT 'the same, decayed: 1/e after 90 days',
    place UInt64 COMMENT '1 for the greatest weight of the customer and kind; at most 5',
    last_at DateTime64(6, 'UTC') COMMENT 'the newest of them'
)
AS
SELECT customer_id, kind, value, times, weight, place, last_at
FROM
(
    SELECT
        customer_id,
        kind,
        value,
        count() AS times,
        sum(exp(-greatest(dateDiff('second', at, now('UTC')), 0) / 7776000)) AS weight,
        max(at) AS last_at,
        row_number() OVER (PARTITION BY customer_id, kind ORDER BY round(log(weight), 6) DESC, value) AS place
    FROM
    (
        SELECT DISTINCT customer_id, pair.1 AS kind, pair.2 AS value, completed_at AS at, source, order_id AS id
        FROM order_items
        ARRAY JOIN [('product', product_id), ('category', category), ('brand', brand)] AS pair
        WHERE pair.2 != '' AND (source, order_id) NOT IN (SELECT source, order_id FROM orders WHERE state = 'cancelled')
        UNION ALL
        SELECT
            customer_id, pair.1 AS kind, pair.2 AS value, assumeNotNull(completed_at) AS at, source, order_id AS id
        FROM orders
        ARRAY JOIN [('order_weekday', toString(toDayOfWeek(completed_at))), ('order_hour', toString(toHour(completed_at)))] AS pair
        WHERE completed_at IS NOT NULL AND state != 'cancelled'
        UNION ALL
        SELECT customer_id, pair.1 AS kind, pair.2 AS value, started_at AS at, source, session_id AS id
        FROM sessions
        ARRAY JOIN [('channel', toString(channel)), ('weekday', toString(toDayOfWeek(started_at))), ('hour', toString(toHour(started_at)))] AS pair
    )
    GROUP BY customer_id, kind, value
)
WHERE place <= 5
SETTINGS join_use_nulls = 0;
