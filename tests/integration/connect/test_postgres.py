"""``crmstream connect postgres`` on a real PostgreSQL: what rows become, and what is told when something is wrong."""

import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest
from psycopg2 import errors
from pydantic import SecretStr
from support.connector import PARTITIONS, Connector
from support.postgres import PostgresServer, execute

from connectors.databases.changes import mapper_of
from connectors.databases.connections import load_connection
from connectors.databases.ids import EventIds
from connectors.databases.pump import Figures, Pump, Rules
from connectors.databases.seal import Seal
from connectors.databases.times import OUT_OF_RANGE
from connectors.door.door import Door
from connectors.door.keys import keys_of
from connectors.kafka.positions import Position, read_position
from connectors.kafka.topics import ensure_topics
from connectors.postgres.config import PostgresConnection, slot_name
from connectors.postgres.replication import ReplicationSource
from connectors.postgres.server import Connection, Server
from connectors.postgres.stream import lsn_number
from connectors.sources.source import load_sources

pytestmark = pytest.mark.stack
ORDERS = """
    CREATE TABLE orders (
        id integer PRIMARY KEY,
        customer text NOT NULL,
        total numeric(10, 2) NOT NULL,
        status text NOT NULL DEFAULT 'paid',
        paid boolean NOT NULL DEFAULT true,
        note text,
        at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now()
    )
"""
INSERT = "INSERT INTO orders (id, customer, total) SELECT n, 'c' || n, n + 0.25 FROM generate_series(%s, %s) n"
EVENT = """
    name: Order Completed
    customer_id: customer
    occurred_at: at
    properties:
      order_id: id
      paid: {column: paid, type: boolean}
      total: {column: total, type: money, currency: EUR}
"""
POLLED = "source: {source}\nmode: watermark\ntables:\n  orders:\n    watermark: updated_at" + EVENT
FOLLOWED = "source: {source}\nmode: replication\n{more}tables:\n  orders:" + EVENT
RULES = """
    source: {source}
    mode: replication
    tables:
      orders:
        events:
          - name: Ticket Opened
            only: {paid: "true"}
            customer_id: customer
            occurred_at: at
            properties: {ticket_id: id, order_id: id}
          - on: update
            name: {rules: [{name: Order Cancelled, when: {status: gone}, unless: {old.status: gone}}]}
            customer_id: customer
            occurred_at: updated_at
            properties: {order_id: id}
          - on: delete
            name: Ticket Solved
            customer_id: customer
            occurred_at: at
            properties: {ticket_id: id, order_id: id}
"""


@pytest.fixture
def source(database: str) -> str:
    """A source that no other test has, of which the slot is named after too."""
    return database.replace("_", "-")


def polled(connector: Connector, source: str) -> str:
    return connector.file(POLLED.replace("{source}", source))


def followed(connector: Connector, source: str, more: str = "") -> str:
    return connector.file(FOLLOWED.replace("{source}", source).replace("{more}", more))


def run(connector: Connector, *arguments: str) -> str:
    done = connector.run("postgres", *arguments)
    assert done.code == 0, done.err
    return done.out + done.err


def names(connector: Connector, source: str) -> Counter[tuple[str, str]]:
    """How often each name came for each order."""
    return Counter((event["name"], event["properties"]["order_id"]) for event in connector.events(source))


def ids(connector: Connector, source: str) -> list[int]:
    return sorted(int(event["properties"]["order_id"]) for event in connector.events(source))


def until(connector: Connector, source: str, reached: Callable[[Position], bool]) -> None:
    """Wait until the position in Kafka is such a one."""
    deadline = time.monotonic() + 30
    while not ((position := read_position(connector.kafka, f"postgres-{source}")) and reached(position)):
        assert time.monotonic() < deadline, connector.told()
        assert connector.alive, connector.told()


class DeathError(Exception):
    """Ends a connector in the midst of its work."""


def place_of_slot(shop: Connection) -> int:
    """Where the one slot of the database stands in the log."""
    look = "SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE database = current_database()"
    ((place,),) = execute(shop, look)
    return lsn_number(place)


def protect(connector: Connector, source: str, rules: str = "hash: [email]") -> None:
    """Give the source privacy rules."""
    connector.environment["CRM_PRIVACY_KEY"] = "a key that has no fewer than 32 letters"
    folder = connector.folder / "data"
    folder.mkdir(exist_ok=True)
    (folder / "sources.yaml").write_text(f"sources: {{{source}: {{privacy: {{{rules}}}}}}}", encoding="utf-8")


def die_when(connector: Connector, file: str, reached: Callable[[Position], bool]) -> None:
    """Run a connector that follows a database, in this process, until Kafka holds such a position."""
    connection = load_connection(Path(file), PostgresConnection)
    server = Server(connector.environment["CRM_POSTGRES_URL"], "CRM_POSTGRES_URL", connection.name)
    secret = SecretStr(connector.environment["CRM_PRIVACY_KEY"])
    door = Door(load_sources(connector.folder / "data" / "sources.yaml").sources[connection.source], "connect", secret)
    keys = keys_of(door.source, secret)
    ids = EventIds(connection.source, connection.name, keys)
    rules = Rules({table.full_name: mapper_of(table, door, ids) for table in connection.tables}, door)
    deadline = time.monotonic() + 60

    def die(figures: Figures) -> None:
        assert time.monotonic() < deadline, figures.position
        if figures.position is not None and reached(figures.position):
            raise DeathError

    pump = Pump(
        ReplicationSource(server, connection), lambda: rules, connector.kafka, PARTITIONS, connection.position_name,
        Event(), die, lambda problem, _wait: pytest.fail(problem), Seal(keys),
    )  # fmt: skip
    ensure_topics(connector.kafka, PARTITIONS)
    with pytest.raises(DeathError):
        pump.run()


def test_a_transaction_held_open_while_others_commit_loses_nothing(
    connector: Connector, source: str, shop: Connection, server: PostgresServer, database: str
) -> None:
    """Its rows have older times and numbers than what was committed, and read, before them."""
    execute(shop, ORDERS)
    execute(shop, INSERT, [1, 3])
    file = polled(connector, source)
    early = server.connect(database)
    early.autocommit = False
    execute(early, "SELECT now()")  # its time is set, its number is not
    held = server.connect(database)
    held.autocommit = False
    execute(held, INSERT, [100, 100])
    execute(held, "SAVEPOINT another")
    execute(held, INSERT, [101, 101])
    execute(shop, INSERT, [4, 6])
    run(connector, file, "--once")
    assert ids(connector, source) == [1, 2, 3]
    execute(early, INSERT, [200, 200])
    early.commit()
    held.commit()
    execute(shop, INSERT, [7, 7])
    run(connector, file, "--once")
    run(connector, file, "--once")
    assert ids(connector, source) == [1, 2, 3, 4, 5, 6, 7, 100, 101, 200]


def test_a_row_that_changes_is_the_same_event_unless_every_change_is_one(
    connector: Connector, source: str, shop: Connection
) -> None:
    execute(shop, ORDERS)
    execute(shop, INSERT, [1, 2])
    once = polled(connector, source)
    text = POLLED.replace("{source}", source).replace("tables:", f"name: {source}-all\ntables:")
    each = connector.file(text.replace("watermark: up", "id: change\n    watermark: up"), "each.yaml")
    for _ in range(2):
        run(connector, once, "--once")
        run(connector, each, "--once")
        execute(shop, "UPDATE orders SET total = 9, updated_at = now() WHERE id = 1")
    events = connector.events(source)
    assert names(connector, source) == {("Order Completed", "1"): 4, ("Order Completed", "2"): 2}
    assert len({event["event_id"] for event in events if event["properties"]["order_id"] == "1"}) == 1 + 2


def test_lookback_bounds_a_look_and_takes_the_rest(connector: Connector, source: str, shop: Connection) -> None:
    execute(shop, ORDERS)
    execute(shop, INSERT, [1, 2])
    text = POLLED.replace("{source}", source)
    file = connector.file(text.replace("watermark: up", "lookback: 1 hour\n    watermark: up"))
    run(connector, file, "--once")
    execute(shop, "INSERT INTO orders (id, customer, total, updated_at) VALUES (3, 'c', 1, now() - interval '50 min')")
    execute(shop, "INSERT INTO orders (id, customer, total, updated_at) VALUES (4, 'c', 1, now() - interval '2 h')")
    run(connector, file, "--once")
    assert ids(connector, source) == [1, 2, 3]


def test_a_server_that_shuts_down_and_comes_back_is_followed_on_though_it_moved_the_slot(
    connector: Connector, source: str, shop: Connection, server: PostgresServer, database: str
) -> None:
    """It asks its readers for how far they are, and the driver answers before Kafka knows."""
    execute(shop, ORDERS)
    execute(shop, "CREATE TABLE elsewhere (n integer)")
    file = followed(connector, source)
    run(connector, file, "--once")
    ((before,),) = execute(shop, "SELECT pg_current_wal_insert_lsn()")
    execute(shop, INSERT, [1, 1])
    connector.start("postgres", file)
    until(connector, source, lambda position: lsn_number(position["start"]) > lsn_number(before))
    admin = server.connect(database, "postgres")
    for _ in range(2):
        execute(shop, "INSERT INTO elsewhere SELECT generate_series(1, 1000)")
        execute(admin, "CHECKPOINT")  # from then on what is confirmed is kept on disk
    server.stop()
    admin.close()
    server.start()
    connector.wait_until_it_tells("Trying again")
    connector.kill()
    kept = read_position(connector.kafka, f"postgres-{source}")
    assert kept is not None
    with server.connect(database) as again:
        assert place_of_slot(again) <= lsn_number(kept["start"])
    run(connector, file, "--once")
    assert ids(connector, source) == [1]


def test_operations_have_names_by_rules_on_old_and_new_values(
    connector: Connector, source: str, shop: Connection
) -> None:
    execute(shop, ORDERS)
    execute(shop, "ALTER TABLE orders REPLICA IDENTITY FULL")
    file = connector.file(RULES.replace("{source}", source))
    run(connector, file, "--once")
    execute(shop, INSERT, [1, 3])
    execute(shop, "INSERT INTO orders (id, customer, total, paid) VALUES (4, 'c4', 1, false)")
    for status in ("packed", "gone", "gone"):
        execute(shop, "UPDATE orders SET status = %s WHERE id < 3", [status])
    execute(shop, "DELETE FROM orders WHERE id = 3")
    execute(shop, "TRUNCATE orders")
    assert "the mapping leaves out 5" in run(connector, file, "--once")
    assert names(connector, source) == {
        **{("Ticket Opened", order): 1 for order in "123"},
        **{("Order Cancelled", order): 1 for order in "12"},
        ("Ticket Solved", "3"): 1,
    }


def test_a_table_that_could_not_be_updated_any_more_is_not_published(
    connector: Connector, source: str, shop: Connection
) -> None:
    """PostgreSQL refuses updates and deletions of published tables without an identity: the shop must never see it."""
    execute(shop, ORDERS.replace("PRIMARY KEY", "NOT NULL") + "PARTITION BY RANGE (id)")
    execute(shop, "CREATE TABLE few PARTITION OF orders FOR VALUES FROM (1) TO (10)")
    execute(shop, "CREATE TABLE keyed PARTITION OF orders (PRIMARY KEY (id)) FOR VALUES FROM (10) TO (20)")
    execute(shop, INSERT, [1, 12])
    file = followed(connector, source)
    Path(file).write_text(Path(file).read_text("utf-8").replace("  orders:", "  orders:\n    key: id"), "utf-8")
    remedy = "".join(f'ALTER TABLE "public"."{name}" REPLICA IDENTITY FULL; ' for name in ("orders", "few")).rstrip()
    checked = connector.run("postgres", file, "--check")
    assert (checked.code, remedy in checked.out) == (1, True)
    started = connector.run("postgres", file)
    assert (started.code, remedy in started.err) == (1, True)
    execute(shop, "UPDATE orders SET total = 2")
    execute(shop, f'CREATE PUBLICATION "{slot_name(source)}" FOR TABLE orders WITH (publish_via_partition_root = true)')
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="does not have a replica identity"):
        execute(shop, "UPDATE orders SET total = 3 WHERE id = 1")
    assert remedy in connector.run("postgres", file, "--once").err
    for statement in remedy.split("; "):
        execute(shop, statement)
    run(connector, file, "--check")
    run(connector, file, "--once")
    execute(shop, "UPDATE orders SET total = 4 WHERE id IN (1, 10)")
    execute(shop, "DELETE FROM orders WHERE id = 2")
    execute(shop, INSERT, [13, 13])
    run(connector, file, "--once")
    assert ids(connector, source) == [*range(1, 14)]


def test_a_value_that_was_not_sent_is_left_out_and_noted_and_refused_where_it_is_needed(
    connector: Connector, source: str, shop: Connection
) -> None:
    execute(shop, ORDERS)
    execute(shop, INSERT, [1, 1])
    execute(shop, "ALTER TABLE orders ALTER note SET STORAGE EXTERNAL")
    execute(shop, "UPDATE orders SET note = repeat('x', 9000)")
    text = FOLLOWED.replace("{source}", source).replace("{more}", "snapshot: never\n")
    text = text.replace("  orders:", "  orders:\n    on: update")
    file = connector.file(text.replace("order_id:", "note: note\n      order_id:"))
    run(connector, file, "--once")
    execute(shop, "UPDATE orders SET status = 'packed'")
    run(connector, file, "--once")
    (found,) = (event["properties"] for event in connector.events(source))
    ((field, _, problem),) = [note.partition(": ") for note in found["crm_notes"]]
    assert ("note" in found, field) == (False, "note")
    assert "REPLICA IDENTITY FULL" in problem
    execute(shop, "ALTER TABLE orders ALTER customer SET STORAGE EXTERNAL")
    execute(shop, "UPDATE orders SET customer = repeat('c', 9000)")
    execute(shop, "UPDATE orders SET status = 'sent'")
    run(connector, file, "--once")
    refused = connector.refused(source)
    assert [field for field, _ in refused] == ["customer_id"] * 2  # the first one's is too long
    assert [problem for _, problem in refused if "REPLICA IDENTITY FULL" in problem]


@pytest.mark.parametrize("mode", ["watermark", "replication"])
def test_times_that_no_event_can_hold_are_left_out_and_noted(
    mode: str, connector: Connector, source: str, shop: Connection
) -> None:
    execute(shop, ORDERS)
    execute(shop, "ALTER TABLE orders ADD due timestamp, ADD born date")
    text = (POLLED if mode == "watermark" else FOLLOWED).replace("{source}", source).replace("{more}", "")
    file = connector.file(text.replace("order_id:", "due: due\n      born: born\n      order_id:"))
    values = "INSERT INTO orders (id, customer, total, at, due, born) VALUES (%s, 'c', 1, %s, %s, %s)"
    execute(shop, values, [1, "2026-05-01", "infinity", "2026-05-01"])
    run(connector, file, "--once")
    for row in ([2, "2026-05-01", "0044-03-15 BC", "-infinity"], [3, "2026-05-01", None, "10000-01-01"],
                [4, "infinity", None, None]):  # fmt: skip
        execute(shop, values, row)
    execute(shop, "UPDATE orders SET updated_at = 'infinity' WHERE id = 2")
    run(connector, file, "--once")
    execute(shop, values, [5, "2026-05-01", "0001-01-01", None])
    run(connector, file, "--once")
    found = {event["properties"].pop("order_id"): event["properties"] for event in connector.events(source)}
    noted = {number: sorted(text.split(":")[0] for text in one["crm_notes"]) for number, one in found.items()}
    assert noted == {"1": ["due"], "2": ["born", "due"], "3": ["born"], "5": ["due"]}
    assert [one.get("due") for one in found.values()] == [None] * 4
    assert found["1"]["born"] == "2026-05-01"
    ((field, problem),) = connector.refused(source)
    assert (field, problem) == ("occurred_at", OUT_OF_RANGE)


@pytest.mark.parametrize("mode", ["watermark", "replication"])
def test_an_outbox_holds_events_ready_made(mode: str, connector: Connector, source: str, shop: Connection) -> None:
    execute(
        shop,
        """
        CREATE TABLE outbox (id bigserial PRIMARY KEY, type text, key text, payload jsonb, created_at timestamptz
        DEFAULT now())
    """,
    )
    fill = "INSERT INTO outbox (type, key, payload) VALUES (%s, %s, %s)"
    execute(shop, fill, ["Order Completed", "c1", json.dumps({"order_id": "1", "total": 1.5, "currency": "EUR"})])
    file = connector.file(f"source: {source}\nmode: {mode}\noutbox: {{table: outbox}}")
    run(connector, file, "--once")
    execute(shop, fill, ["Order Completed", "c2", "[1]"])
    execute(shop, fill, ["Ticket Opened", "c3", json.dumps({"ticket_id": "9"})])
    execute(shop, "DELETE FROM outbox WHERE id = 3" if mode == "replication" else "SELECT")
    run(connector, file, "--once")
    found = {event["event_id"]: (event["name"], event["customer_id"]) for event in connector.events(source)}
    assert sorted(found.values()) == [("Order Completed", "c1"), ("Ticket Opened", "c3")]
    assert EventIds(source, source).id_of("public.outbox", ["3"], "") in found
    assert connector.refused(source) == [("properties", "is not a JSON object")]


def test_an_outbox_may_hold_whole_events(connector: Connector, source: str, shop: Connection) -> None:
    execute(shop, "CREATE TABLE app_outbox (id serial PRIMARY KEY, body jsonb)")
    event = {"event_id": "e-1", "name": "Page Viewed", "anonymous_id": "v", "occurred_at": "2026-11-01T00:00:00Z"}
    execute(shop, "INSERT INTO app_outbox (body) VALUES (%s)", [json.dumps(event)])
    file = connector.file(f"source: {source}\nmode: replication\noutbox: {{table: app_outbox, event: body}}")
    run(connector, file, "--once")
    assert [(event["event_id"], event["kind"]) for event in connector.events(source)] == [("e-1", "web")]


def test_a_snapshot_that_was_cut_off_goes_on_without_doubling(
    connector: Connector, source: str, shop: Connection
) -> None:
    execute(shop, ORDERS)
    execute(shop, INSERT, [10_001, 16_000])
    protect(connector, source)
    file = followed(connector, source)
    die_when(connector, file, lambda position: bool(position["runs"] and position["runs"][0]["tables"]))
    kept = read_position(connector.kafka, f"postgres-{source}")
    assert kept is not None
    assert kept["runs"].startswith("enc:1:"), "rows are protected, and so are their keys"
    execute(shop, INSERT, [1, 20])  # before what was read, by their keys
    execute(shop, f"BEGIN; {INSERT}; SAVEPOINT one; {INSERT}; COMMIT", [21, 21, 22, 22])
    run(connector, file, "--once")
    execute(shop, INSERT, [30, 31])
    run(connector, file, "--once")
    assert sorted(set(ids(connector, source))) == [*range(1, 23), 30, 31, *range(10_001, 16_001)]
    repeated = Counter(ids(connector, source)) - Counter(set(ids(connector, source)))
    assert repeated.keys() <= set(range(1, 23)), "only what came meanwhile is both in the table and in the log"
    assert len({event["event_id"] for event in connector.events(source)}) == 6_024


def test_what_happens_while_the_first_rows_are_read_is_told_though_it_is_killed(
    connector: Connector, source: str, shop: Connection
) -> None:
    """Updates and deletions too; and every change that is an event of its own is one once."""
    execute(shop, ORDERS)
    execute(shop, "ALTER TABLE orders REPLICA IDENTITY FULL")
    execute(shop, INSERT, [1_001, 2_500])
    protect(connector, source)
    file = connector.file(RULES.replace("{source}", source).replace("events:", "id: change\n        events:"))
    die_when(connector, file, lambda position: bool(position["runs"] and position["runs"][0]["tables"]))
    begun = place_of_slot(shop)
    execute(shop, INSERT, [1, 3])
    for status in ("gone", "back"):
        execute(shop, "UPDATE orders SET status = %s WHERE id IN (1, 1001, 2500)", [status])
    execute(shop, "DELETE FROM orders WHERE id IN (2, 1002, 2499)")
    die_when(connector, file, lambda position: len(position["runs"]) == 2)
    assert place_of_slot(shop) == begun
    execute(shop, INSERT, [4, 4])
    run(connector, file, "--once")
    execute(shop, INSERT, [5, 5])
    run(connector, file, "--once")
    events = connector.events(source)
    once = {event["event_id"]: (event["name"], int(event["properties"]["order_id"])) for event in events}
    told = Counter(once.values())
    opened = [*range(1, 6), *(number for number in range(1_001, 2_501) if number != 2_499)]
    assert Counter({key: count for key, count in told.items() if key[0] == "Ticket Opened"}) == Counter(
        ("Ticket Opened", number) for number in opened
    )
    assert {key[1]: count for key, count in told.items() if key[0] == "Order Cancelled"} == {1: 1, 1001: 1, 2500: 1}
    assert {key[1]: count for key, count in told.items() if key[0] == "Ticket Solved"} == {2: 1, 1002: 1, 2499: 1}


def test_a_slot_that_somebody_moved_on_is_noticed(connector: Connector, source: str, shop: Connection) -> None:
    execute(shop, ORDERS)
    file = followed(connector, source)
    run(connector, file, "--once")
    execute(shop, "CREATE TABLE elsewhere (n integer)")
    for _ in range(2):
        execute(shop, "INSERT INTO elsewhere SELECT generate_series(1, 1000)")
        run(connector, file, "--once")
        kept = read_position(connector.kafka, f"postgres-{source}")
        assert kept is not None
        assert place_of_slot(shop) <= lsn_number(kept["start"])
    execute(shop, INSERT, [1, 1])
    execute(shop, "SELECT pg_replication_slot_advance(%s, pg_current_wal_lsn())", [slot_name(source)])
    told = connector.run("postgres", file, "--once")
    assert told.code == 1
    assert "another program has read the slot" in told.err
    run(connector, file, "--drop")
    run(connector, file, "--once")
    assert ids(connector, source) == [1]
    for statement in ("pg_drop_replication_slot(%s)", "pg_create_logical_replication_slot(%s, 'pgoutput')"):
        execute(shop, f"SELECT {statement}", [slot_name(source)])
    assert "or dropped and made anew" in connector.run("postgres", file, "--once").err
    run(connector, file, "--drop")


def test_a_large_transaction_is_taken_in_parts(connector: Connector, source: str, shop: Connection) -> None:
    execute(shop, ORDERS)
    file = followed(connector, source)
    run(connector, file, "--once")
    execute(shop, INSERT, [1, 6_000])
    execute(shop, INSERT, [6_001, 6_010])
    protect(connector, source, "")
    die_when(connector, file, lambda position: 0 < position["changes"] < 6_000)
    assert "of log behind" in run(connector, file, "--once")
    assert ids(connector, source) == [*range(1, 6_011)]


def test_a_second_connector_takes_over_and_the_first_one_ends(
    connector: Connector, source: str, shop: Connection, kafka: str, server: PostgresServer, database: str
) -> None:
    execute(shop, ORDERS)
    execute(shop, INSERT, [1, 2])
    file = followed(connector, source)
    connector.start("postgres", file)
    until(connector, source, lambda position: position["phase"] == "stream")
    (connector.folder / "other").mkdir()
    other = Connector(kafka, server.url(database), connector.folder / "other")
    run(other, file, "--once")
    first = connector.wait()
    assert first.code == 1
    assert "has been started, and this one has ended" in first.err
    execute(shop, INSERT, [3, 3])
    run(other, file, "--once")
    assert ids(connector, source) == [1, 2, 3]


def test_ctrl_c_ends_it_and_tells_the_position(connector: Connector, source: str, shop: Connection) -> None:
    execute(shop, ORDERS)
    execute(shop, INSERT, [1, 2])
    connector.start("postgres", polled(connector, source))
    until(connector, source, lambda position: bool(position["tables"]))
    told = connector.interrupt()
    assert told.code == 0
    assert "Stopped: 2 events" in told.err
    assert "Position: public.orders to 2" in told.err.replace("\n", " ")


def test_check_shows_what_rows_would_become_and_writes_nothing(
    connector: Connector, source: str, shop: Connection
) -> None:
    execute(shop, ORDERS)
    execute(shop, INSERT, [1, 1])
    told = run(connector, followed(connector, source), "--check")
    assert "wal_level is logical" in told
    assert f'CREATE PUBLICATION "{slot_name(source)}" FOR TABLE "public"."orders"' in told
    (line,) = (line for line in told.splitlines() if line.lstrip().startswith("{"))
    assert json.loads(line)["properties"] == {"order_id": "1", "paid": True, "total": 1.25, "currency": "EUR"}
    assert "key id" in run(connector, polled(connector, source), "--check")
    assert execute(shop, "SELECT * FROM pg_publication") == []
    assert connector.events(source) == []


def test_check_names_all_that_is_missing(
    connector: Connector, source: str, shop: Connection, server: PostgresServer, database: str
) -> None:
    execute(shop, ORDERS)
    execute(shop, "CREATE TABLE log (at timestamptz)")
    execute(shop, "CREATE TABLE family (id integer PRIMARY KEY, at timestamptz)")
    execute(shop, "CREATE TABLE child () INHERITS (family)")
    execute(shop, "CREATE TABLE mine (id integer PRIMARY KEY, at timestamptz)")
    with server.connect(database, "postgres") as admin:
        execute(admin, "ALTER TABLE mine OWNER TO postgres")
    entry = "{name: Ticket Opened, customer_id: id, occurred_at: at}"
    file = connector.file(f"""
        source: {source}
        mode: replication
        tables:
          orders: {entry.replace("at}", "paid_at}")}
          sales.orders: {entry}
          log: {entry.replace("id, occ", "at, occ")}
          mine: {entry}
          family: {entry}
    """)
    told = connector.run("postgres", file, "--check")
    assert told.code == 1
    for words in (
        "The table public.orders has no column paid_at. It has id, customer,",
        "There is no table sales.orders.",
        "The table public.log has no primary key. Name the columns",
        "Other tables inherit from public.family. Use mode watermark if",
        'The role may not read public.mine. As its owner: GRANT USAGE ON SCHEMA "public" TO "shop"; GRANT',
    ):
        assert words in told.out


def test_what_is_wrong_is_told_with_what_to_do(
    connector: Connector, source: str, shop: Connection, server: PostgresServer, database: str
) -> None:
    def failing(file: str, *arguments: str) -> str:
        told = connector.run("postgres", file, *arguments)
        assert told.code == 1
        assert "a secret" not in told.err + told.out
        assert "a%20secret" not in told.err + told.out
        return told.err

    execute(shop, ORDERS)
    file = followed(connector, source)
    slot = slot_name(source)
    url = connector.environment["CRM_POSTGRES_URL"]
    connector.environment["CRM_POSTGRES_URL"] = url.replace("secret@", "secrets@")
    assert "refused the connection" in failing(file)
    connector.environment["CRM_POSTGRES_URL"] = url.replace("secret@", "p@ss@")
    assert "write an @ in the password as %40" in failing(file)
    connector.environment["CRM_POSTGRES_URL"] = url.replace(str(server.port), "1")
    assert "Is it running, and is CRM_POSTGRES_URL right?" in failing(file)
    connector.environment["CRM_POSTGRES_URL"] = url
    run(connector, file, "--once")
    assert "has been in mode replication so far" in failing(polled(connector, source))
    followed(connector, source)
    execute(shop, f"ALTER PUBLICATION {slot} SET (publish = 'update')")
    assert f'ALTER PUBLICATION "{slot}" SET (publish' in failing(file)
    execute(shop, f"ALTER PUBLICATION {slot} SET (publish = 'insert, update, delete')")
    execute(shop, "SELECT pg_drop_replication_slot(%s)", [slot])
    assert "is gone, and with it the changes since the connector stopped" in failing(file)
    execute(shop, INSERT, [1, 1])
    assert "There was no slot, and the position is forgotten" in run(connector, file, "--drop")
    run(connector, file, "--once")
    assert ids(connector, source) == [1]
    assert f"The slot {slot} is dropped" in run(connector, file, "--drop")
    execute(shop, "SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [slot])
    for more in ("", "snapshot: never\n"):
        assert "but Kafka has no position for it" in failing(followed(connector, source, more))
    run(connector, file, "--drop")
    run(connector, file, "--once")
    execute(shop, INSERT, [2, 2])
    run(connector, file, "--once")
    assert ids(connector, source) == [1, 2]
    run(connector, file, "--drop")
