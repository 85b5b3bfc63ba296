-- Views for analysts. They contain FINAL where it is needed. customer_id in them is the owner now: facts of a visitor who
-- has signed in since belong to the customer; others to anonymous:<id>.

-- visitor_owners: the customer to whom each visitor or e-mail address belongs now. A visitor may lead to an
-- address, and the address to a customer.
CREATE OR REPLACE VIEW visitor_owners
(
    visitor String COMMENT 'anonymous:<id> or email:<hash>',
    owner String COMMENT 'the customer into whose profile it went'
)
AS
SELECT first.customer_id AS visitor, if(second.merged_into != '', second.merged_into, first.merged_into) AS owner
FROM (SELECT customer_id, merged_into FROM customers FINAL WHERE merged_into != '') AS first
LEFT JOIN (SELECT customer_id, merged_into FROM customers FINAL WHERE merged_into != '') AS second
ON second.customer_id = first.merged_into
SETTINGS join_use_nulls = 0;

-- order_facts: events of orders without repeats; the views below read it. An order is completed and cancelled once, by its
-- source and order_id, also when the event comes again under another event_id. An event without an order_id is an order of
-- its own, known by event and person. A refund is known by its refund_id and currency, else by its event_id (part, empty
-- for others). newest and newest_lines come from the record with the greatest precedence; occurred_at is the
-- earliest time of all records. Read newest and newest_lines as a whole, by identity(newest): of a single element, FINAL takes that
-- of any record. ClickHouse fills the table from inserts into transactions; rows that are inserted twice change nothing.
-- Whoever deletes facts deletes them here too.
CREATE TABLE IF NOT EXISTS order_facts
(
    source LowCardinality(String),
    order_id String,
    name LowCardinality(String),
    part String,
    occurred_at SimpleAggregateFunction(min, DateTime64(6, 'UTC')),
    newest SimpleAggregateFunction(max, Tuple(precedence UInt128, person String, amount Decimal(18, 4), currency String, amount_base Decimal(18, 4), amount_waits UInt8, items UInt32, event_id String)),
    newest_lines SimpleAggregateFunction(max, Tuple(precedence UInt128, products String)) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
ORDER BY (source, order_id, name, part);
CREATE MATERIALIZED VIEW IF NOT EXISTS order_facts_of_transactions TO order_facts AS SELECT
    source,
    if(order_id = '', concat(event_id, ' ', if(customer_id = '', concat('anonymous:', anonymous_id), customer_id)), order_id) AS order_id,
    name,
    multiIf(name != 'Order Refunded', '', JSONExtract(properties, 'refund_id', 'String') != '', concat(JSONExtract(properties, 'refund_id', 'String'), ' ', currency), event_id) AS part,
    occurred_at,
    (precedence, if(customer_id = '', concat('anonymous:', anonymous_id), customer_id), amount, currency, amount_base, amount_waits, items, event_id) AS newest,
    (precedence, if(name = 'Order Completed', JSONExtractRaw(properties, 'products'), '')) AS newest_lines
FROM transactions WHERE name IN ('Order Completed', 'Order Refunded', 'Order Cancelled');
INSERT INTO order_facts SELECT
    source,
    if(order_id = '', concat(event_id, ' ', if(customer_id = '', concat('anonymous:', anonymous_id), customer_id)), order_id),
    name,
    multiIf(name != 'Order Refunded', '', JSONExtract(properties, 'refund_id', 'String') != '', concat(JSONExtract(properties, 'refund_id', 'String'), ' ', currency), event_id),
    occurred_at,
    (precedence, if(customer_id = '', concat('anonymous:', anonymous_id), customer_id), amount, currency, amount_base, amount_waits, items, event_id),
    (precedence, if(name = 'Order Completed', JSONExtractRaw(properties, 'products'), ''))
FROM transactions WHERE name IN ('Order Completed', 'Order Refunded', 'Order Cancelled')
SETTINGS max_threads = 1, max_insert_threads = 1, min_insert_block_size_bytes = 67108864;

-- order_events: the same in columns, with the owner now. Refunds and cancellations belong to the owner of the order.
CREATE OR REPLACE VIEW order_events
(
    source LowCardinality(String) COMMENT 'the source of the event',
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
        source, order_id, name, part, occurred_at, identity(newest) AS record, identity(newest_lines) AS record_lines,
        if(placed.person != '' AND name != 'Order Completed', placed.person, record.person) AS person
    FROM order_facts FINAL
    LEFT JOIN
    (
        SELECT source, order_id, identity(newest).person AS person
        FROM order_facts FINAL
        WHERE name = 'Order Completed'
            AND (source, order_id) IN (SELECT source, order_id FROM order_facts WHERE name != 'Order Completed')
    ) AS placed USING (source, order_id)
) AS facts
LEFT JOIN visitor_owners AS owners ON owners.visitor = facts.person
SETTINGS join_use_nulls = 0;

-- orders: each order in its present state. A refund that names no money is one of the whole order.
CREATE OR REPLACE VIEW orders
(
    source LowCardinality(String) COMMENT 'the source of its events',
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
    amount_waits UInt8 COMMENT '1 while one of its amounts waits for an exchange rate'
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
    sums.amount_waits AS amount_waits
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
        if(one_currency OR completions = 0, last_currency, maxIf(record.currency, name = 'Order Completed')) AS currency
    FROM (SELECT source, order_id, name, occurred_at, identity(newest) AS record FROM order_facts FINAL)
    GROUP BY source, order_id
) AS sums
LEFT JOIN visitor_owners AS owners ON owners.visitor = sums.person
SETTINGS join_use_nulls = 0;

-- revenue: signed amounts. A sale adds; refunds, and the cancellation of what they have left, subtract.
CREATE OR REPLACE VIEW revenue
(
    occurred_at DateTime64(6, 'UTC') COMMENT 'when the money moved',
    kind LowCardinality(String) COMMENT 'sale, refund or cancellation',
    source LowCardinality(String) COMMENT 'the source of the event',
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
    FROM (SELECT source, order_id, name, occurred_at, identity(newest) AS record FROM order_facts FINAL WHERE name != 'Order Completed')
    GROUP BY source, order_id
    HAVING is_whole_refund OR countIf(name = 'Order Cancelled') > 0
) AS rests ON rests.source = placed.source AND rests.order_id = placed.order_id
SETTINGS join_use_nulls = 0;

-- order_items: the lines of completed orders, from products of the event. A line without a quantity is one piece.
CREATE OR REPLACE VIEW order_items
(
    source LowCardinality(String) COMMENT 'the source of the order',
    order_id String COMMENT 'the order, as in the view orders',
    line UInt32 COMMENT 'number of the line, from 1',
    customer_id String COMMENT 'the owner now',
    completed_at DateTime64(6, 'UTC') COMMENT 'when the order was placed',
    product_id String COMMENT 'id of the product at its source',
    sku String COMMENT 'stock keeping unit',
    name String COMMENT 'name of the product',
    category String COMMENT 'category of the product',
    brand String COMMENT 'brand of the product',
    quantity Float64 COMMENT 'pieces',
    price Decimal(18, 4) COMMENT 'price of one piece in currency',
    discount Decimal(18, 4) COMMENT 'taken off the line, in currency',
    coupon String COMMENT 'coupon code',
    amount Decimal(18, 4) COMMENT 'quantity x price - discount, in currency',
    currency String COMMENT 'ISO 4217'
)
AS
SELECT
    source, order_id, number AS line, customer_id, occurred_at AS completed_at,
    product.1 AS product_id, product.2 AS sku, product.3 AS name, product.4 AS category, product.5 AS brand,
    if(product.6 = '', 1, if(isFinite(toFloat64OrZero(product.6)), toFloat64OrZero(product.6), 0)) AS quantity,
    toDecimal64OrZero(product.7, 4) AS price,
    toDecimal64OrZero(product.8, 4) AS discount,
    product.9 AS coupon,
    toDecimal64OrZero(toString(round(quantity * toFloat64OrZero(product.7) - toFloat64OrZero(product.8), 4)), 4) AS amount,
    currency
FROM
(
    SELECT
        * EXCEPT (name, products),
        arrayMap(raw -> (
            JSONExtract(raw, 'product_id', 'String'), JSONExtract(raw, 'sku', 'String'), JSONExtract(raw, 'name', 'String'),
            JSONExtract(raw, 'category', 'String'), JSONExtract(raw, 'brand', 'String'),
            JSONExtract(raw, 'quantity', 'String'), JSONExtract(raw, 'price', 'String'),
            JSONExtract(raw, 'discount', 'String'), JSONExtract(raw, 'coupon', 'String')),
            JSONExtractArrayRaw(products)) AS read
    FROM order_events
    WHERE name = 'Order Completed'
)
ARRAY JOIN read AS product, arrayEnumerate(read) AS number;

-- sessions: visits to the site, by source and session_id. Events without a session_id are in none.
CREATE OR REPLACE VIEW sessions
(
    source LowCardinality(String) COMMENT 'the source of its events',
    session_id String COMMENT 'id of the visit at its source',
    customer_id String COMMENT 'the owner now: the customer who signed in on the way, else the visitor''s owner',
    started_at DateTime64(6, 'UTC') COMMENT 'its first event',
    ended_at DateTime64(6, 'UTC') COMMENT 'its last event',
    seconds Float64 COMMENT 'from the first event to the last',
    events UInt64 COMMENT 'number of events',
    product_views UInt64 COMMENT 'events Product Viewed',
    carts UInt64 COMMENT 'events Product Added',
    cart_views UInt64 COMMENT 'events Cart Viewed',
    checkouts UInt64 COMMENT 'events Checkout Started',
    landing_url String COMMENT 'address of the first event that has one',
    exit_url String COMMENT 'address of the last event that has one',
    referrer String COMMENT 'property referrer of the event with landing_url',
    utm_source String COMMENT 'parameter utm_source of landing_url',
    utm_medium String COMMENT 'parameter utm_medium of landing_url',
    utm_campaign String COMMENT 'parameter utm_campaign of landing_url',
    channel LowCardinality(String) COMMENT 'paid, email, social, search, referral, direct, or another utm_medium'
)
AS
SELECT
    source, session_id,
    if(owners.owner != '', owners.owner, person) AS customer_id,
    started_at, ended_at, seconds, events, product_views, carts, cart_views, checkouts, landing_url, exit_url, referrer,
    utm_source, utm_medium, utm_campaign,
    multiIf(
        match(medium, '^(cpc|ppc|cpm|paid.*|display|ads?)$'), 'paid',
        medium IN ('email', 'e-mail', 'newsletter'), 'email',
        medium LIKE 'social%', 'social',
        medium = 'organic', 'search',
        medium != '', medium,
        origin IN ('', domainWithoutWWW(landing_url)), 'direct',
        match(origin, '(^|\\.)(google|bing|duckduckgo|yahoo|ecosia|baidu|yandex|qwant)\\.'), 'search',
        match(origin, '(^|\\.)(facebook|instagram|linkedin|tiktok|pinterest|reddit|youtube|twitter)\\.|^(t\\.co|x\\.com)$'), 'social',
        'referral') AS channel
FROM
(
    SELECT
        *, decodeURLFormComponent(extractURLParameter(landing_url, 'utm_source')) AS utm_source, decodeURLFormComponent(extractURLParameter(landing_url, 'utm_medium')) AS utm_medium,
        decodeURLFormComponent(extractURLParameter(landing_url, 'utm_campaign')) AS utm_campaign, lower(utm_medium) AS medium, domainWithoutWWW(referrer) AS origin
    FROM
    (
        SELECT
            visits.source AS source, visits.session_id AS session_id,
            argMax(if(customer_id = '', concat('anonymous:', anonymous_id), customer_id), (customer_id != '', occurred_at)) AS person,
            min(occurred_at) AS started_at, max(occurred_at) AS ended_at,
            dateDiff('microsecond', started_at, ended_at) / 1e6 AS seconds,
            count() AS events,
            countIf(name = 'Product Viewed') AS product_views, countIf(name = 'Product Added') AS carts,
            countIf(name = 'Cart Viewed') AS cart_views, countIf(name = 'Checkout Started') AS checkouts,
            argMinIf(url, (occurred_at, event_id), url != '') AS landing_url,
            argMaxIf(url, (occurred_at, event_id), url != '') AS exit_url,
            argMinIf(origin_url, (occurred_at, event_id), url != '') AS referrer
        FROM
        (
            SELECT *, JSONExtract(properties, 'referrer', 'String') AS origin_url
            FROM web_events FINAL
            WHERE session_id != ''
        ) AS visits
        GROUP BY source, session_id
    )
) AS visited
LEFT JOIN visitor_owners AS owners ON owners.visitor = visited.person
SETTINGS join_use_nulls = 0;

-- tickets: each ticket of customer service, by source and ticket_id.
CREATE OR REPLACE VIEW tickets
(
    source LowCardinality(String) COMMENT 'the source of its events',
    ticket_id String COMMENT 'id of the ticket at its source',
    customer_id String COMMENT 'the owner now',
    opened_at Nullable(DateTime64(6, 'UTC')) COMMENT 'when it was opened; NULL if no event says it',
    first_update_at Nullable(DateTime64(6, 'UTC')) COMMENT 'the earliest event Ticket Updated',
    solved_at Nullable(DateTime64(6, 'UTC')) COMMENT 'when it was solved last; NULL while it is open',
    hours_to_solve Nullable(Float64) COMMENT 'from opened_at to solved_at',
    updates UInt64 COMMENT 'events Ticket Updated',
    reopened UInt64 COMMENT 'events Ticket Reopened',
    satisfaction Nullable(Float32) COMMENT 'the last rating of the ticket, 1 to 5'
)
AS
SELECT
    source, ticket_id,
    if(owners.owner != '', owners.owner, person) AS customer_id,
    opened_at, first_update_at, solved_at, dateDiff('microsecond', opened_at, solved_at) / 3.6e9 AS hours_to_solve,
    updates, reopened, satisfaction
FROM
(
    SELECT
        facts.source AS source, facts.ticket_id AS ticket_id,
        argMin(if(customer_id = '', concat('anonymous:', anonymous_id), customer_id), (customer_id = '', occurred_at)) AS person,
        minOrNullIf(occurred_at, name = 'Ticket Opened') AS opened_at,
        minOrNullIf(occurred_at, name = 'Ticket Updated') AS first_update_at,
        maxOrNullIf(occurred_at, name = 'Ticket Solved') AS solved_last,
        maxOrNullIf(occurred_at, name = 'Ticket Reopened') AS reopened_last,
        if(reopened_last > solved_last, NULL, solved_last) AS solved_at,
        countIf(name = 'Ticket Updated') AS updates,
        countIf(name = 'Ticket Reopened') AS reopened,
        argMaxOrNullIf(facts.satisfaction, occurred_at, facts.satisfaction IS NOT NULL) AS satisfaction
    FROM (SELECT * FROM service_events FINAL WHERE ticket_id != '') AS facts
    GROUP BY source, ticket_id
) AS sums
LEFT JOIN visitor_owners AS owners ON owners.visitor = sums.person
SETTINGS join_use_nulls = 0;
