-- How many customers and dead letters there are; for `crmstream status`.
SELECT (SELECT count() FROM customers FINAL WHERE NOT startsWith(customer_id, 'anonymous:')), (SELECT count() FROM dead_letters FINAL)
