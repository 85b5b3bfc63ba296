-- How many of the customers who ordered or returned anything the sweep of a time has not stored yet.
SELECT
    (SELECT uniqExact(customer_id) FROM transactions WHERE customer_id != '')
    - (SELECT uniqExact(customer_id) FROM customer_daily WHERE toUnixTimestamp(as_of) = {time:UInt32}) AS unscored
