-- Every decision about one of some identities, or about ids of one person; for `crmstream identity show`.
SELECT identity, person, outcome, occurred_at, decided_at
FROM identity_links FINAL
WHERE identity IN {identities:Array(String)} OR person IN {persons:Array(String)}
ORDER BY occurred_at, identity, person
