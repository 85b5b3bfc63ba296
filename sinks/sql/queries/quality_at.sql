-- How good each outcome's model had proved to be by a moment: its newest row up to then.
SELECT outcome, as_of, model_version, examples_total, base_rate, auc, log_loss, brier, ece
FROM model_quality FINAL
WHERE toUnixTimestamp(as_of) <= {until:UInt32}
ORDER BY outcome, as_of DESC
LIMIT 1 BY outcome
