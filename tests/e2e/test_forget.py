"""Somebody is forgotten: nothing that is stored knows them any more, and nothing brings them back."""

import json
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer
from support.collecting import basic, write_sources
from support.flow import Flow, Log, wait_until

from contracts.forgotten import read_forgotten
from contracts.identity import email_key, visitor_id
from contracts.settings import Settings
from contracts.stored import account_key, traits_key
from sinks.clients import clickhouse_client, redis_client

KEY = "wk_forget"
PERSON, PHONE, TABLET, ADDRESS, NAME = (
    "customer-9f31", "device-phone-9f31", "device-tablet-9f31", "Somebody.9f31@example.com", "Somebody Ninefthirtyone"
)
OTHERS = [f"other-{number:03}" for number in range(60)]
TRACES = [text.encode() for text in (PERSON, PHONE, TABLET, ADDRESS, ADDRESS.lower(), NAME, email_key(ADDRESS))]


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flow]:
    """An installation of its own with a collector and two workers."""
    folder = tmp_path_factory.mktemp("forget")
    write_sources(folder, {"shop": KEY})
    unset = dict.fromkeys(("kafka_bootstrap_servers", "clickhouse_url", "redis_url"))
    settings = Settings(
        data_dir=folder, workers=2, collector_port=0, base_currency="EUR", epoch_seconds=0.2, **unset  # type: ignore[arg-type]
    )  # fmt: skip
    with Flow(settings) as running:
        yield running


def send(flow: Flow, *messages: dict[str, Any]) -> None:
    """Send messages as an SDK does."""
    batch = [
        {"messageId": f"m-{number}-{message['timestamp']}-{message.get('userId')}", **message}
        for number, message in enumerate(messages)
    ]
    body = orjson.dumps({"batch": batch, "sentAt": datetime.now(UTC).isoformat()})
    request = urllib.request.Request(
        f"{flow.endpoints.collector_url}/v1/batch", body,
        {"Authorization": basic(KEY), "Content-Type": "application/json"},
    )  # fmt: skip
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.status == 200


def history(now: datetime) -> list[dict[str, Any]]:
    """The person on two devices, with an order, a ticket and an e-mail address; and others who order."""
    times = [(now - timedelta(hours=30 - number)).isoformat() for number in range(10)]
    order = {"order_id": "o-9f31", "total": 50, "currency": "EUR", "note": NAME}
    person = [
        {"type": "page", "anonymousId": PHONE, "timestamp": times[0], "properties": {"url": "https://shop.example/"}},
        {"type": "identify", "userId": PERSON, "anonymousId": PHONE, "timestamp": times[1],
         "traits": {"email": ADDRESS, "name": NAME}},
        {"type": "identify", "anonymousId": TABLET, "timestamp": times[2], "traits": {"email": ADDRESS}},
        {"type": "page", "anonymousId": TABLET, "timestamp": times[3], "properties": {"url": "https://shop.example/a"}},
        {"type": "track", "userId": PERSON, "event": "Order Completed", "timestamp": times[4], "properties": order},
        {"type": "track", "userId": PERSON, "event": "Ticket Opened", "timestamp": times[5],
         "properties": {"ticket_id": "t-9f31"}},
        {"type": "group", "userId": PERSON, "groupId": "acme", "timestamp": times[6], "traits": {"name": "Acme"}},
    ]  # fmt: skip
    others = [
        {"type": "track", "userId": other, "event": "Order Completed", "timestamp": times[7],
         "properties": {"order_id": f"o-{other}", "total": 10, "currency": "EUR"}} for other in OTHERS
    ]  # fmt: skip
    return person + others


def ask(flow: Flow, query: str, **parameters: object) -> list[tuple[Any, ...]]:
    client = clickhouse_client(flow.endpoints.clickhouse_url, flow.settings.clickhouse_database)
    return [tuple(row) for row in client.query(query, parameters=parameters).result_rows]


def profiles(flow: Flow) -> dict[str, int]:
    """Events by profile."""
    return dict(ask(flow, "SELECT customer_id, events FROM customers FINAL WHERE merged_into = ''"))


def in_redis(flow: Flow, key: str) -> dict[str, str]:
    with redis_client(flow.endpoints.redis_url) as redis:
        return dict(redis.hgetall(key))


def await_others(flow: Flow, before: list[int]) -> None:
    """Wait until other workers than before run."""
    flow.await_that(lambda: len(flow.worker_pids) == 2 and not {*flow.worker_pids} & {*before}, "workers restarted")


def garbage(flow: Flow) -> None:
    """A record of the person that no contract allows."""
    producer = Producer({"bootstrap.servers": flow.endpoints.kafka, "partitioner": "murmur2_random", "log_level": 0})
    producer.produce("crm-web-events", json.dumps({"customer_id": PERSON, "kind": "web"}), PERSON.encode())
    assert producer.flush(20) == 0


def traces(flow: Flow) -> list[str]:
    """Where anything of the person is found: rows of all tables, keys and values of Redis, state, logs, the list."""
    found = []
    database = flow.settings.clickhouse_database
    tables = ask(
        flow, "SELECT name FROM system.tables WHERE database = {of:String} AND engine LIKE '%MergeTree'", of=database
    )
    for (table,) in tables:
        columns = ask(flow, "SELECT name FROM system.columns WHERE database = {of:String} AND table = {table:String}"
                            " AND default_kind != 'ALIAS'", of=database, table=table)  # fmt: skip
        texts = " || ' ' || ".join(f"toString({name})" for (name,) in columns)
        where = " OR ".join(f"positionCaseInsensitive({texts}, '{trace.decode()}') > 0" for trace in TRACES)
        found += [f"table {table}: {row}" for row in ask(flow, f"SELECT * FROM {table} WHERE {where}")]
    with redis_client(flow.endpoints.redis_url) as redis:
        for key in redis.scan_iter("*"):
            kind = redis.type(key)
            held = {"zset": lambda key=key: redis.zrange(key, 0, -1), "hash": lambda key=key: redis.hgetall(key),
                    "string": lambda key=key: redis.get(key)}  # fmt: skip
            text = f"{key} {held[kind]() if kind in held else ''}".encode()
            found += [f"key {key}" for trace in TRACES if trace in text]
    folder = flow.settings.data_dir
    for path in (*(folder / "recovery").rglob("*"), *(folder / "logs").rglob("*"), folder / "forgotten.json"):
        if path.is_file():
            data = path.read_bytes()
            found += [f"file {path}: {trace!r}" for trace in TRACES if trace in data]
    return found


def test_nothing_that_is_stored_knows_somebody_who_was_forgotten(flow: Flow, tmp_path: Path) -> None:
    told = history(datetime.now(UTC))
    send(flow, *told)
    garbage(flow)
    wait_until(lambda: profiles(flow).get(PERSON, 0) >= 6, "the person has a profile")
    wait_until(lambda: ask(flow, "SELECT count() FROM dead_letters FINAL") == [(1,)], "the record was rejected")
    flow.drain(Log(flow.endpoints.kafka, flow.settings.partitions))
    before = profiles(flow)
    assert len(before) == len(OTHERS) + 1
    assert any("recovery" in each for each in traces(flow)), "the state knows the person"
    wait_until(lambda: in_redis(flow, traits_key(PERSON)) == {"email": ADDRESS, "name": NAME}, "Redis has the traits")
    wait_until(lambda: in_redis(flow, account_key("acme")).get("orders") == "1", "Redis has the account")

    said = flow.run("forget", ADDRESS, "--yes")
    assert "Forgot 4 ids" in said, said
    assert traces(flow) == []
    forgotten = read_forgotten(flow.settings.data_dir / "forgotten.json")
    assert forgotten.pending == frozenset()
    assert len(forgotten.people) == 4
    log = flow.run("forget", "--log").splitlines()
    assert len(log) == 4
    assert all("forgotten" in line for line in log)
    before.pop(PERSON)
    assert profiles(flow) == before


def test_events_of_before_bring_nobody_back_and_later_ones_make_a_new_customer(flow: Flow) -> None:
    """Sent again under the same and under other ids, with garbage, and after all state was computed anew."""
    told = history(datetime.now(UTC) - timedelta(hours=2))
    send(flow, *[message | {"messageId": f"again-{number}"} for number, message in enumerate(told[:7])])
    flow.drain(Log(flow.endpoints.kafka, flow.settings.partitions))
    assert traces(flow) == []
    others = profiles(flow)
    flow.stop()
    flow.run("rebuild", "--yes")
    flow.start()
    flow.drain(Log(flow.endpoints.kafka, flow.settings.partitions))
    assert traces(flow) == []
    wait_until(lambda: profiles(flow) == others, "the profiles of the others are as before")

    now = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    send(flow, {"type": "track", "userId": PERSON, "event": "Order Completed", "timestamp": now,
                "properties": {"order_id": "new", "total": 7, "currency": "EUR"}})  # fmt: skip
    wait_until(lambda: profiles(flow).get(PERSON) == 1, "a new customer")


def test_suppressed_people_stay_out_until_that_is_lifted(flow: Flow) -> None:
    flow.run("forget", PERSON, "--yes")
    workers = flow.worker_pids
    said = flow.run("suppress", PERSON)
    assert traces(flow) == []
    assert "Suppressed" in said, said

    def order(number: int) -> dict[str, Any]:
        now = (datetime.now(UTC) + timedelta(seconds=number)).isoformat()
        return {"type": "track", "userId": PERSON, "event": "Order Completed", "timestamp": now,
                "messageId": f"later-{number}",
                "properties": {"order_id": f"n-{number}", "total": 1, "currency": "EUR"}}  # fmt: skip

    await_others(flow, workers)
    send(flow, order(1))
    flow.drain(Log(flow.endpoints.kafka, flow.settings.partitions))
    assert traces(flow) == []
    workers = flow.worker_pids
    assert "Took" in flow.run("suppress", PERSON, "--lift")
    await_others(flow, workers)
    send(flow, order(2), order(3))
    wait_until(lambda: profiles(flow).get(PERSON, 0) == 2, "the events count again")


def test_a_source_may_ask_for_it(flow: Flow) -> None:
    now = datetime.now(UTC).isoformat()
    other = OTHERS[0]
    send(flow, {"type": "track", "userId": other, "event": "Delete User", "timestamp": now})
    query = "SELECT count() FROM identity_events WHERE name = 'Delete User'"
    wait_until(lambda: ask(flow, query) == [(1,)], "the request is there")
    assert "nobody to forget" in flow.run("forget", "--requested-by", "somebody-else", "--yes")
    assert other in profiles(flow)
    assert "Forgot" in flow.run("forget", "--requested-by", "shop", "--yes")
    assert other not in profiles(flow)
    assert "nobody to forget" in flow.run("forget", "--requested-by", "shop", "--yes")
    assert visitor_id(other) not in profiles(flow)
