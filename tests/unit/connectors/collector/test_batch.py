"""Bodies read into messages."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.collector.answers import AnswerError
from connectors.collector.batch import Incoming, merged, read_incoming, read_item
from contracts.wire import RejectedError


def read(body: object, kind: str = "batch", most: int = 10) -> Incoming:
    return read_incoming(body if isinstance(body, bytes) else json.dumps(body).encode(), kind, most)


def messages(incoming: Incoming) -> list[dict[str, Any]]:
    return [read_item(item, incoming)[1] for item in incoming.items]


def test_a_batch_s_context_goes_into_every_message_and_their_own_wins() -> None:
    incoming = read({
        "batch": [{"type": "track", "context": {"app": {"version": "2"}, "ip": None}}, {"type": "page", "userId": "b"}],
        "context": {"app": {"name": "shop", "version": "1"}, "ip": "x"}, "integrations": {"All": True},
        "userId": "a", "timestamp": "2099-01-01",
        "sentAt": "2026-11-22T12:00:00Z", "writeKey": "wk", "channel": "server",
    })  # fmt: skip
    assert (incoming.write_key, incoming.sent_at) == ("wk", datetime(2026, 11, 22, 12, tzinfo=UTC))
    first, second = messages(incoming)
    assert first["context"] == {"app": {"name": "shop", "version": "2"}, "ip": "x"}
    assert second == {
        "type": "page", "userId": "b", "integrations": {"All": True},
        "context": {"app": {"name": "shop", "version": "1"}, "ip": "x"},
    }  # fmt: skip
    assert first["userId"] == "a"
    assert "timestamp" not in first  # of the batch, when it was sent and not when things happened


def test_a_single_message_is_of_the_kind_of_its_path_and_loses_its_key() -> None:
    incoming = read({"type": "page", "event": "x", "writeKey": "wk", "sentAt": "s"}, "track")
    assert messages(incoming) == [{"type": "track", "event": "x", "sentAt": "s"}]
    assert incoming.write_key == "wk"


@pytest.mark.parametrize("body", [b"", b"{", b"nonsense", b"\xff", b'{"batch": [}', b"{}{}", b'{"a":' * 100_000])
def test_what_is_no_json_is_told(body: bytes) -> None:
    with pytest.raises(AnswerError, match="not valid JSON") as error:
        read(body)
    assert error.value.status == 400


@pytest.mark.parametrize("body", [b"[]", b"5", b"null", b"{}", b'{"batch": {}}'])
def test_what_is_no_batch_is_told(body: bytes) -> None:
    with pytest.raises(AnswerError, match="must be an object") as error:
        read(body)
    assert error.value.status == 400


def test_too_many_messages_are_refused_with_400() -> None:
    assert len(read({"batch": [{}] * 10}).items) == 10
    with pytest.raises(AnswerError) as error:
        read({"batch": [{}] * 11})
    assert (error.value.status, error.value.code) == (400, "too_large")


def test_nan_and_half_characters_do_not_cost_a_batch() -> None:
    incoming = read(b'{"batch": [{"a": NaN}, {"b": "\\ud83d"}, {"c": "\\ud83d\\ude00"}]}')
    assert messages(incoming) == [{"a": None}, {"b": "?"}, {"c": "\U0001f600"}]


@pytest.mark.parametrize("item", [b"5", b"[]", b'"x"', b"null", b'{"a": "\xff"}'])
def test_a_wrong_message_does_not_touch_the_others(item: bytes) -> None:
    incoming = read(b'{"batch": [{"type": "page"}, ' + item + b"]}")
    assert read_item(incoming.items[0], incoming)[1] == {"type": "page"}
    with pytest.raises(RejectedError):
        read_item(incoming.items[1], incoming)


def test_empty_lists_are_empty_objects_and_a_wrong_context_costs_only_the_messages_without_one() -> None:
    own = {"type": "page", "context": {"a": 1}}
    listed = read({"batch": [own, {"type": "page", "context": []}], "context": [], "integrations": []})
    assert [one.get("context") for one in messages(listed)] == [{"a": 1}, []]
    assert listed.common_bytes == 0
    common = read({"batch": [own, {"context": []}], "context": {"b": 2}})
    assert [one["context"] for one in messages(common)] == [{"b": 2, "a": 1}, {"b": 2}]
    wrong = read({"batch": [own, {"type": "page"}], "context": 5})
    assert [one["context"] for one in messages(wrong)] == [{"a": 1}, 5]  # the second is refused by its context


def test_what_the_messages_will_take_is_told_before_they_are_made() -> None:
    common = {"context": {"x": "y" * 3_000}}
    incoming = read({"batch": [{"a": "b" * 100}] * 10, **common})
    assert 30_000 < incoming.copied_bytes < 31_000
    assert incoming.memory_bytes > incoming.copied_bytes + 10 * 100
    large = read({"batch": [{}] * 10, "context": {"x": "y" * 40_000}})  # in no message it would be taken
    assert (large.copied_bytes, large.common) == (0, {})


def test_neither_key_nor_time_may_be_large() -> None:
    incoming = read({"batch": [], "writeKey": "k" * 5_000, "sentAt": [[]] * 5_000})
    assert (len(incoming.write_key or ""), incoming.sent_at) == (200, None)


def test_merging_leaves_both_alone() -> None:
    one, other = {"a": {"b": 1}}, {"a": {"c": 2}, "d": None}
    assert merged(one, other) == {"a": {"b": 1, "c": 2}, "d": None}
    assert (one, other) == ({"a": {"b": 1}}, {"a": {"c": 2}, "d": None})


def test_a_picture_that_is_loaded_again_is_another_event_and_a_request_sent_again_is_not() -> None:
    first, again = (read_incoming(b'{"event": "Email Opened"}', "track", 10) for _ in range(2))
    assert first.items[0].fallback_id() == again.items[0].fallback_id()
    moments = (datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 5, 1, 0, 0, 1, tzinfo=UTC))
    opened = {first.each_once(moment).items[0].fallback_id() for moment in moments}
    assert len(opened) == 2


def test_the_size_of_what_all_messages_get_is_known_before_they_get_it() -> None:
    body = json.dumps({"context": {"x": "y" * 1_000}, "batch": [{}, {}]}).encode()
    assert read_incoming(body, "batch", 10).common_bytes > 1_000
