"""Rows about a person in every table about people."""

import json
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final

from clickhouse_connect.driver.client import Client

from contracts.identity import email_key, visitor_id
from contracts.stored import FACT_TABLES

NOON: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
OFFSETS: Final = count(1)
ADDRESS: Final = email_key("jo@example.com")


def add_person(client: Client, customer: str, device: str, address: str) -> None:
    """Insert rows about a person, with all ids, into every table about people."""
    def insert(table: str, *rows: dict[str, Any]) -> None:
        whole = [{**row, "log_offset": next(OFFSETS)} if "received_at" in row else row for row in rows]
        client.insert(table, [list(row.values()) for row in whole], column_names=list(whole[0]))

    for table in FACT_TABLES.values():
        name = {"transactions": "Order Completed", "identity_events": "Identify"}.get(table, "Page Viewed")
        common = {"name": name, "occurred_at": NOON, "received_at": NOON, "source": "shop",
                  "properties": json.dumps({"traits": {"note": f"of\n{customer}"}})}  # fmt: skip
        insert(table, {"event_id": f"{customer}-1", "customer_id": customer, "anonymous_id": device, **common},
               {"event_id": f"{customer}-2", "customer_id": "", "anonymous_id": device, **common})  # fmt: skip
    group = {"name": "Group", "properties": json.dumps({"group_id": "acme"}), "customer_id": customer}
    insert("identity_events", {"event_id": f"{customer}-3", "occurred_at": NOON, "received_at": NOON, **group})
    insert("customers", {"customer_id": customer, "version": 1, "merged_into": ""},
           {"customer_id": visitor_id(device), "version": 1, "merged_into": customer})  # fmt: skip
    link = {"outcome": "linked", "occurred_at": NOON}
    insert("identity_links", {"identity": visitor_id(device), "person": customer, **link},
           {"identity": address, "person": customer, **link})  # fmt: skip
    insert("customer_daily", {"as_of": NOON, "customer_id": customer, "version": 1})
    insert("score_changes", {"as_of": NOON, "customer_id": customer, "version": 1})
    letter = {"topic": "crm-web-events", "log_partition": 0, "entered_at": NOON}
    insert("dead_letters", {"log_offset": len(customer), "body": json.dumps({"customer_id": customer}), **letter})
