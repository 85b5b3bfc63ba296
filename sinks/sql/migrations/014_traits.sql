-- trait_facts: the newest value that each customer or visitor gave of each trait; the view customer_traits reads it. person
-- is the customer id of the event, else anonymous:<id>. The event with the newest occurred_at counts; of equal ones the one
-- received last, then the one later in the log. value is JSON; null says that the trait was removed. Read the newest of a person
-- and a trait as max(newest). ClickHouse fills the table from inserts into identity_events; rows that are inserted twice change
-- nothing. If you delete facts, delete them here too.
CREATE TABLE IF NOT EXISTS trait_facts
(
    person String,
    trait LowCardinality(String),
    newest SimpleAggregateFunction(max, Tuple(occurred_at DateTime64(6, 'UTC'), received_at DateTime64(6, 'UTC'), log_offset UInt64, source String, value String)) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
ORDER BY (person, trait);
CREATE MATERIALIZED VIEW IF NOT EXISTS trait_facts_of_identity_events TO trait_facts AS SELECT
    if(customer_id = '', concat('anonymous:', anonymous_id), customer_id) AS person,
    pair.1 AS trait,
    (occurred_at, received_at, log_offset, source, pair.2) AS newest
FROM identity_events ARRAY JOIN JSONExtractKeysAndValuesRaw(properties, 'traits') AS pair
WHERE name = 'Identify' AND pair.1 != '';
INSERT INTO trait_facts SELECT
    if(customer_id = '', concat('anonymous:', anonymous_id), customer_id),
    pair.1,
    (occurred_at, received_at, log_offset, source, pair.2)
FROM identity_events ARRAY JOIN JSONExtractKeysAndValuesRaw(properties, 'traits') AS pair
WHERE name = 'Identify' AND pair.1 != ''
SETTINGS max_threads = 1, max_insert_threads = 1, min_insert_block_size_bytes = 67108864;

-- customer_traits: a value set under the customer id counts more than one that a device set.
CREATE OR REPLACE VIEW customer_traits
(
    customer_id String COMMENT 'the owner now; of visitors anonymous:<id> or email:<hash>',
    trait LowCardinality(String) COMMENT 'name of the trait, as it was sent',
    value String COMMENT 'the newest value as text; lists and objects as JSON',
    type LowCardinality(String) COMMENT 'text, number, boolean, list or object',
    json String COMMENT 'the newest value as JSON',
    set_at DateTime64(6, 'UTC') COMMENT 'when the event with this value happened',
    source LowCardinality(String) COMMENT 'the source of the event'
)
AS
SELECT
    person AS customer_id,
    trait,
    if(startsWith(found.value, '"'), JSONExtractString(found.value), found.value) AS value,
    multiIf(startsWith(found.value, '"'), 'text', startsWith(found.value, '{'), 'object', startsWith(found.value, '['), 'list', found.value IN ('true', 'false'), 'boolean', 'number') AS type,
    found.value AS json,
    found.occurred_at AS set_at,
    found.source AS source
FROM
(
    SELECT
        if(owners.owner != '', owners.owner, facts.person) AS person,
        facts.trait AS trait,
        max((NOT startsWith(facts.person, 'anonymous:'), facts.newest)).2 AS found
    FROM trait_facts AS facts
    LEFT JOIN visitor_owners AS owners ON owners.visitor = facts.person
    GROUP BY person, trait
)
WHERE found.value != 'null'
SETTINGS join_use_nulls = 0;

-- account_members: who belongs to which account, by Group events. person is as in trait_facts; a person may belong to several
-- accounts. account_facts: the newest value of each trait of an account. Both are filled as trait_facts is.
CREATE TABLE IF NOT EXISTS account_members
(
    account_id String,
    person String,
    joined_at SimpleAggregateFunction(min, DateTime64(6, 'UTC')),
    last_at SimpleAggregateFunction(max, DateTime64(6, 'UTC'))
)
ENGINE = AggregatingMergeTree
ORDER BY (account_id, person);
CREATE MATERIALIZED VIEW IF NOT EXISTS account_members_of_identity_events TO account_members AS SELECT
    JSONExtractString(properties, 'group_id') AS account_id,
    if(customer_id = '', concat('anonymous:', anonymous_id), customer_id) AS person,
    occurred_at AS joined_at,
    occurred_at AS last_at
FROM identity_events WHERE name = 'Group' AND account_id != '';
INSERT INTO account_members SELECT
    JSONExtractString(properties, 'group_id') AS account_id,
    if(customer_id = '', concat('anonymous:', anonymous_id), customer_id),
    occurred_at,
    occurred_at
FROM identity_events WHERE name = 'Group' AND account_id != ''
SETTINGS max_threads = 1, max_insert_threads = 1, min_insert_block_size_bytes = 67108864;
CREATE TABLE IF NOT EXISTS account_facts
(
    account_id String,
    trait LowCardinality(String),
    newest SimpleAggregateFunction(max, Tuple(occurred_at DateTime64(6, 'UTC'), received_at DateTime64(6, 'UTC'), log_offset UInt64, source String, value String)) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
ORDER BY (account_id, trait);
CREATE MATERIALIZED VIEW IF NOT EXISTS account_facts_of_identity_events TO account_facts AS SELECT
    JSONExtractString(properties, 'group_id') AS account_id,
    pair.1 AS trait,
    (occurred_at, received_at, log_offset, source, pair.2) AS newest
FROM identity_events ARRAY JOIN JSONExtractKeysAndValuesRaw(properties, 'group_traits') AS pair
WHERE name = 'Group' AND account_id != '' AND pair.1 != '';
INSERT INTO account_facts SELECT
    JSONExtractString(properties, 'group_id') AS account_id,
    pair.1,
    (occurred_at, received_at, log_offset, source, pair.2)
FROM identity_events ARRAY JOIN JSONExtractKeysAndValuesRaw(properties, 'group_traits') AS pair
WHERE name = 'Group' AND account_id != '' AND pair.1 != ''
SETTINGS max_threads = 1, max_insert_threads = 1, min_insert_block_size_bytes = 67108864;

-- accounts: companies with the sums of their members. The view memberships has the owners now of account_members.
CREATE OR REPLACE VIEW memberships
(
    account_id String COMMENT 'id of the account',
    customer_id String COMMENT 'the owner now; of visitors anonymous:<id> or email:<hash>',
    joined_at DateTime64(6, 'UTC') COMMENT 'the first event that names the account',
    last_at DateTime64(6, 'UTC') COMMENT 'the newest one'
)
AS
SELECT
    account_id,
    if(owners.owner != '', owners.owner, members.person) AS customer_id,
    min(members.joined_at) AS joined_at,
    max(members.last_at) AS last_at
FROM account_members AS members
LEFT JOIN visitor_owners AS owners ON owners.visitor = members.person
GROUP BY account_id, customer_id
SETTINGS join_use_nulls = 0;
CREATE OR REPLACE VIEW accounts
(
    account_id String COMMENT 'id of the account, group_id of Group events',
    name String COMMENT 'its trait name',
    traits Map(String, String) COMMENT 'the newest value of each trait as JSON',
    customers UInt64 COMMENT 'members who are customers',
    visitors UInt64 COMMENT 'members who are not identified',
    first_seen Nullable(DateTime64(6, 'UTC')) COMMENT 'first event of a member',
    last_seen Nullable(DateTime64(6, 'UTC')) COMMENT 'newest event of a member',
    last_order Nullable(DateTime64(6, 'UTC')) COMMENT 'newest order of a member',
    events UInt64 COMMENT 'events of the members',
    orders UInt64 COMMENT 'orders of the members',
    revenue Decimal(38, 4) COMMENT 'worth of these orders, in the base currency',
    refunded Decimal(38, 4) COMMENT 'what was paid back, in the base currency',
    tickets UInt64 COMMENT 'tickets of the members',
    satisfaction Nullable(Float64) COMMENT 'mean of all ratings of the members, 1 to 5',
    highest Map(String, Float64) COMMENT 'the highest probability of a member by outcome, at the newest sweeps'
)
AS
WITH
    (SELECT max(as_of) FROM customer_daily) AS last_sweep,
    (SELECT max(as_of) FROM customer_daily WHERE as_of < last_sweep) AS sweep_before
SELECT
    sums.account_id AS account_id,
    JSONExtractString(found.traits['name']) AS name,
    found.traits AS traits, customers, visitors, first_seen, last_seen, last_order, events, orders, revenue, refunded, tickets,
    satisfaction, highest
FROM
(
    SELECT
        account_id,
        countIf(NOT startsWith(member, 'anonymous:') AND NOT startsWith(member, 'email:')) AS customers,
        count() - customers AS visitors,
        minIf(toNullable(people.first_seen), people.events > 0) AS first_seen,
        maxIf(toNullable(people.last_seen), people.events > 0) AS last_seen,
        max(people.last_order) AS last_order,
        sum(people.events) AS events,
        sum(people.orders) AS orders,
        sum(people.revenue) AS revenue,
        sum(people.refunded) AS refunded,
        sum(people.tickets) AS tickets,
        if(sum(satisfaction_count) = 0, NULL, sum(ifNull(people.satisfaction, 0) * satisfaction_count) / sum(satisfaction_count)) AS satisfaction,
        maxMap(scores.probability) AS highest
    FROM (SELECT account_id, memberships.customer_id AS member FROM memberships) AS members
    LEFT JOIN (SELECT * FROM customers FINAL) AS people ON people.customer_id = members.member
    LEFT JOIN
    (
        SELECT customer_daily.customer_id AS swept, argMax(customer_daily.probability, (as_of, version)) AS probability
        FROM customer_daily
        WHERE as_of IN (last_sweep, sweep_before)
        GROUP BY swept
    ) AS scores ON scores.swept = members.member
    GROUP BY account_id
) AS sums
LEFT JOIN
(
    SELECT account_id, CAST((groupArray(toString(trait)), groupArray(facts.newest.value)), 'Map(String, String)') AS traits
    FROM (SELECT account_id, trait, max(account_facts.newest) AS newest FROM account_facts GROUP BY account_id, trait) AS facts
    WHERE facts.newest.value != 'null'
    GROUP BY account_id
) AS found ON found.account_id = sums.account_id
SETTINGS join_use_nulls = 0;
