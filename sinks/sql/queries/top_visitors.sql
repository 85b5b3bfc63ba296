-- The visitors with the highest score of an outcome, each as of the last event, among those seen lately who are not
-- identified; for `crmstream top --visitors`. A visitor is a device, or an e-mail address without a customer.
SELECT
    customer_id,
    argMax(probability[{outcome:String}], version) AS chance,
    argMax(percentile[{outcome:String}], version) AS place,
    argMax(reasons[{outcome:String}], version) AS why,
    argMax(segment, version) AS newest_segment,
    argMax(lifecycle, version) AS newest_lifecycle,
    argMax(as_of, version) AS newest_as_of
FROM score_changes
WHERE (startsWith(customer_id, 'anonymous:') OR startsWith(customer_id, 'email:'))
    AND as_of >= (SELECT max(as_of) FROM score_changes) - toIntervalDay({days:UInt32})
    AND customer_id NOT IN (SELECT customer_id FROM customers FINAL WHERE events = 0)
GROUP BY customer_id
HAVING argMax(mapContains(probability, {outcome:String}), version)
ORDER BY chance DESC, customer_id
LIMIT {shown:UInt32}
