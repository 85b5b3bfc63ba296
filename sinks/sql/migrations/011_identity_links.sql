-- identity_links: decisions of identity resolution. identity is a visitor (anonymous:<id>) or an e-mail address
-- (email:<hash>), person the customer, or the address that a visitor typed; outcome is linked, unlinked, or why the link
-- was refused. A link is decided when it is taken in, so occurred_at, the time of the event that asked for it, orders the
-- decisions of an identity. Exchanged as in 010_fact_owners.
CREATE TABLE identity_links_new_{run}
(
    identity String,
    person String,
    outcome LowCardinality(String),
    occurred_at DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(occurred_at)
ORDER BY (identity, person);
INSERT INTO identity_links_new_{run} SELECT identity, person, outcome, occurred_at FROM identity_links FINAL;
EXCHANGE TABLES identity_links AND identity_links_new_{run};
DROP TABLE identity_links_new_{run};
