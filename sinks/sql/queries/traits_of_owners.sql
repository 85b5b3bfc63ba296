-- The traits of some people for Redis: others as they were sent, and declared ones, which sinks/traits.py adds. Whose the i-th of
-- ids is say owners. As in the view customer_traits, a value set under a customer id counts more than one that a device set.
SELECT
    owner,
    mapFilter((name, json) -> NOT has({covered:Array(String)}, name), _set) AS others,
    arrayFilter(pair -> isNotNull(pair.2), [/* values */]) AS declared
FROM
(
    SELECT owner, CAST((groupArray(trait), groupArray(found.value)), 'Map(String, String)') AS _set
    FROM
    (
        SELECT
            transform(person, {ids:Array(String)}, {owners:Array(String)}, person) AS owner,
            toString(trait_facts.trait) AS trait,
            max((NOT startsWith(person, 'anonymous:'), newest)).2 AS found
        FROM trait_facts
        WHERE person IN {ids:Array(String)}
        GROUP BY owner, trait
    )
    WHERE found.value != 'null'
    GROUP BY owner
)
