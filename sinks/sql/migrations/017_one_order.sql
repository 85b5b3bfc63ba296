-- An order that several sources report counts once: the setting CRM_ORDER_SOURCES says which of them leads. Orders know their
-- channel and how they were paid.

-- order_sources: sources that report the same orders, by the setting; place 1 leads. crmstream replaces this view when it starts.
CREATE OR REPLACE VIEW order_sources
(
    source LowCardinality(String) COMMENT 'name of the source',
    shop UInt32 COMMENT 'sources with one number report the same orders',
    place UInt32 COMMENT '1 for the source that leads'
)
AS
SELECT toLowCardinality('') AS source, toUInt32(0) AS shop, toUInt32(0) AS place WHERE 0;

-- The newest value that is not empty counts; newest_number is how the order is called otherwise (order_name, else order_number).
-- They are empty for records of an older version until the INSERT below has read them again.
ALTER TABLE order_facts ADD COLUMN IF NOT EXISTS newest_channel SimpleAggregateFunction(max, Tuple(told UInt8, precedence UInt128, value String));
ALTER TABLE order_facts ADD COLUMN IF NOT EXISTS newest_payment SimpleAggregateFunction(max, Tuple(told UInt8, precedence UInt128, value String));
ALTER TABLE order_facts ADD COLUMN IF NOT EXISTS newest_number SimpleAggregateFunction(max, Tuple(told UInt8, precedence UInt128, value String));
ALTER TABLE order_facts_of_transactions MODIFY QUERY SELECT
    source,
    if(order_id = '', concat(event_id, ' ', if(customer_id = '', concat('anonymous:', anonymous_id), customer_id)), order_id) AS order_id,
    name,
    multiIf(name != 'Order Refunded', '', JSONExtract(properties, 'refund_id', 'String') != '', concat(JSONExtract(properties, 'refund_id', 'String'), ' ', currency), event_id) AS part,
    occurred_at,
    (precedence, if(customer_id = '', concat('anonymous:', anonymous_id), customer_id), amount, currency, amount_base, amount_waits, items, event_id) AS newest,
    (precedence, if(name = 'Order Completed', JSONExtractRaw(properties, 'products'), '')) AS newest_lines,
    (toUInt8(if(name = 'Order Completed', JSONExtract(properties, 'channel', 'String'), '') != ''), precedence, if(name = 'Order Completed', JSONExtract(properties, 'channel', 'String'), '')) AS newest_channel,
    (toUInt8(if(name = 'Order Completed', JSONExtract(properties, 'payment_method', 'String'), '') != ''), precedence, if(name = 'Order Completed', JSONExtract(properties, 'payment_method', 'String'), '')) AS newest_payment,
    (toUInt8(if(JSONExtract(properties, 'order_name', 'String') != '', JSONExtract(properties, 'order_name', 'String'), JSONExtract(properties, 'order_number', 'String')) != ''), precedence, if(JSONExtract(properties, 'order_name', 'String') != '', JSONExtract(properties, 'order_name', 'String'), JSONExtract(properties, 'order_number', 'String'))) AS newest_number
FROM transactions WHERE name IN ('Order Completed', 'Order Refunded', 'Order Cancelled');
INSERT INTO order_facts (source, order_id, name, part, occurred_at, newest, newest_lines, newest_channel, newest_payment, newest_number) SELECT
    source,
    if(order_id = '', concat(event_id, ' ', if(customer_id = '', concat('anonymous:', anonymous_id), customer_id)), order_id),
    name,
    multiIf(name != 'Order Refunded', '', JSONExtract(properties, 'refund_id', 'String') != '', concat(JSONExtract(properties, 'refund_id', 'String'), ' ', currency), event_id),
    occurred_at,
    (precedence, if(customer_id = '', concat('anonymous:', anonymous_id), customer_id), amount, currency, amount_base, amount_waits, items, event_id),
    (precedence, if(name = 'Order Completed', JSONExtractRaw(properties, 'products'), '')),
    (toUInt8(if(name = 'Order Completed', JSONExtract(properties, 'channel', 'String'), '') != ''), precedence, if(name = 'Order Completed', JSONExtract(properties, 'channel', 'String'), '')),
    (toUInt8(if(name = 'Order Completed', JSONExtract(properties, 'payment_method', 'String'), '') != ''), precedence, if(name = 'Order Completed', JSONExtract(properties, 'payment_method', 'String'), '')),
    (toUInt8(if(JSONExtract(properties, 'order_name', 'String') != '', JSONExtract(properties, 'order_name', 'String'), JSONExtract(properties, 'order_number', 'String')) != ''), precedence, if(JSONExtract(properties, 'order_name', 'String') != '', JSONExtract(properties, 'order_name', 'String'), JSONExtract(properties, 'order_number', 'String')))
FROM transactions WHERE name IN ('Order Completed', 'Order Refunded', 'Order Cancelled')
SETTINGS max_threads = 1, max_insert_threads = 1, min_insert_block_size_bytes = 67108864;

-- counted_order_facts: the facts of orders that count. Sources of one shop report the same order if its order_id is equal, or
-- what one of them calls it otherwise. Each kind of event (completed, cancelled) counts from the first source that has one,
-- refunds from the source that has paid back most. source and order_id are those of the first source that knows the order.
CREATE OR REPLACE VIEW counted_order_facts
(
    source LowCardinality(String) COMMENT 'the source that counts for the order',
    order_id String COMMENT 'id of the order at its source; event and person where an event names no order',
    name LowCardinality(String) COMMENT 'Order Completed, Order Refunded or Order Cancelled',
    part String COMMENT 'refund_id and currency, else event_id, of a refund; empty for others',
    occurred_at DateTime64(6, 'UTC') COMMENT 'the earliest time of its records',
    record Tuple(precedence UInt128, person String, amount Decimal(18, 4), currency String, amount_base Decimal(18, 4), amount_waits UInt8, items UInt32, event_id String) COMMENT 'the record that counts',
    record_lines Tuple(precedence UInt128, products String) COMMENT 'the lines of that record, as JSON',
    channel String COMMENT 'property channel of the order, of the first source that has one',
    payment_method String COMMENT 'property payment_method of the order, of the first source that has one',
    reported_by LowCardinality(String) COMMENT 'the source of the record'
)
AS
SELECT
    source, order_id, name, part, occurred_at, identity(newest) AS record, identity(newest_lines) AS record_lines,
    identity(newest_channel).value AS channel, identity(newest_payment).value AS payment_method, source AS reported_by
FROM order_facts FINAL
WHERE source NOT IN (SELECT source FROM order_sources)
UNION ALL
SELECT
    leader.1 AS source, leader.2 AS order_id, name, part, occurred_at, record, record_lines,
    told_channel AS channel, told_payment AS payment_method, reported_by
FROM
(
    SELECT
        *,
        (if(name = 'Order Refunded', -paid_back, 0), place, own_id) AS turn,
        min(turn) OVER (PARTITION BY shop, number, name) AS first_turn,
        argMin((reported_by, own_id), (place, own_id)) OVER (PARTITION BY shop, number) AS leader,
        argMinIf(own_channel, (place, own_id), own_channel != '') OVER (PARTITION BY shop, number) AS told_channel,
        argMinIf(own_payment, (place, own_id), own_payment != '') OVER (PARTITION BY shop, number) AS told_payment
    FROM
    (
        SELECT
            facts.*, if(others.number != '', others.number, own_id) AS number,
            sum(record.amount_base) OVER (PARTITION BY facts.shop, number, name, reported_by, own_id) AS paid_back
        FROM
        (
            SELECT
                order_facts.source AS reported_by, order_id AS own_id, name, part, occurred_at, identity(newest) AS record,
                identity(newest_lines) AS record_lines, identity(newest_channel).value AS own_channel,
                identity(newest_payment).value AS own_payment, ranked.shop AS shop, ranked.place AS place
            FROM order_facts FINAL
            JOIN order_sources AS ranked ON ranked.source = order_facts.source
            WHERE order_facts.source IN (SELECT source FROM order_sources)
        ) AS facts
        LEFT JOIN
        (
            SELECT ranked.shop AS shop, identity(newest_number).value AS called, argMin(order_id, (ranked.place, order_id)) AS number
            FROM order_facts FINAL
            JOIN order_sources AS ranked ON ranked.source = order_facts.source
            WHERE order_facts.source IN (SELECT source FROM order_sources)
                AND identity(newest_number).value NOT IN ('', order_id)
            GROUP BY shop, called
        ) AS others ON others.shop = facts.shop AND others.called = facts.own_id
    )
)
WHERE turn = first_turn
SETTINGS join_use_nulls = 0;

-- order_events: the same in columns, with the owner now. Refunds and cancellations belong to the owner of the order.
CREATE OR REPLACE VIEW order_events
(
    source LowCardinality(String) COMMENT 'the source that counts for the order',
    order_id String COMMENT 'id of the order at its source; event and person where an event names no order',
    name LowCardinality(String) COMMENT 'Order Completed, Order Refunded or Order Cancelled',
    part String COMMENT 'refund_id and currency, else event_id, of a refund; empty for others',
    customer_id String COMMENT 'the owner now',
    occurred_at DateTime64(6, 'UTC') COMMENT 'the earliest time of its records',
    amount Decimal(18, 4) COMMENT 'money in currency, never negative',
    currency String COMMENT 'ISO 4217; empty where the event names no money',
    amount_base Decimal(18, 4) COMMENT 'money in the base currency; 0 while amount_waits',
    amount_waits UInt8 COMMENT '1 while currency has no exchange rate',
    items UInt32 COMMENT 'number of items',
    event_id String COMMENT 'id of the record that counts',
    products String COMMENT 'the lines of the order in that record, as JSON'
)
AS
SELECT
    facts.source, facts.order_id, facts.name, facts.part,
    if(owners.owner != '', owners.owner, facts.person) AS customer_id,
    facts.occurred_at, facts.record.amount AS amount, facts.record.currency AS currency,
    facts.record.amount_base AS amount_base, facts.record.amount_waits AS amount_waits, facts.record.items AS items,
    facts.record.event_id AS event_id, facts.record_lines.products AS products
FROM
(
    SELECT
        source, order_id, name, part, occurred_at, record, record_lines,
        if(placed.person != '' AND name != 'Order Completed', placed.person, record.person) AS person
    FROM counted_order_facts
    LEFT JOIN
    (
        SELECT source, order_id, record.person AS person
        FROM counted_order_facts
        WHERE name = 'Order Completed'
            AND (source, order_id) IN (SELECT source, order_id FROM counted_order_facts WHERE name != 'Order Completed')
    ) AS placed USING (source, order_id)
) AS facts
LEFT JOIN visitor_owners AS owners ON owners.visitor = facts.person
SETTINGS join_use_nulls = 0;

-- orders: each order in its present state. A refund that names no money is one of the whole order.
CREATE OR REPLACE VIEW orders
(
    source LowCardinality(String) COMMENT 'the source that counts for the order',
    order_id String COMMENT 'id of the order at its source; event and person where an event names no order',
    customer_id String COMMENT 'the owner now',
    state LowCardinality(String) COMMENT 'completed, refunded_in_part, refunded or cancelled',
    completed_at Nullable(DateTime64(6, 'UTC')) COMMENT 'when it was placed; NULL if there is only a refund or a cancellation',
    cancelled_at Nullable(DateTime64(6, 'UTC')) COMMENT 'when it was cancelled',
    refunded_at Nullable(DateTime64(6, 'UTC')) COMMENT 'when it was refunded last',
    items UInt32 COMMENT 'number of items',
    currency String COMMENT 'currency of total, ISO 4217',
    total Decimal(18, 4) COMMENT 'what it cost, in currency',
    total_base Decimal(18, 4) COMMENT 'what it cost, in the base currency',
    refunded Decimal(18, 4) COMMENT 'what was paid back, in currency; 0 if a refund was in another one',
    refunded_base Decimal(18, 4) COMMENT 'what was paid back, in the base currency',
    net_base Decimal(18, 4) COMMENT 'what is left of it, in the base currency; below 0 if more was paid back than it cost',
    amount_waits UInt8 COMMENT '1 while one of its amounts waits for an exchange rate',
    channel String COMMENT 'property channel of the order; the view order_channels knows the channel of the visit too',
    payment_method String COMMENT 'property payment_method of the order'
)
AS
SELECT
    sums.source AS source, sums.order_id AS order_id, if(owners.owner != '', owners.owner, sums.person) AS customer_id,
    multiIf(
        cancellations > 0, 'cancelled',
        refunds = 0, 'completed',
        whole_refunds > 0 OR if(one_currency, paid_back >= sums.total, paid_back_base >= sums.total_base), 'refunded',
        'refunded_in_part') AS state,
    if(completions > 0, completed_time, NULL) AS completed_at,
    if(cancellations > 0, cancelled_time, NULL) AS cancelled_at,
    if(refunds > 0, refund_time, NULL) AS refunded_at,
    sums.items AS items, sums.currency AS currency, sums.total AS total, sums.total_base AS total_base,
    if(one_currency, if(whole_refunds > 0, greatest(paid_back, sums.total), paid_back), 0) AS refunded,
    if(whole_refunds > 0, greatest(paid_back_base, sums.total_base), paid_back_base) AS refunded_base,
    if(cancellations > 0, least(0, sums.total_base - refunded_base), sums.total_base - refunded_base) AS net_base,
    sums.amount_waits AS amount_waits, sums.channel AS channel, sums.payment_method AS payment_method
FROM
(
    SELECT
        source, order_id,
        countIf(name = 'Order Completed') AS completions,
        countIf(name = 'Order Cancelled') AS cancellations,
        countIf(name = 'Order Refunded') AS refunds,
        countIf(name = 'Order Refunded' AND record.amount = 0) AS whole_refunds,
        max(if(name = 'Order Completed', concat('1', record.person), concat('0', record.person))) AS ranked_person,
        substring(ranked_person, 2) AS person,
        maxIf(occurred_at, name = 'Order Completed') AS completed_time,
        maxIf(occurred_at, name = 'Order Cancelled') AS cancelled_time,
        maxIf(occurred_at, name = 'Order Refunded') AS refund_time,
        maxIf(record.items, name = 'Order Completed') AS items,
        sumIf(record.amount, name = 'Order Completed') AS total,
        sumIf(record.amount_base, name = 'Order Completed') AS total_base,
        sumIf(record.amount, name = 'Order Refunded') AS paid_back,
        sumIf(record.amount_base, name = 'Order Refunded') AS paid_back_base,
        max(record.amount_waits) AS amount_waits,
        minIf(record.currency, record.currency != '') AS first_currency,
        maxIf(record.currency, record.currency != '') AS last_currency,
        first_currency = last_currency AS one_currency,
        if(one_currency OR completions = 0, last_currency, maxIf(record.currency, name = 'Order Completed')) AS currency,
        maxIf(counted.channel, name = 'Order Completed') AS channel,
        maxIf(counted.payment_method, name = 'Order Completed') AS payment_method
    FROM (SELECT source, order_id, name, occurred_at, record, channel, payment_method FROM counted_order_facts) AS counted
    GROUP BY source, order_id
) AS sums
LEFT JOIN visitor_owners AS owners ON owners.visitor = sums.person
SETTINGS join_use_nulls = 0;

-- revenue: signed amounts. A sale adds; refunds, and the cancellation of what they have left, subtract.
CREATE OR REPLACE VIEW revenue
(
    occurred_at DateTime64(6, 'UTC') COMMENT 'when the money moved',
    kind LowCardinality(String) COMMENT 'sale, refund or cancellation',
    source LowCardinality(String) COMMENT 'the source that counts for the order',
    order_id String COMMENT 'the order, as in the view orders',
    customer_id String COMMENT 'the owner now',
    amount Decimal(18, 4) COMMENT 'money in currency; below 0 for refunds and cancellations',
    currency String COMMENT 'ISO 4217',
    amount_base Decimal(18, 4) COMMENT 'money in the base currency, signed; 0 while amount_waits',
    amount_waits UInt8 COMMENT '1 while currency has no exchange rate'
)
AS
SELECT
    occurred_at, if(name = 'Order Completed', 'sale', 'refund') AS kind, source, order_id, customer_id,
    if(name = 'Order Completed', amount, -amount) AS amount, currency,
    if(name = 'Order Completed', amount_base, -amount_base) AS amount_base, amount_waits
FROM order_events WHERE name = 'Order Completed' OR (name = 'Order Refunded' AND order_events.amount != 0)
UNION ALL
SELECT
    rests.at AS occurred_at, if(rests.is_whole_refund, 'refund', 'cancellation') AS kind,
    placed.source AS source, placed.order_id AS order_id, placed.customer_id AS customer_id,
    -greatest(0, placed.amount - if(rests.currencies IN ([], [placed.currency]), rests.paid_back, 0)) AS amount,
    placed.currency AS currency,
    -greatest(0, placed.amount_base - rests.paid_back_base) AS amount_base, placed.amount_waits AS amount_waits
FROM (SELECT * FROM order_events WHERE name = 'Order Completed') AS placed
JOIN
(
    SELECT
        source, order_id,
        countIf(name = 'Order Refunded' AND record.amount = 0) > 0 AS is_whole_refund,
        if(
            is_whole_refund,
            maxIf(occurred_at, name = 'Order Refunded' AND record.amount = 0),
            maxIf(occurred_at, name = 'Order Cancelled')) AS at,
        groupUniqArrayIf(record.currency, record.currency != '') AS currencies,
        sumIf(record.amount, name = 'Order Refunded') AS paid_back,
        sumIf(record.amount_base, name = 'Order Refunded') AS paid_back_base
    FROM (SELECT source, order_id, name, occurred_at, record FROM counted_order_facts WHERE name != 'Order Completed')
    GROUP BY source, order_id
    HAVING is_whole_refund OR countIf(name = 'Order Cancelled') > 0
) AS rests ON rests.source = placed.source AND rests.order_id = placed.order_id
SETTINGS join_use_nulls = 0;

-- order_channels: where completed orders came from.
CREATE OR REPLACE VIEW order_channels
(
    source LowCardinality(String) COMMENT 'the source of the order',
    order_id String COMMENT 'the order, as in the view orders',
    customer_id String COMMENT 'the owner now',
    completed_at DateTime64(6, 'UTC') COMMENT 'when it was placed',
    channel String COMMENT 'property channel of the order, else the channel of the visit, else unknown',
    told_by LowCardinality(String) COMMENT 'order, visit or nobody: where the channel is from',
    visit_channel String COMMENT 'channel of the visit; empty without one',
    campaign String COMMENT 'utm_campaign of the visit',
    session_id String COMMENT 'the customer''s last visit that began before the order, at most a day before; else empty',
    net_base Decimal(18, 4) COMMENT 'what is left of the order, in the base currency',
    state LowCardinality(String) COMMENT 'as in the view orders'
)
AS
SELECT
    placed.source AS source, placed.order_id AS order_id, placed.customer_id AS customer_id, placed.at AS completed_at,
    multiIf(placed.channel != '', placed.channel, visits.is_there AND visits.started_at >= placed.at - INTERVAL 1 DAY AS is_near, toString(visits.channel), 'unknown') AS channel,
    multiIf(placed.channel != '', 'order', is_near, 'visit', 'nobody') AS told_by,
    if(is_near, toString(visits.channel), '') AS visit_channel,
    if(is_near, visits.utm_campaign, '') AS campaign,
    if(is_near, visits.session_id, '') AS session_id,
    placed.net_base AS net_base, placed.state AS state
FROM
(
    SELECT source, order_id, customer_id, assumeNotNull(completed_at) AS at, net_base, state, channel
    FROM orders
    WHERE completed_at IS NOT NULL
) AS placed
ASOF LEFT JOIN (SELECT customer_id, started_at, session_id, channel, utm_campaign, 1 AS is_there FROM sessions) AS visits
ON visits.customer_id = placed.customer_id AND visits.started_at <= placed.at
SETTINGS join_use_nulls = 0;

-- preferences: what each customer likes, by what was bought and visited. An order or a visit weighs 1 today and 1/e after 90 days.
CREATE OR REPLACE VIEW preferences
(
    customer_id String COMMENT 'the owner now; of visitors anonymous:<id> or email:<hash>',
    kind LowCardinality(String) COMMENT 'product, category or brand (of ordered items), order_weekday, order_hour, payment_method, or channel, weekday, hour (of visits)',
    value String COMMENT 'the product_id, category, brand, payment_method or channel; the day of the week from 1, Monday, to 7; the hour in UTC, 0 to 23',
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
        ARRAY JOIN [('order_weekday', toString(toDayOfWeek(completed_at))), ('order_hour', toString(toHour(completed_at))), ('payment_method', payment_method)] AS pair
        WHERE completed_at IS NOT NULL AND state != 'cancelled' AND pair.2 != ''
        UNION ALL
        SELECT customer_id, pair.1 AS kind, pair.2 AS value, started_at AS at, source, session_id AS id
        FROM sessions
        ARRAY JOIN [('channel', toString(channel)), ('weekday', toString(toDayOfWeek(started_at))), ('hour', toString(toHour(started_at)))] AS pair
    )
    GROUP BY customer_id, kind, value
)
WHERE place <= 5
SETTINGS join_use_nulls = 0;
