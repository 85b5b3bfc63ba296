-- The ids that were ever linked to some people.
SELECT DISTINCT identity
FROM known_ids
WHERE person IN {people:Array(String)}
