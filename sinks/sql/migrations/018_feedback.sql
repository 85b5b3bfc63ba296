-- What customers say of products and service, and how quickly they are answered.

-- feedback: ratings, reviews and complaints, each once. A rating that is not on the scale of its kind is NULL.
CREATE OR REPLACE VIEW feedback
(
    source LowCardinality(String) COMMENT 'the source of the event',
    event_id String COMMENT 'id of the event at its source',
    customer_id String COMMENT 'the owner now',
    occurred_at DateTime64(6, 'UTC') COMMENT 'when it was given',
    kind LowCardinality(String) COMMENT 'csat (CSAT Submitted), nps (NPS Submitted), ces (CES Submitted), review (Product Reviewed) or complaint (Complaint Received, and Ticket Opened with category complaint)',
    rating Nullable(Float64) COMMENT 'property rating, of csat score: csat and review 1 to 5, nps 0 to 10, ces 1 to 7 (7 is easy); NULL of complaints',
    text String COMMENT 'property comment, review_body, text, body, message or subject: the first that is not empty',
    product_id String COMMENT 'property product_id',
    order_id String COMMENT 'property order_id',
    ticket_id String COMMENT 'property ticket_id',
    agent String COMMENT 'property agent: who is rated',
    team String COMMENT 'property team'
)
AS
SELECT
    source, event_id, if(owners.owner != '', owners.owner, person) AS customer_id, occurred_at, kind,
    if(isFinite(told) AND told BETWEEN if(kind = 'nps', 0, 1) AND multiIf(kind = 'nps', 10, kind = 'ces', 7, kind = 'complaint', -1, 5), told, NULL) AS rating,
    arrayFirst(each -> each != '', arrayMap(name -> if(JSONType(properties, name) = 'String', JSONExtractString(properties, name), ''), ['comment', 'review_body', 'text', 'body', 'message', 'subject'])) AS text,
    JSONExtract(properties, 'product_id', 'String') AS product_id,
    JSONExtract(properties, 'order_id', 'String') AS order_id,
    ticket_id,
    JSONExtract(properties, 'agent', 'String') AS agent,
    JSONExtract(properties, 'team', 'String') AS team
FROM
(
    SELECT
        source, event_id, if(customer_id = '', concat('anonymous:', anonymous_id), customer_id) AS person, occurred_at,
        multiIf(name = 'CSAT Submitted', 'csat', name = 'NPS Submitted', 'nps', name = 'CES Submitted', 'ces', 'complaint') AS kind,
        if(kind = 'csat', toFloat64OrNull(toString(satisfaction)), toFloat64OrNull(JSONExtract(properties, 'rating', 'String'))) AS told,
        ticket_id, properties
    FROM service_events FINAL
    WHERE name IN ('CSAT Submitted', 'NPS Submitted', 'CES Submitted', 'Complaint Received')
        OR (name = 'Ticket Opened' AND lower(JSONExtractString(properties, 'category')) = 'complaint')
    UNION ALL
    SELECT
        source, event_id, if(customer_id = '', concat('anonymous:', anonymous_id), customer_id) AS person, occurred_at,
        multiIf(name = 'Product Reviewed', 'review', name = 'NPS Submitted', 'nps', name = 'CES Submitted', 'ces', 'complaint') AS kind,
        toFloat64OrNull(JSONExtract(properties, 'rating', 'String')) AS told,
        JSONExtract(properties, 'ticket_id', 'String') AS ticket_id, properties
    FROM web_events FINAL
    WHERE name IN ('Product Reviewed', 'NPS Submitted', 'CES Submitted', 'Complaint Received')
) AS told
LEFT JOIN visitor_owners AS owners ON owners.visitor = told.person
SETTINGS join_use_nulls = 0;

-- tickets: each ticket of customer service, by source and ticket_id. Of each property the newest value that is not empty counts.
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
    satisfaction Nullable(Float32) COMMENT 'the last rating of the ticket, 1 to 5',
    answered_at Nullable(DateTime64(6, 'UTC')) COMMENT 'the earliest answer: Ticket Updated, not of the customer (by_staff false), not hidden (public false), not another change than a comment; else the first Ticket Solved',
    hours_to_answer Nullable(Float64) COMMENT 'from opened_at to answered_at',
    agent String COMMENT 'property agent: who works on it',
    team String COMMENT 'property team',
    channel String COMMENT 'property channel',
    category String COMMENT 'property category',
    priority String COMMENT 'property priority',
    subject String COMMENT 'property subject'
)
AS
SELECT
    source, ticket_id,
    if(owners.owner != '', owners.owner, person) AS customer_id,
    opened_at, first_update_at, solved_at, if(solved_at < opened_at, NULL, dateDiff('microsecond', opened_at, solved_at) / 3.6e9) AS hours_to_solve,
    updates, reopened, satisfaction,
    if(empty(arrayFilter(at -> at >= opened_at OR opened_at IS NULL, answers) AS after), NULL, after[1]) AS answered_at,
    dateDiff('microsecond', opened_at, answered_at) / 3.6e9 AS hours_to_answer,
    agent, team, channel, category, priority, subject
FROM
(
    SELECT
        facts.source AS source, facts.ticket_id AS ticket_id,
        argMin(if(customer_id = '', concat('anonymous:', anonymous_id), customer_id), (customer_id = '', occurred_at)) AS person,
        minOrNullIf(occurred_at, name = 'Ticket Opened') AS opened_at,
        minOrNullIf(occurred_at, name = 'Ticket Updated') AS first_update_at,
        arraySort(groupArrayIf(occurred_at, is_answer OR name = 'Ticket Solved')) AS answers,
        maxOrNullIf(occurred_at, name = 'Ticket Solved') AS solved_last,
        maxOrNullIf(occurred_at, name = 'Ticket Reopened') AS reopened_last,
        if(reopened_last > solved_last, NULL, solved_last) AS solved_at,
        countIf(name = 'Ticket Updated') AS updates,
        countIf(name = 'Ticket Reopened') AS reopened,
        argMaxOrNullIf(facts.satisfaction, occurred_at, facts.satisfaction IS NOT NULL) AS satisfaction,
        argMaxIf(said_agent, (occurred_at, precedence), said_agent != '') AS agent,
        argMaxIf(said_team, (occurred_at, precedence), said_team != '') AS team,
        argMaxIf(said_channel, (occurred_at, precedence), said_channel != '') AS channel,
        argMaxIf(said_category, (occurred_at, precedence), said_category != '') AS category,
        argMaxIf(said_priority, (occurred_at, precedence), said_priority != '') AS priority,
        argMaxIf(said_subject, (occurred_at, precedence), said_subject != '') AS subject
    FROM
    (
        SELECT
            * EXCEPT (properties), precedence,
            name = 'Ticket Updated' AND lower(JSONExtract(properties, 'by_staff', 'String')) NOT IN ('false', '0', 'no')
                AND lower(JSONExtract(properties, 'public', 'String')) NOT IN ('false', '0', 'no')
                AND JSONExtractString(properties, 'change') IN ('', 'comment') AS is_answer,
            JSONExtract(properties, 'agent', 'String') AS said_agent,
            JSONExtract(properties, 'team', 'String') AS said_team,
            JSONExtract(properties, 'channel', 'String') AS said_channel,
            JSONExtract(properties, 'category', 'String') AS said_category,
            JSONExtract(properties, 'priority', 'String') AS said_priority,
            JSONExtract(properties, 'subject', 'String') AS said_subject
        FROM service_events FINAL
        WHERE ticket_id != ''
    ) AS facts
    GROUP BY source, ticket_id
) AS sums
LEFT JOIN visitor_owners AS owners ON owners.visitor = sums.person
SETTINGS join_use_nulls = 0;

-- service_levels: how many tickets were answered and solved within so many hours.
CREATE OR REPLACE VIEW service_levels
(
    month Date COMMENT 'month in which the tickets were opened',
    source LowCardinality(String) COMMENT 'the source of the tickets',
    team String COMMENT 'as in the view tickets',
    agent String COMMENT 'as in the view tickets',
    hours UInt16 COMMENT '1, 4, 8, 24, 48, 72 or 168: choose one',
    tickets UInt64 COMMENT 'tickets opened at least so many hours ago',
    answered UInt64 COMMENT 'those of them that were answered within hours',
    solved UInt64 COMMENT 'those of them that were solved within hours'
)
AS
SELECT
    toStartOfMonth(assumeNotNull(opened_at)) AS month, source, team, agent, level AS hours,
    count() AS tickets,
    countIf(ifNull(hours_to_answer <= level, 0)) AS answered,
    countIf(ifNull(hours_to_solve <= level, 0)) AS solved
FROM
(
    SELECT *, toUInt16(arrayJoin([1, 4, 8, 24, 48, 72, 168])) AS level
    FROM tickets
    WHERE opened_at <= now('UTC') - toIntervalHour(level)
)
GROUP BY month, source, team, agent, hours;
