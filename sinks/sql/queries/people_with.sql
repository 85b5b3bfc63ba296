-- People with a text in their id or in a trait, those in whom it is the whole value first; for `crmstream customer search`.
-- digits are compared with those of phone numbers, if there are any; they come without the zeros in front.
SELECT customer_id, argMin(where_found, nearness) AS found, min(nearness) AS rank
FROM
(
    SELECT
        customer_id,
        concat(trait, ': ', value) AS where_found,
        multiIf(lowerUTF8(value) = lowerUTF8({text:String}), 0, startsWith(lowerUTF8(value), lowerUTF8({text:String})), 1, 2) AS nearness
    FROM customer_traits
    WHERE type NOT IN ('boolean', 'object') AND (
        positionCaseInsensitiveUTF8(value, {text:String}) > 0
        OR ({digits:String} != '' AND trait ILIKE '%phone%' AND position(replaceRegexpAll(value, '[^0-9]', ''), {digits:String}) > 0)
    )
    UNION ALL
    SELECT
        customer_id,
        'id',
        multiIf(lowerUTF8(customer_id) = lowerUTF8({text:String}), 0, startsWith(lowerUTF8(customer_id), lowerUTF8({text:String})), 1, 2)
    FROM customers FINAL
    WHERE merged_into = '' AND NOT startsWith(customer_id, 'email:') AND positionCaseInsensitiveUTF8(customer_id, {text:String}) > 0
)
GROUP BY customer_id
ORDER BY rank, customer_id
LIMIT {most:UInt32}
