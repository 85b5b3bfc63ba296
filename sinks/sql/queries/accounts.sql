-- All accounts; for accounts in Redis.
SELECT * FROM accounts ORDER BY account_id
