-- Whether any row says that its amount waits: quick, but the row may have been replaced by another.
SELECT 1 FROM transactions WHERE amount_waits = 1 LIMIT 1
