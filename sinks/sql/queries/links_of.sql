-- The newest decision about each pair of an identity and a person, of some identities or persons, the oldest first; for
-- `crmstream identity`.
SELECT identity, person, outcome, occurred_at
FROM identity_links FINAL
WHERE identity IN {identities:Array(String)} OR person IN {persons:Array(String)}
ORDER BY occurred_at, identity, person
