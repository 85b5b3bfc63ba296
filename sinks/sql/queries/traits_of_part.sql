-- The traits of a part of all people for Redis, by a hash of the owner; otherwise as traits_of_owners. Those who have none any more,
-- and visitors who belong to somebody, have a row without traits.
SELECT
    owner,
    mapFilter((name, json) -> NOT has({covered:Array(String)}, name), _set) AS others,
    arrayFilter(pair -> isNotNull(pair.2), [/* values */]) AS declared
FROM
(
    SELECT
        owner,
        CAST((groupArrayIf(trait, found.value != 'null'), groupArrayIf(found.value, found.value != 'null')), 'Map(String, String)') AS _set
    FROM
    (
        SELECT
            if(owners.owner != '', owners.owner, facts.person) AS owner,
            toString(facts.trait) AS trait,
            max((NOT startsWith(facts.person, 'anonymous:'), facts.newest)).2 AS found
        FROM
        (
            SELECT person, trait_facts.trait AS trait, newest
            FROM trait_facts
            WHERE cityHash64(person) % {parts:UInt32} = {part:UInt32} OR person IN
            (
                SELECT visitor FROM visitor_owners WHERE cityHash64(visitor_owners.owner) % {parts:UInt32} = {part:UInt32}
            )
        ) AS facts
        LEFT JOIN
        (
            SELECT visitor, visitor_owners.owner AS owner
            FROM visitor_owners
            WHERE cityHash64(visitor) % {parts:UInt32} = {part:UInt32}
                OR cityHash64(visitor_owners.owner) % {parts:UInt32} = {part:UInt32}
        ) AS owners ON owners.visitor = facts.person
        WHERE cityHash64(if(owners.owner != '', owners.owner, facts.person)) % {parts:UInt32} = {part:UInt32}
        GROUP BY owner, trait
    )
    GROUP BY owner
    UNION ALL
    SELECT visitor AS owner, CAST(map(), 'Map(String, String)') AS _set
    FROM visitor_owners
    WHERE cityHash64(visitor) % {parts:UInt32} = {part:UInt32} AND visitor IN (SELECT person FROM trait_facts)
)
SETTINGS join_use_nulls = 0
