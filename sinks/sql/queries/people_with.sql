-- Finds people by a text in an id or in a trait; for `crmstream customer`. People come first if the text is the whole value.
-- {digits} are the digits of a phone number without leading zeros; they are empty if the text is no phone number.
SELECT customer_id, argMin(where_found, nearness) AS found, min(nearness) AS rank
FROM
(
    SELECT
        customer_id,
        concat(trait, ': ', value) AS where_found,
        replaceRegexpAll(value, '[^0-9]', '') AS value_digits,
        {digits:String} != '' AND trait ILIKE '%phone%' AND position(value_digits, {digits:String}) > 0 AS is_phone,
        multiIf(
            lowerUTF8(value) = lowerUTF8({text:String}), 0,
            is_phone AND endsWith(value_digits, {digits:String}) AND length({digits:String}) >= 7, 0,
            startsWith(lowerUTF8(value), lowerUTF8({text:String})), 1,
            2) AS nearness
    FROM customer_traits
    WHERE type != 'boolean' AND (positionCaseInsensitiveUTF8(value, {text:String}) > 0 OR is_phone)
    UNION ALL
    SELECT
        id.2 AS customer_id,
        if(id.1 = id.2, 'id', concat('id: ', id.1)),
        '',
        0,
        multiIf(lowerUTF8(id.1) = lowerUTF8({text:String}), 0, startsWith(lowerUTF8(id.1), lowerUTF8({text:String})), 1, 2)
    FROM
    (
        SELECT (customers.customer_id, customers.customer_id) AS id FROM customers FINAL WHERE merged_into = ''
        UNION ALL
        SELECT (visitor, owner) FROM visitor_owners
    )
    WHERE NOT startsWith(id.1, 'email:') AND positionCaseInsensitiveUTF8(id.1, {text:String}) > 0
)
GROUP BY customer_id
ORDER BY rank, customer_id
LIMIT {most:UInt32}
