-- What each customer's scores were as of some sweeps; NULL where an outcome is not asked of a customer.
SELECT
    customer_id,
    toDate(as_of) AS day,
    if(mapContains(probability, {first:String}), probability[{first:String}], NULL) AS first_score,
    if(mapContains(probability, {second:String}), probability[{second:String}], NULL) AS second_score
FROM customer_daily FINAL
WHERE toUnixTimestamp(as_of) IN {times:Array(UInt32)}
ORDER BY as_of, customer_id
