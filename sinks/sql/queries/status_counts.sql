-- How many customers, unidentified visitors and dead letters there are; for `crmstream status` and the demo.
SELECT
    countIf(NOT startsWith(customer_id, 'anonymous:')),
    countIf(startsWith(customer_id, 'anonymous:') AND merged_into = ''),
    (SELECT count() FROM dead_letters FINAL),
    (SELECT count() FROM dead_letters FINAL WHERE entered_at >= now() - INTERVAL 1 DAY)
FROM customers FINAL
