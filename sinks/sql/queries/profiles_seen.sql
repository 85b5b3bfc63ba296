-- Every profile with the time of its newest event: they are compared with the list of forgotten people.
SELECT customer_id, last_seen
FROM customers FINAL
