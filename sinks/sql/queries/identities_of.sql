-- The ids that are linked to people, newest decision of each pair.
SELECT DISTINCT identity
FROM identity_links FINAL
WHERE person IN {people:Array(String)} AND outcome = 'linked'
ORDER BY identity
