-- What `crmstream up` needs to keep traits and accounts in Redis.

-- trait_changes: whose traits may have changed, and when that was stored, by the server's clock. person is as in trait_facts, or
-- email:<hash>. Who reads it has the newest changes without looking at everybody. ClickHouse fills it from events with traits and
-- from rows of customers that have no events: those of visitors who now belong to somebody else than before. Rows are deleted after
-- a week.
CREATE TABLE IF NOT EXISTS trait_changes
(
    at DateTime64(6, 'UTC'),
    person String
)
ENGINE = ReplacingMergeTree
ORDER BY (at, person)
TTL toDateTime(at) + INTERVAL 7 DAY;
CREATE MATERIALIZED VIEW IF NOT EXISTS trait_changes_of_identity_events TO trait_changes AS SELECT DISTINCT
    now64(6, 'UTC') AS at,
    if(customer_id = '', concat('anonymous:', anonymous_id), customer_id) AS person
FROM identity_events WHERE name = 'Identify' AND JSONHas(properties, 'traits');
CREATE MATERIALIZED VIEW IF NOT EXISTS trait_changes_of_customers TO trait_changes AS SELECT
    now64(6, 'UTC') AS at,
    customer_id AS person
FROM customers WHERE events = 0;

-- known_ids: the ids that were ever linked to a person, a customer or an e-mail address. Whose they are now says customers, in
-- merged_into.
CREATE TABLE IF NOT EXISTS known_ids
(
    person String,
    identity String
)
ENGINE = ReplacingMergeTree
ORDER BY (person, identity);
CREATE MATERIALIZED VIEW IF NOT EXISTS known_ids_of_identity_links TO known_ids AS SELECT person, identity
FROM identity_links WHERE outcome = 'linked';
INSERT INTO known_ids SELECT person, identity FROM identity_links WHERE outcome IN ('linked', 'unlinked');

-- memberships and accounts are as before, but read the profiles of members only.
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
    multiIf(second.owner != '', second.owner, first.owner != '', first.owner, members.person) AS customer_id,
    min(members.joined_at) AS joined_at,
    max(members.last_at) AS last_at
FROM account_members AS members
LEFT JOIN
(
    SELECT customers.customer_id AS visitor, merged_into AS owner
    FROM customers FINAL
    WHERE customers.customer_id IN (SELECT person FROM account_members) AND merged_into != ''
) AS first ON first.visitor = members.person
LEFT JOIN
(
    SELECT customers.customer_id AS visitor, merged_into AS owner
    FROM customers FINAL
    WHERE merged_into != '' AND customers.customer_id IN
    (
        SELECT merged_into FROM customers FINAL WHERE customers.customer_id IN (SELECT person FROM account_members)
    )
) AS second ON second.visitor = first.owner
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
    LEFT JOIN
    (
        SELECT * FROM customers FINAL WHERE customers.customer_id IN (SELECT memberships.customer_id FROM memberships)
    ) AS people ON people.customer_id = members.member
    LEFT JOIN
    (
        SELECT customer_daily.customer_id AS swept, argMax(customer_daily.probability, (as_of, version)) AS probability
        FROM customer_daily
        WHERE as_of IN (last_sweep, sweep_before) AND customer_daily.customer_id IN (SELECT memberships.customer_id FROM memberships)
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
