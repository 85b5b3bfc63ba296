"""Bodies of events that are right, nearly right and wrong, for property tests."""

import json

from hypothesis import strategies as st
from support.records import event

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)
TIMES = st.sampled_from(
    [
        "2026-03-01T12:00:00Z",
        "2026-03-01T12:00:00.123456789Z",
        "2026-03-01 12:00:00+00:00",
        "2026-03-01T12:00:00",
        "2026-03-01T23:59:60Z",
        "2026-03-01T12:00Z",
        "20260301T120000Z",
        "1767225600",
        "9999-12-31T23:59:59-23:59",
        "0001-01-01T00:00:00+23:59",
        "1969-12-31T23:59:59.999999Z",
    ]
)
IDS = st.sampled_from(
    ["c-1", "é" * 100, "x" * 101, "", " ", "a\n", "a\x7f", "\ud83d\ude00", "\ud800", "\u2028", "null"]
)
NUMBERS = st.sampled_from([0, -0.0, 1, 1.0, 5, 0.1, 1e9, 1e9 + 1, 2**63, 10**400, -1, 1e-320, float("nan")])
NEAR = {
    "event_id": IDS,
    "kind": st.sampled_from(["web", "transaction", "service", "identity", "tick"]),
    "name": st.sampled_from(["Page Viewed", "Order Completed", "CSAT Submitted", "Alias", "Other"]),
    "customer_id": IDS | st.none(),
    "anonymous_id": IDS | st.none(),
    "occurred_at": TIMES,
    "received_at": TIMES,
    "source": IDS,
    "schema_version": st.sampled_from([1, 1.0, 2, "1", True]),
    "properties": st.dictionaries(
        st.sampled_from(
            ["total", "currency", "items", "score", "url", "product_id", "previous_id", "traits", "order_id"]
        ),
        NUMBERS | IDS | st.sampled_from(["USD", "EUR", "USD\n"]) | JSON_VALUES,
        max_size=5,
    ),
}
CHANGES = st.one_of(*[st.tuples(st.just(name), values | JSON_VALUES) for name, values in NEAR.items()])
BODIES = st.builds(
    lambda kind, name, changes, properties: json.dumps(
        event(kind, name, properties=properties) | dict(changes), ensure_ascii=len(changes) % 2 == 0
    ),
    st.sampled_from(["web", "transaction", "service", "identity"]),
    st.sampled_from(["Page Viewed", "Order Completed", "CSAT Submitted", "Alias", "Other"]),
    st.lists(CHANGES, max_size=3),
    NEAR["properties"],
).map(lambda text: text.encode("utf-8", "surrogatepass"))
