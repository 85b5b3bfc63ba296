-- How many customers, visitors whom nobody has identified, and dead letters there are; for `crmstream status`.
SELECT
    countIf(NOT startsWith(customer_id, 'anonymous:')),
    countIf(startsWith(customer_id, 'anonymous:') AND merged_into = ''),
    (SELECT count() FROM dead_letters FINAL)
FROM customers FINAL
