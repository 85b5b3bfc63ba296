"""What the commands share that write an export: the place, the way they are stopped, the spinner."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from crmstream.commands.shared import notes
from crmstream.sql.export import Target
from crmstream.sql.export_source import STDOUT
from crmstream.stack.signals import StopSignals


def target_of(out: str, *, overwrite: bool) -> Target | None:
    """Return where a file goes, None for standard output. Raises ``ExportError`` where no file can go."""
    if out == STDOUT:
        return None
    target = Target(Path(out), overwrite)
    target.check()
    return target


@contextmanager
def stoppable() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the block: the command then says that the export is not complete."""
    signals = StopSignals()
    signals.install()
    try:
        yield
    except KeyboardInterrupt:
        notes.print("Stopped: the export is not complete.")
        raise typer.Exit(130) from None
    finally:
        signals.restore()


def place_of(out: str) -> str:
    """Return the name of the place for people."""
    return "standard output" if out == STDOUT else out


def spinner() -> Progress:
    """Make a line on standard error that moves while it is a terminal."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    return Progress(*columns, console=notes, transient=True, disable=not notes.is_terminal)
