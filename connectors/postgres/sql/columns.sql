SELECT
    a.attname AS name,
    format_type(a.atttypid, NULL) AS type,
    coalesce(array_position(i.indkey::int[], a.attnum::int), -1) AS place_in_key,
    has_column_privilege(a.attrelid, a.attnum, 'SELECT') AS readable
FROM pg_attribute a
LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
WHERE a.attrelid = %(oid)s AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
