-- All people with traits, after one of them by name; for traits in Redis.
SELECT person
FROM trait_facts
WHERE person > {after:String}
GROUP BY person
ORDER BY person
LIMIT {most:UInt32}
SETTINGS optimize_aggregation_in_order = 1
