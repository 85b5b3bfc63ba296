"""The shell of ``crmstream sql``: statements of several lines until a semicolon, and commands after a backslash."""

import contextlib
import re
import readline
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

from contracts.errors import CrmError
from crmstream.sql.layout import Format
from crmstream.sql.statements import split

HISTORY_FILE: Final = "sql_history"
MOST_HISTORY: Final = 1_000
HELP: Final = """\\tables            list the tables
\\describe TABLE    list the columns of a table
\\format FORMAT     table, vertical, csv or json
\\help              this text
\\q                 leave (so does Ctrl-D)

A statement ends with a semicolon and may have several lines. Ctrl-C drops it.
Write FINAL after a table's name (SELECT count() FROM customers FINAL): without
it, rows that were written again count twice until ClickHouse has merged them.
"""
COLUMNS: Final = "DESCRIBE TABLE ? SETTINGS describe_compact_output = 1"
_NAME: Final = re.compile(r"[\w.]+")
TABLES: Final = "SELECT name, total_rows AS rows FROM system.tables WHERE database = currentDatabase() ORDER BY name"


@dataclass
class Shell:
    """``run(statement, format)`` prints an answer; ``say`` prints a line of the shell's own; ``read`` asks for one."""

    run: Callable[[str, Format], None]
    say: Callable[[str], None]
    form: Format = "table"
    read: Callable[[str], str] = input

    def loop(self) -> None:
        """Read and run statements until the end of the input. Errors are said, and the shell goes on."""
        waiting = ""
        while True:
            try:
                line = self.read("...> " if waiting else "crm> ")
            except EOFError:
                self.say("")
                return
            except KeyboardInterrupt:
                waiting = ""
                self.say("")
                continue
            if not waiting and line.strip().startswith("\\"):
                if not self._command(line.strip().rstrip(";")):
                    return
                continue
            ended, waiting = split(f"{waiting}\n{line}" if waiting else line)
            for statement in ended:
                self._attempt(statement)

    def _command(self, line: str) -> bool:
        """Do one of the shell's commands; False ends the shell."""
        name, _, argument = line.partition(" ")
        argument = argument.strip()
        if name in {"\\q", "\\quit", "\\exit"}:
            return False
        if name in {"\\tables", "\\t", "\\dt"}:
            self._attempt(TABLES)
        elif name in {"\\describe", "\\d"} and _NAME.fullmatch(argument):
            self._attempt(COLUMNS.replace("?", argument))
        elif name == "\\format" and argument in get_args(Format):
            self.form = next(form for form in get_args(Format) if form == argument)
        elif name in {"\\help", "\\?", "\\h"}:
            self.say(HELP)
        else:
            self.say(f"{name} is not a command here, or lacks its argument; \\help lists them.")
        return True

    def _attempt(self, statement: str) -> None:
        try:
            self.run(statement, self.form)
        except CrmError as error:
            self.say(f"Error: {error}")
        except KeyboardInterrupt:
            self.say("Interrupted.")


@contextlib.contextmanager
def history(data_dir: Path) -> Iterator[None]:
    """Keep the lines of a terminal's shell in the data folder, readable by its owner only; none without the folder."""
    if not (sys.stdin.isatty() and data_dir.is_dir()):
        yield
        return
    file = data_dir / HISTORY_FILE
    with contextlib.suppress(OSError):
        readline.read_history_file(file)
    try:
        yield
    finally:
        readline.set_history_length(MOST_HISTORY)
        with contextlib.suppress(OSError):
            file.touch(mode=0o600)
            readline.write_history_file(file)
