-- deals: sales that take weeks, by the events Deal Created, Deal Stage Changed, Deal Won and Deal Lost with a deal_id. Of each
-- property the newest value that is not empty counts. A deal whose stage changes after it was won or lost is open again.
CREATE OR REPLACE VIEW deals
(
    source LowCardinality(String) COMMENT 'the source of its events',
    deal_id String COMMENT 'id of the deal at its source',
    customer_id String COMMENT 'the owner of the newest event, now',
    state LowCardinality(String) COMMENT 'open, won or lost',
    name String COMMENT 'property name',
    stage String COMMENT 'property stage',
    amount Nullable(Decimal(18, 4)) COMMENT 'property amount, in currency',
    currency String COMMENT 'property currency, ISO 4217',
    owner String COMMENT 'property owner: who works on it',
    reason String COMMENT 'property reason, such as why it was lost',
    expected_close Nullable(Date32) COMMENT 'property expected_close, if it begins with a day as in 2026-06-30',
    created_at DateTime64(6, 'UTC') COMMENT 'the first event of the deal',
    stage_since DateTime64(6, 'UTC') COMMENT 'the earliest event since which it is in its stage',
    closed_at Nullable(DateTime64(6, 'UTC')) COMMENT 'when it was won or lost; NULL while it is open',
    days Float64 COMMENT 'from created_at to closed_at, else to now',
    stages UInt64 COMMENT 'events Deal Stage Changed',
    quotes UInt64 COMMENT 'events Quote Sent with its deal_id',
    calls UInt64 COMMENT 'events Call Logged with its deal_id',
    meetings UInt64 COMMENT 'events Meeting Held with its deal_id',
    tasks UInt64 COMMENT 'events Task Done with its deal_id',
    last_activity_at DateTime64(6, 'UTC') COMMENT 'the newest event with its deal_id'
)
AS
SELECT
    source,
    deal_id,
    if(owners.owner != '', owners.owner, person) AS customer_id,
    multiIf(last_name = 'Deal Won', 'won', last_name = 'Deal Lost', 'lost', 'open') AS state,
    deal_name AS name,
    stage,
    toDecimal64OrNull(amount_text, 4) AS amount,
    currency,
    deal_owner AS owner,
    reason,
    if(match(close_text, '^[1-9][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])'), toDate32(parseDateTime64BestEffortOrNull(substring(close_text, 1, 10), 0, 'UTC')), NULL) AS expected_close,
    created_at,
    stage_since,
    if(state = 'open', NULL, toNullable(last_at)) AS closed_at,
    dateDiff('second', created_at, if(state = 'open', now('UTC'), toDateTime(last_at, 'UTC'))) / 86400 AS days,
    stages, quotes, calls, meetings, tasks, last_activity_at
FROM
(
    SELECT
        source,
        deal_id,
        argMax(person, (occurred_at, precedence)) AS person,
        argMaxIf(event, (occurred_at, precedence), of_deal) AS last_name,
        maxIf(occurred_at, of_deal) AS last_at,
        argMaxIf(said_name, (occurred_at, precedence), said_name != '' AND of_deal) AS deal_name,
        argMaxIf(said_stage, (occurred_at, precedence), said_stage != '' AND of_deal) AS stage,
        argMaxIf(said_amount, (occurred_at, precedence), said_amount != '' AND of_deal) AS amount_text,
        argMaxIf(said_currency, (occurred_at, precedence), said_currency != '' AND of_deal) AS currency,
        argMaxIf(said_owner, (occurred_at, precedence), said_owner != '' AND of_deal) AS deal_owner,
        argMaxIf(said_reason, (occurred_at, precedence), said_reason != '' AND of_deal) AS reason,
        argMaxIf(said_close, (occurred_at, precedence), said_close != '' AND of_deal) AS close_text,
        minIf(occurred_at, of_deal) AS created_at,
        arraySort(groupArrayIf((occurred_at, precedence, said_stage), said_stage != '' AND of_deal)) AS staged,
        arrayFirst(each -> each.3 = stage AND NOT arrayExists(later -> later > each AND later.3 != stage, staged), staged).1 AS stage_seen,
        if(empty(staged), created_at, stage_seen) AS stage_since,
        countIf(event = 'Deal Stage Changed') AS stages,
        countIf(event = 'Quote Sent') AS quotes,
        countIf(event = 'Call Logged') AS calls,
        countIf(event = 'Meeting Held') AS meetings,
        countIf(event = 'Task Done') AS tasks,
        max(occurred_at) AS last_activity_at
    FROM
    (
        SELECT
            service_events.source AS source,
            JSONExtractString(properties, 'deal_id') AS deal_id,
            service_events.name AS event,
            startsWith(service_events.name, 'Deal ') AS of_deal,
            if(service_events.customer_id = '', concat('anonymous:', anonymous_id), service_events.customer_id) AS person,
            occurred_at,
            precedence,
            JSONExtractString(properties, 'name') AS said_name,
            JSONExtractString(properties, 'stage') AS said_stage,
            trim(BOTH '"' FROM JSONExtractRaw(properties, 'amount')) AS said_amount,
            JSONExtractString(properties, 'currency') AS said_currency,
            JSONExtractString(properties, 'owner') AS said_owner,
            JSONExtractString(properties, 'reason') AS said_reason,
            JSONExtractString(properties, 'expected_close') AS said_close
        FROM service_events FINAL
        WHERE service_events.name IN ('Deal Created', 'Deal Stage Changed', 'Deal Won', 'Deal Lost', 'Quote Sent', 'Call Logged', 'Meeting Held', 'Task Done')
            AND JSONExtractString(properties, 'deal_id') != ''
    )
    GROUP BY source, deal_id
    HAVING countIf(of_deal) > 0
) AS sums
LEFT JOIN visitor_owners AS owners ON owners.visitor = sums.person
SETTINGS join_use_nulls = 0;
