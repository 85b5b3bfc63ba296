-- How many customers, visitors who are not identified, and dead letters there are; for `crmstream status` and the demo.
SELECT
    countIf(NOT is_visitor),
    countIf(is_visitor AND events > 0),
    (SELECT count() FROM dead_letters FINAL),
    (SELECT count() FROM dead_letters FINAL WHERE entered_at >= now() - INTERVAL 1 DAY)
FROM
(
    SELECT startsWith(customer_id, 'anonymous:') OR startsWith(customer_id, 'email:') AS is_visitor, events
    FROM customers FINAL
)
