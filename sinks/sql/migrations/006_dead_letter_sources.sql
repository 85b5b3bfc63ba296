-- dead_letters: the configured source that sent what a connector refused at its door; empty of all others.
ALTER TABLE dead_letters ADD COLUMN IF NOT EXISTS source LowCardinality(String) DEFAULT '';
