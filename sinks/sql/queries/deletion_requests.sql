-- Ids of whom a source has sent Delete User: an erasure deletes these rows, too.
SELECT DISTINCT if(customer_id != '', customer_id, concat('anonymous:', anonymous_id)) AS asked_for
FROM identity_events FINAL
WHERE name = 'Delete User' AND source = {source:String}
ORDER BY asked_for
