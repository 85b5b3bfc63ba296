"""The names and shapes that other programs read: Redis keys and ClickHouse tables.

``docs/contracts.md`` documents each with a line to try.
"""

from typing import Final

SCORE_PREFIX: Final = "crm:score"
PROFILE_PREFIX: Final = "crm:profile"
TOP_PREFIX: Final = "crm:top"
TRAITS_PREFIX: Final = "crm:traits"
ACCOUNT_PREFIX: Final = "crm:account"
ACCOUNTS_KEY: Final = "crm:accounts"
"""The hash of all accounts that have a hash: a digest of it by account."""
PUBLISHED_KEY: Final = "crm:published"
"""Up to when changes of traits have reached Redis, as JSON."""
ALERTS_STREAM: Final = "crm:alerts"
VERSION_FIELD: Final = "version"
MERGED_FIELD: Final = "merged_into"
"""The field of an identified visitor's hashes: the id of the owner, a customer or an e-mail address."""


def score_key(customer_id: str) -> str:
    """The hash of a customer's scores. The braces make the id the cluster's hash tag."""
    return f"{SCORE_PREFIX}:{{{customer_id}}}"


def profile_key(customer_id: str) -> str:
    """The hash of a customer's profile."""
    return f"{PROFILE_PREFIX}:{{{customer_id}}}"


def traits_key(customer_id: str) -> str:
    """The hash of a customer's or visitor's traits."""
    return f"{TRAITS_PREFIX}:{{{customer_id}}}"


def account_key(account_id: str) -> str:
    """The hash of an account."""
    return f"{ACCOUNT_PREFIX}:{{{account_id}}}"


def top_key(outcome: str) -> str:
    """The sorted set of customers by the probability of an outcome, in per cent of one."""
    return f"{TOP_PREFIX}:{outcome}"


TABLES: Final = {
    "web_events": "one row per web event",
    "transactions": "one row per order, refund or cancellation",
    "service_events": "one row per ticket, chat or satisfaction event",
    "identity_events": "one row per identify, alias or unlink",
    "customers": "one row per customer or visitor: the newest profile",
    "identity_links": "the newest decision about each id and each person that claimed it",
    "customer_daily": "every customer at every sweep: features, scores, segment, lifecycle",
    "score_changes": "a row when events moved a customer's score between sweeps",
    "model_quality": "each model at each sweep: its measures, weights and version",
    "order_facts": "events of orders without repeats: the views for analysts read it",
    "trait_facts": "the newest value that each customer or visitor gave of each trait: views read it",
    "account_members": "who belongs to which account: the view accounts reads it",
    "account_facts": "the newest value of each trait of an account: the view accounts reads it",
    "trait_changes": "whose traits have changed lately: traits in Redis follow it",
    "known_ids": "the ids that were ever linked to a person: traits in Redis are found by it",
    "log_events": "one row per record of an event, in the order of the log: for a rebuild",
    "log_clocks": "where in the log the clock of a topic-partition entered a slot: for a rebuild",
    "exchange_rates": "what currencies are worth in the base currency, by day",
    "dead_letters": "invalid records, with the reason",
}
"""The tables of the database, and what a row of each is. Read all of them with FINAL."""

CLOCK_TABLE: Final = "log_clocks"
FACT_TABLES: Final = {
    "web": "web_events",
    "transaction": "transactions",
    "service": "service_events",
    "identity": "identity_events",
}
