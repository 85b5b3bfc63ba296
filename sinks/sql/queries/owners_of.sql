-- The owners now of some visitors and e-mail addresses; those without an owner are not in the answer.
SELECT customer_id, merged_into
FROM customers FINAL
WHERE customer_id IN {ids:Array(String)} AND merged_into != ''
