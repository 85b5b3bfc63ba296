-- How many people's traits may have changed since a time; for traits in Redis.
SELECT uniqExact(person)
FROM trait_changes
WHERE at > {since:DateTime64(6, 'UTC')}
