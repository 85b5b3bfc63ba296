"""Several hosts on one machine: network namespaces on a bridge, each with workers of its own."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
from support.flow import CRMSTREAM

FORWARD = Path(__file__).with_name("forward.py")


def sh(*words: str) -> None:
    """Run a command; fail with what it says."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, (
        f"{' '.join(words)}: {done.stderr.strip()}. This test needs root with CAP_NET_ADMIN and CAP_SYS_ADMIN, "
        "for network namespaces."
    )


class Network:
    """A bridge with namespaces. Each host reaches the loopback servers of this machine at the same loopback ports."""

    def __init__(self, hosts: int, ports: Sequence[int]):
        assert shutil.which("ip"), "the program ip is missing: apt-get install iproute2"
        self._number = os.getpid() % 250
        self._ports = ports
        self._bridge = f"crmbr{self._number}"
        self.hosts = [Host(f"crm{self._number}h{at}", f"10.213.{self._number}.{at + 2}") for at in range(hosts)]
        self._servers = f"10.213.{self._number}.1"
        self._forwards: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.callback(self._remove)
            self._make()
            stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def cut(self, one: "Host", other: "Host") -> None:
        """Let nothing that two hosts send each other arrive: each sends it to an address that no card has."""
        for host, to in ((one, other), (other, one)):
            words = ("replace", to.address, "lladdr", "02:00:00:00:00:01", "nud", "permanent", "dev", "eth0")
            sh(*host.inside, "ip", "neigh", *words)

    def mend(self, one: "Host", other: "Host") -> None:
        """Let two hosts reach each other again."""
        for host, to in ((one, other), (other, one)):
            sh(*host.inside, "ip", "neigh", "del", to.address, "dev", "eth0")

    def _make(self) -> None:
        sh("ip", "link", "add", self._bridge, "type", "bridge")
        sh("ip", "addr", "add", f"{self._servers}/24", "dev", self._bridge)
        sh("ip", "link", "set", self._bridge, "up")
        self._forward([], self._servers, "127.0.0.1")
        for host in self.hosts:
            cable = f"{host.name}c"
            sh("ip", "netns", "add", host.name)
            sh("ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", host.name)
            sh("ip", "link", "set", cable, "master", self._bridge, "up")
            sh(*host.inside, "ip", "addr", "add", f"{host.address}/24", "dev", "eth0")
            sh(*host.inside, "ip", "link", "set", "eth0", "up")
            sh(*host.inside, "ip", "link", "set", "lo", "up")
            self._forward(host.inside, "127.0.0.1", self._servers)

    def _forward(self, inside: Sequence[str], listen: str, to: str) -> None:
        words = [*inside, sys.executable, str(FORWARD), listen, to, *map(str, self._ports)]
        self._forwards.append(subprocess.Popen(words, stdout=subprocess.PIPE))
        assert self._forwards[-1].stdout is not None
        assert self._forwards[-1].stdout.readline(), f"no forwarder at {listen}"

    def _remove(self) -> None:
        for host in self.hosts:
            host.kill()
        for forward in self._forwards:
            forward.kill()
            forward.wait(10)
        for words in (*(("netns", "del", host.name) for host in self.hosts), ("link", "del", self._bridge)):
            subprocess.run(["ip", *words], capture_output=True, timeout=20, check=False)


class Host:
    """One host: ``crmstream worker`` in a namespace."""

    def __init__(self, name: str, address: str):
        self.name = name
        self.address = address
        self.inside = ["ip", "netns", "exec", name]
        self._process: subprocess.Popen[bytes] | None = None
        self.output = Path()

    def start(self, environment: dict[str, str], output: Path) -> None:
        """Start ``crmstream worker`` here."""
        self.output = output
        with output.open("ab") as file:
            self._process = subprocess.Popen(
                [*self.inside, CRMSTREAM, "worker"], env=environment, stdout=file, stderr=file
            )

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id of its supervisor."""
        return self._process.pid if self._process else 0

    def told(self) -> str:
        """What it has printed."""
        return self.output.read_text(errors="replace") if self.output.is_file() else ""

    def kill(self) -> None:
        """Kill everything of this host with -9."""
        if self._process is None or self._process.poll() is not None:
            return
        everything = [psutil.Process(self._process.pid)]
        everything += everything[0].children(recursive=True)
        for process in everything:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait(20)
        psutil.wait_procs(everything, timeout=20)

    def stop(self) -> int:
        """Stop it in order; return the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(60)

