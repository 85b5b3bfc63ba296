-- The events of a person with several ids, the newest first; for `crmstream customer`. about names what an event is about.
SELECT occurred_at, kind, name, about, source, customer_id, anonymous_id, event_id, properties
FROM
(
    SELECT
        occurred_at, 'web' AS kind, name, if(product_id != '', product_id, url) AS about, source, customer_id, anonymous_id,
        event_id, properties
    FROM web_events FINAL
    WHERE customer_id IN {customers:Array(String)} OR (customer_id = '' AND visitor IN {visitors:Array(String)})
    UNION ALL
    SELECT
        occurred_at, 'transaction', name,
        trim(concat(if(currency = '', '', concat(toString(amount), ' ', currency)), if(order_id = '', '', concat(' order ', order_id)))),
        source, customer_id, anonymous_id, event_id, properties
    FROM transactions FINAL
    WHERE customer_id IN {customers:Array(String)} OR (customer_id = '' AND visitor IN {visitors:Array(String)})
    UNION ALL
    SELECT
        occurred_at, 'service', name,
        trim(concat(
            if(satisfaction IS NULL, '', concat('rated ', toString(satisfaction))),
            if(ticket_id = '', if(conversation_id = '', '', concat(' chat ', conversation_id)), concat(' ticket ', ticket_id)))),
        source, customer_id, anonymous_id, event_id, properties
    FROM service_events FINAL
    WHERE customer_id IN {customers:Array(String)} OR (customer_id = '' AND visitor IN {visitors:Array(String)})
    UNION ALL
    SELECT
        occurred_at, 'identity', name,
        if(previous_id != '', previous_id, arrayStringConcat(JSONExtractKeys(properties, 'traits'), ', ')),
        source, customer_id, anonymous_id, event_id, properties
    FROM identity_events FINAL
    WHERE customer_id IN {customers:Array(String)} OR (customer_id = '' AND visitor IN {visitors:Array(String)})
)
WHERE (empty({kinds:Array(String)}) OR has({kinds:Array(String)}, kind))
    AND (occurred_at, kind, event_id) < (toDateTime64({before:String}, 6, 'UTC'), {before_kind:String}, {before_id:String})
ORDER BY occurred_at DESC, kind DESC, event_id DESC
LIMIT {most:UInt32}
