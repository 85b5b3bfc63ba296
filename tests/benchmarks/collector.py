"""How fast the collector answers: an open-loop load on one that is bound to one core, beside a running stack.

    python tests/benchmarks/collector.py --rate 1000 --seconds 30

Requests are sent when they are due, whether or not earlier ones have been answered, and an answer's time counts from
when its request was due: a collector that falls behind cannot hide it. Every request is one `track` of some 700 bytes,
and every answer means that Kafka (acks=all) has it.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import orjson
import psutil
import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))  # for tests/support

from support.collecting import PARTITIONS, CollectorProcess, basic, write_sources

from contracts.settings import Settings
from crmstream.running import full_stack
from crmstream.stack.supervisor import LocalStack

CONNECTIONS = 32
CUSTOMERS = 5_000


@dataclass
class Tally:
    """What came back: seconds from when a request was due to its answer, and the counts of statuses."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    def quantile(self, share: float) -> float:
        """Milliseconds within which so many of the answers came."""
        return sorted(self.seconds)[min(len(self.seconds) - 1, int(share * len(self.seconds)))] * 1_000


class Connection(asyncio.Protocol):
    """One kept-alive connection: a request at a time."""

    def __init__(self, tally: Tally, free: "asyncio.Queue[Connection]"):
        self._tally, self._free, self._due = tally, free, 0.0
        self._answer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._free.put_nowait(self)

    def send(self, request: bytes, due: float) -> None:
        self._due = due
        assert self._transport is not None
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if self._answer.endswith(b"}"):
            self._tally.seconds.append(time.perf_counter() - self._due)
            self._tally.statuses[int(self._answer[9:12])] += 1
            self._answer = b""
            self._free.put_nowait(self)


def request(number: int) -> bytes:
    """One event as the browser SDK would send it."""
    now = datetime.now(UTC).isoformat()
    body = orjson.dumps({
        "type": "track", "event": "Product Viewed", "messageId": f"bench-{os.getpid()}-{number}",
        "userId": f"c-{number % CUSTOMERS}", "anonymousId": f"a-{number % CUSTOMERS}", "timestamp": now, "sentAt": now,
        "properties": {"product_id": f"p-{number % 97}", "name": "Shoe", "price": 29.95, "category": "shoes"},
        "context": {
            "page": {"url": "https://shop.example/shoes/17", "path": "/shoes/17", "title": "Shoes", "referrer": ""},
            "userAgent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0",
            "locale": "en-GB", "library": {"name": "analytics.js", "version": "next-1.84.3"}, "timezone": "Europe/Rome",
        },
    })  # fmt: skip
    head = f"POST /v1/t HTTP/1.1\r\nHost: c\r\nAuthorization: {basic('wk_shop')}\r\nContent-Type: text/plain\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def load(port: int, rate: float, seconds: float) -> Tally:
    """Send for so many seconds."""
    loop = asyncio.get_running_loop()
    tally, free = Tally(), asyncio.Queue[Connection]()
    for _ in range(CONNECTIONS):
        await loop.create_connection(lambda: Connection(tally, free), "127.0.0.1", port)
    began = time.perf_counter()
    total = int(rate * seconds)
    for number in range(total):
        due = began + number / rate
        if (ahead := due - time.perf_counter()) > 0:
            await asyncio.sleep(ahead)
        connection = await free.get()
        connection.send(request(number), due)
    async with asyncio.timeout(30):
        while len(tally.seconds) < total:
            await asyncio.sleep(0.01)
    return tally


def measure(collector: CollectorProcess, rate: float, seconds: float) -> None:
    """Warm up, load, and tell."""
    uvloop.run(load(collector.port, rate / 2, 2))
    before, began = cpu_seconds(collector), time.perf_counter()
    tally = uvloop.run(load(collector.port, rate, seconds))
    elapsed, after = time.perf_counter() - began, cpu_seconds(collector)
    cores = {name: (after[name] - before[name]) / elapsed for name in after}
    print(
        f"{rate:g} requests/s for {seconds:g} s: {dict(tally.statuses)}; p50 {tally.quantile(0.5):.1f} ms, "
        f"p95 {tally.quantile(0.95):.1f} ms, p99 {tally.quantile(0.99):.1f} ms, worst {tally.quantile(1):.1f} ms; "
        f"{1e6 * cores['collector'] * elapsed / len(tally.seconds):.0f} us of CPU per request; "
        f"memory {psutil.Process(collector.pid).memory_info().rss / 1e6:.0f} MB; cores in use: "
        + ", ".join(f"{name} {used:.2f}" for name, used in cores.items())
    )


def cpu_seconds(collector: CollectorProcess) -> dict[str, float]:
    """The CPU that this program, the collector, the rest of the stack and everybody else have used so far."""
    own = psutil.Process()
    stack = sum(used(child) for child in own.children(recursive=True) if child.pid != collector.pid)
    machine = psutil.cpu_times()
    seconds = {"load": used(own), "collector": used(psutil.Process(collector.pid)), "stack": stack}
    others = machine.user + machine.nice + machine.system - sum(seconds.values())
    return seconds | {"others": others, "taken by the host": getattr(machine, "steal", 0.0)}


def bind(collector: CollectorProcess, core: int, *, apart: bool) -> None:
    """Give the collector one core, and everybody else of ours the other ones if it shall be ``apart``."""
    psutil.Process(collector.pid).cpu_affinity([core])
    others = sorted(set(range(psutil.cpu_count() or 1)) - {core})
    own = psutil.Process()
    for process in [own, *own.children(recursive=True)] if apart else []:
        for thread in process.threads() if process.pid != collector.pid else []:
            os.sched_setaffinity(thread.id, others)


def used(process: psutil.Process) -> float:
    """Seconds of CPU."""
    times = process.cpu_times()
    return times.user + times.system


def main() -> None:
    """Start a stack and a collector on one core, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, nargs="+", default=[1_000.0], help="requests a second")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--no-dataflow", action="store_true", help="beside the servers alone")
    parser.add_argument("--apart", action="store_true", help="nothing else of ours runs on the collector's core")
    parser.add_argument("--core", type=int, default=0, help="the core to which the collector is bound")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        unset = dict.fromkeys(("kafka_bootstrap_servers", "clickhouse_url", "redis_url"))
        settings = Settings(data_dir=folder, partitions=PARTITIONS, **unset)
        write_sources(folder / "crm", {"shop": "wk_shop"})
        servers = LocalStack(settings, with_dataflow=False)
        with (
            servers if given.no_dataflow else full_stack(settings) as stack,
            CollectorProcess(folder / "crm", stack.endpoints.kafka) as collector,
        ):
            bind(collector, given.core, apart=given.apart)
            for rate in given.rate:
                measure(collector, rate, given.seconds)


if __name__ == "__main__":
    main()
