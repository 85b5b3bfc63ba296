-- The people to whom some ids were ever linked, or refused; for traits in Redis: one of them may have had an id before.
SELECT DISTINCT person
FROM identity_links
WHERE identity IN {ids:Array(String)}
