-- How many events a table of facts holds, each counted once; for `crmstream status`. It reads every key.
SELECT count() FROM {table:Identifier} FINAL
