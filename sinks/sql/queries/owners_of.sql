-- Whose some visitors and e-mail addresses are now. Those that are nobody's are not in it.
SELECT customer_id, merged_into
FROM customers FINAL
WHERE customer_id IN {ids:Array(String)} AND merged_into != ''
