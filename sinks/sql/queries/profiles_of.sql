-- The profiles under some ids; for `crmstream identity show`.
SELECT customer_id, merged_into, events, orders, first_seen, last_seen
FROM customers FINAL
WHERE customer_id IN {ids:Array(String)}
ORDER BY customer_id
