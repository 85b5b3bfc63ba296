"""The servers of one local stack: started together, watched, restarted one by one."""

import time
from collections.abc import Callable, Iterator

from contracts.errors import StackError
from contracts.settings import Settings
from crmstream.stack.disk import DiskWatch
from crmstream.stack.endpoints import outside_servers
from crmstream.stack.keeper import ServerKeeper
from crmstream.stack.parts import ClickHousePart, KafkaPart, RedisPart, ServerPart
from crmstream.stack.ports import PortBook
from crmstream.stack.process import ChildProcess
from crmstream.stack.pulse import Patience, State
from crmstream.stack.watching import Watch

WAIT_SECONDS = 0.05
START_SECONDS = Patience.start_seconds


def describe_servers(settings: Settings, ports: PortBook) -> Iterator[ServerPart]:
    """Yield the servers that the settings do not name; Kafka, the slowest to start, last: formatting blocks."""
    data_dir, outside = settings.data_dir.resolve(), outside_servers(settings)
    if "redis_url" not in outside:
        yield RedisPart(data_dir, ports.choose("redis", settings.redis_port, "CRM_REDIS_PORT"))
    if "clickhouse_url" not in outside:
        yield ClickHousePart(data_dir, ports.choose("clickhouse", settings.clickhouse_port, "CRM_CLICKHOUSE_PORT"))
    if "kafka" not in outside:
        port = ports.choose("kafka", settings.kafka_port, "CRM_KAFKA_PORT")
        yield KafkaPart(data_dir, port, ports.choose("kafka-controller"))


class Servers:
    """All servers of a stack. Use them from the main thread."""

    def __init__(self, parts: Iterator[ServerPart], watch: Watch, disk: DiskWatch, on_event: Callable[[str], None]):
        self.parts = list(parts)
        self._watch = watch
        self._disk = disk
        self._on_event = on_event
        self._keepers: list[ServerKeeper] = []

    @property
    def processes(self) -> list[ChildProcess]:
        """The processes, running or not."""
        return [part.process for part in self.parts]

    def endpoints(self) -> dict[str, str]:
        """Return the addresses, by the name of their field in Endpoints."""
        fields = {"kafka": "kafka", "clickhouse": "clickhouse_url", "redis": "redis_url"}
        return {fields[part.name]: part.endpoint() for part in self.parts}

    def start(self, on_start: Callable[[], None]) -> None:
        """Start all, and wait until they answer; ``on_start`` is called after the start of each.

        Raises:
            StackError: a server died or does not answer in time; the message has the end of its log.

        """
        for part in self.parts:
            part.start()
            on_start()
        if self.parts:
            self._on_event(f"starting {', '.join(part.name for part in self.parts)}")
        pulses = [self._watch.add(part.title, part.process, part.probe) for part in self.parts]
        deadline = time.monotonic() + START_SECONDS
        waiting = list(zip(self.parts, pulses, strict=True))
        while waiting := [(part, pulse) for part, pulse in waiting if pulse.state(part.process.pid) is not State.UP]:
            for part, _ in waiting:
                part.check_alive()
            if time.monotonic() > deadline:
                raise StackError(waiting[0][0].too_slow(START_SECONDS), part=waiting[0][0].name)
            time.sleep(WAIT_SECONDS)
        pairs = zip(self.parts, pulses, strict=True)
        self._keepers = [ServerKeeper(part, pulse, self._disk, self._on_event) for part, pulse in pairs]

    def poll(self) -> None:
        """Restart the servers that died; raises a StackError if one dies again and again."""
        for keeper in self._keepers:
            keeper.poll()

    def away(self) -> str:
        """Say which servers do not run or start, or nothing if all are up."""
        away = [keeper.part.title for keeper in self._keepers if not keeper.ready]
        return f"{' and '.join(away)} {'is' if len(away) == 1 else 'are'} down" if away else ""
