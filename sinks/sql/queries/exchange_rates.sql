-- The exchange rates in force.
SELECT currency, valid_from, rate, base FROM exchange_rates FINAL
