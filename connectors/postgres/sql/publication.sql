SELECT
    p.pubinsert AS insert, p.pubupdate AS update, p.pubdelete AS delete,
    coalesce((SELECT json_agg(t.schemaname || '.' || t.tablename)
              FROM pg_publication_tables t WHERE t.pubname = p.pubname), '[]') AS tables
FROM pg_publication p
WHERE p.pubname = %(name)s
