-- The traits of a part of all people for Redis, by a hash of the owner, or of one owner; otherwise as traits_of_owners. Whoever may
-- have had traits and has none has a row without traits: visitors who belong to somebody, and people to whom ids were linked.
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
            AND {owner:String} IN ('', if(owners.owner != '', owners.owner, facts.person))
        GROUP BY owner, trait
        UNION ALL
        SELECT DISTINCT arrayJoin([person, identity]) AS owner, '' AS trait, CAST((0, 0, 0, '', 'null'), 'Tuple(occurred_at DateTime64(6, \'UTC\'), received_at DateTime64(6, \'UTC\'), log_offset UInt64, source String, value String)') AS found
        FROM known_ids
        WHERE {owner:String} = '' AND cityHash64(owner) % {parts:UInt32} = {part:UInt32}
    )
    GROUP BY owner
)
SETTINGS join_use_nulls = 0
