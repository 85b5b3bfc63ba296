-- The newest value of each trait of a person who has several ids; for `crmstream customer`. As in the view customer_traits,
-- a value set under a customer id counts more than one that a device set.
SELECT
    trait,
    found.value AS json,
    found.occurred_at AS set_at,
    found.source AS source
FROM
(
    SELECT trait, max((NOT startsWith(person, 'anonymous:'), newest)).2 AS found
    FROM trait_facts
    WHERE person IN {ids:Array(String)}
    GROUP BY trait
)
WHERE found.value != 'null'
ORDER BY trait
