-- Write the transactions whose money waits, and has an exchange rate now, anew with their worth in the base currency.
-- The same rounding as in the dataflow: half to even, in 1/10,000. What is worth more than an event may be worth waits.
-- The rows have the version that they had (log_offset): of equal ones the last written wins.
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
