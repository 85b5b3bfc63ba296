-- transactions: amount_waits is 1 where the currency has no exchange rate yet; amount_base is 0 there, so sums of
-- amount_base hold what has been converted and nothing else. Once there is a rate, the row is written anew with both.
ALTER TABLE transactions ADD COLUMN IF NOT EXISTS amount_waits UInt8 DEFAULT 0 AFTER amount_base;

-- exchange_rates: what one unit of a currency is worth in the base currency (base) from a day on, until the currency's
-- next row. The first row of each currency is that of 1970-01-01. The base currency itself is in it, with rate 1.
CREATE TABLE IF NOT EXISTS exchange_rates
(
    currency LowCardinality(String),
    valid_from Date32,
    rate Float64,
    base LowCardinality(String)
)
ENGINE = ReplacingMergeTree
ORDER BY (currency, valid_from);
