"""A PostgreSQL server of a test's own, from Debian's packages, which is thrown away."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg2

from connectors.postgres.server import Connection
from crmstream.stack.ports import free_port

PROGRAMS = Path("/usr/lib/postgresql")
ROLE = "shop"
PASSWORD = "a secret"


def programs() -> Path:
    """The folder of the newest version that is installed."""
    found = sorted(PROGRAMS.glob("*/bin/postgres"), key=lambda path: int(path.parents[1].name))
    assert found, "PostgreSQL is missing: apt-get install postgresql"
    return found[-1].parent


class PostgresServer:
    """Listens on a free port of loopback and asks for passwords. It refuses to run as root, who lends it a user."""

    def __init__(self, *options: str):
        self._folder = Path(tempfile.mkdtemp(prefix="crm-postgres-"))  # pytest's own folders are closed to other users
        self._data = self._folder / "data"
        self.port = free_port()
        self._options = options
        self._user = "postgres" if os.geteuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        if self._user:
            shutil.chown(self._folder, self._user)
        password = self._folder / "password"
        password.write_text(PASSWORD, encoding="utf-8")
        password.chmod(0o644)
        self._run(
            "initdb", "--pgdata", str(self._data), "--username=postgres", f"--pwfile={password}",
            "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync",
        )  # fmt: skip
        self.start()
        with self.connect("postgres", "postgres") as admin:
            execute(admin, f"CREATE ROLE {ROLE} LOGIN REPLICATION PASSWORD '{PASSWORD}'")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self._folder)

    def start(self) -> None:
        """Start the server and return when it answers."""
        options = ["fsync=off", "full_page_writes=off", "wal_level=logical", "listen_addresses=127.0.0.1",
                   f"port={self.port}", f"unix_socket_directories={self._folder}", "max_connections=40",
                   "max_replication_slots=30", "max_wal_senders=30",
                   "shared_buffers=16MB", "autovacuum=off", *self._options]  # fmt: skip
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [programs() / "postgres", "-D", self._data, *(f"--{option}" for option in options)],
                user=self._user, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self._folder,
            )  # fmt: skip
        deadline = time.monotonic() + 60
        while not self._answers():
            assert self._process.poll() is None, (self._folder / "server.log").read_text()
            assert time.monotonic() < deadline, "PostgreSQL did not answer in time"
            time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it at once, whoever is connected; by default cleanly."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(60)
            self._process = None

    def url(self, database: str, role: str = ROLE) -> str:
        """The connection string."""
        return f"postgresql://{role}:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str, role: str = ROLE) -> Connection:
        """Connect; every statement is a transaction of its own."""
        made = psycopg2.connect(self.url(database, role))
        made.autocommit = True
        return made

    def create_database(self, name: str) -> None:
        """Make a database that belongs to the shop's role."""
        admin = self.connect("postgres", "postgres")
        execute(admin, f"CREATE DATABASE {name} OWNER {ROLE}")
        admin.close()

    def _answers(self) -> bool:
        try:
            self.connect("postgres", "postgres").close()
        except psycopg2.OperationalError:
            return False
        return True

    def _run(self, program: str, *arguments: str) -> None:
        command = [programs() / program, *arguments]
        subprocess.run(command, user=self._user, cwd=self._folder, check=True, capture_output=True)


def execute(database: Connection, statement: str, values: Sequence[object] | None = None) -> list[tuple[Any, ...]]:
    """Run one statement and give its rows."""
    with database.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall() if cursor.description else []
