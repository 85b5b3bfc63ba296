-- The amounts that wait for an exchange rate, by currency: how many, and their sum.
SELECT currency, count(), sum(amount)
FROM transactions FINAL
WHERE amount_waits = 1
GROUP BY currency
ORDER BY count() DESC, currency
