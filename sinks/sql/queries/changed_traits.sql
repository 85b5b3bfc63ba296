-- People whose traits may have changed between two times, or between two earlier ones; for traits in Redis. What is stored may
-- be visible some seconds after its time, so each change is read twice.
SELECT person
FROM trait_changes
WHERE
    (at > {since:DateTime64(6, 'UTC')} AND at <= {until:DateTime64(6, 'UTC')})
    OR (at > {since_again:DateTime64(6, 'UTC')} AND at <= {until_again:DateTime64(6, 'UTC')})
GROUP BY person
ORDER BY person
LIMIT {most:UInt32}
