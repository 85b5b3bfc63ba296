-- People whose traits may have changed between two times, or between so many milliseconds before each of them, after one of them by
-- name; for traits in Redis. What is stored may be visible some seconds after its time, so each change is read twice.
SELECT person
FROM trait_changes
WHERE
    person > {after:String}
    AND (
        (at > {since:DateTime64(3, 'UTC')} AND at <= {until:DateTime64(3, 'UTC')})
        OR (at > {since_again:DateTime64(3, 'UTC')} AND at <= {until_again:DateTime64(3, 'UTC')})
    )
GROUP BY person
ORDER BY person
LIMIT {most:UInt32}
