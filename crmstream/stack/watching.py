"""Notice processes that fall silent: say so, and kill those that stay silent, so that they are started again."""

import signal
from collections.abc import Callable
from dataclasses import dataclass

from crmstream.stack.probing import Ask, Prober, is_stopped
from crmstream.stack.process import ChildProcess
from crmstream.stack.pulse import PATIENCE, Patience, Pulse, State


@dataclass(frozen=True)
class PartHealth:
    """The state of one process, for ``crmstream status``. ``since`` is when it fell silent, in ISO 8601."""

    name: str
    state: str
    pid: int | None
    since: str | None = None


@dataclass
class _Watched:
    title: str
    process: ChildProcess
    pulse: Pulse
    told: bool = False

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process.alive else None

    @property
    def state(self) -> State:
        return self.pulse.state(self.pid)


class Watch:
    """Watches processes in the background. Whoever owns a process starts it again when it died."""

    def __init__(self, on_event: Callable[[str], None], patience: Patience = PATIENCE):
        self._on_event = on_event
        self._patience = patience
        self._prober = Prober()
        self._watched: list[_Watched] = []

    def add(self, title: str, process: ChildProcess, ask: Ask) -> Pulse:
        """Watch a process from now on, also after its restarts; return its pulse."""
        watched = _Watched(title, process, Pulse(self._patience))
        self._watched.append(watched)
        self._prober.watch(process, ask, watched.pulse)
        return watched.pulse

    def close(self) -> None:
        """Watch nothing any more."""
        self._prober.close()
        self._watched = []

    def poll(self) -> None:
        """Say what changed, and kill what is frozen."""
        for watched in self._watched:
            self._look_at(watched)

    def _look_at(self, watched: _Watched) -> None:
        state, pulse = watched.state, watched.pulse
        if state is State.SILENT and not watched.told:
            watched.told = True
            limit = pulse.patience.restart_seconds
            self._on_event(f"{_silence(watched)}; if that lasts for {limit:g} s it is started again")
        elif state is State.FROZEN:
            watched.told = False
            self._on_event(f"{_silence(watched)}: killing it")
            watched.process.signal(signal.SIGKILL)
            watched.process.wait(1)
        elif state is State.UP and watched.told:
            watched.told = False
            self._on_event(f"{watched.title} answers again")
        elif state in {State.DOWN, State.STARTING}:
            watched.told = False

    def health(self) -> list[PartHealth]:
        """Return the state of every process."""
        return [
            PartHealth(one.title, one.state.value, one.pid, one.pulse.since.isoformat() if one.pulse.since else None)
            for one in self._watched
        ]

    def unready(self) -> list[str]:
        """Return the titles of those that do not answer yet."""
        return [one.title for one in self._watched if one.state is not State.UP]


def _silence(watched: _Watched) -> str:
    since = watched.pulse.since
    when = f"{since.astimezone():%H:%M:%S}" if since else "its start"
    condition = "is stopped" if is_stopped(watched.pid) else "runs"
    return f"{watched.title} does not answer since {when} (process {watched.pid} {condition})"
