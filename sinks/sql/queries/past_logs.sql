-- The copies of facts that were made for a rebuild, complete or not.
SELECT name FROM system.tables WHERE database = currentDatabase() AND startsWith(name, {prefix:String}) ORDER BY name
