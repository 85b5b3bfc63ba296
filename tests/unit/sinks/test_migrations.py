"""Migrations that another run has finished meanwhile, and copies that dead runs left behind."""

from types import SimpleNamespace
from typing import Any

import pytest

import sinks.migrations
from sinks.migrations import RUN, migrate
from sinks.queries import query

SCRIPT = f"""CREATE TABLE t_new_{RUN} (x UInt8);
INSERT INTO t_new_{RUN} SELECT * FROM t;
EXCHANGE TABLES t AND t_new_{RUN};
"""


class Server:
    """Records statements. Another run records the migration as applied after ``finished_after`` of ours."""

    def __init__(self, finished_after: int | None = None, leftovers: tuple[str, ...] = ()):
        self.database = ""
        self.ran: list[str] = []
        self._finished_after, self._leftovers = finished_after, leftovers

    def command(self, statement: str, **_: Any) -> None:
        self.ran.append(statement)

    def query(self, text: str) -> Any:
        if text == query("leftover_copies"):
            return SimpleNamespace(result_rows=[(name,) for name in self._leftovers])
        finished = self._finished_after is not None and len(self.copying) >= self._finished_after
        return SimpleNamespace(result_rows=[("001_x", sinks.migrations._digest(SCRIPT))] if finished else [])

    @property
    def copying(self) -> list[str]:
        return [statement for statement in self.ran if "t_new_" in statement]


@pytest.fixture(autouse=True)
def one_migration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks.migrations, "migrations", lambda: {"001_x": SCRIPT})


def run(server: Server) -> None:
    migrate(server, "crm")  # type: ignore[arg-type]


def test_each_run_has_copies_of_its_own() -> None:
    first, second = Server(), Server()
    run(first)
    run(second)
    assert len(first.copying) == 3
    assert RUN not in "".join(first.ran)
    assert first.copying[0] != second.copying[0]
    assert first.ran[-1] == query("note_migration")


def test_tables_are_not_exchanged_after_another_run_has_finished() -> None:
    server = Server(finished_after=2)
    run(server)
    assert [statement.split()[0] for statement in server.copying] == ["CREATE", "INSERT"]
    assert query("note_migration") not in server.ran


def test_copies_of_dead_runs_are_dropped() -> None:
    server = Server(finished_after=0, leftovers=("web_events_new_0123abcd",))
    run(server)
    assert server.ran[-1] == "DROP TABLE IF EXISTS `web_events_new_0123abcd`"
