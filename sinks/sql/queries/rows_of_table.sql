-- How many rows a table has.
SELECT total_rows FROM system.tables WHERE database = currentDatabase() AND name = {table:String}
