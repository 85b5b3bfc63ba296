-- Write the transactions whose money waits, and has an exchange rate now, again with their worth in the base currency.
-- Rounds as the dataflow does: half to even, in 1/10,000. Amounts above the most that an event may have go on waiting.
-- The new rows win over the old ones, because precedence puts converted money first.
INSERT INTO transactions
SELECT * EXCEPT (rate, worth) REPLACE (CAST(toDecimal128(worth, 4) / 10000 AS Decimal(18, 4)) AS amount_base, 0 AS amount_waits)
FROM
(
    SELECT waiting.*, rates.rate AS rate, toInt64(roundBankers(toFloat64(toInt64(waiting.amount * 10000)) * rates.rate)) AS worth
    FROM (SELECT * FROM transactions FINAL WHERE amount_waits = 1) AS waiting
    ASOF INNER JOIN (SELECT * FROM exchange_rates FINAL) AS rates
        ON waiting.currency = rates.currency AND toDate32(waiting.occurred_at) >= rates.valid_from
)
WHERE worth <= {most:Int64}
