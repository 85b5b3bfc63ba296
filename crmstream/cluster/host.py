"""One host of a cluster: the supervisor of its workers, with the servers elsewhere."""

from collections.abc import Callable

from contracts.errors import SettingsError
from contracts.settings import Settings
from crmstream.cluster.addresses import Cluster
from crmstream.cluster.taking_part import waits_file
from crmstream.running import prepared_stack, whoever_listens
from crmstream.stack.endpoints import SETTING_NAMES, outside_servers
from crmstream.stack.outside import check_outside
from crmstream.stack.supervisor import LocalStack


def cluster_host(settings: Settings, cluster: Cluster, on_event: Callable[[str], None]) -> LocalStack:
    """Describe the workers of this host; nothing is started yet.

    The host of worker 0 also makes topics, tables and state ready, follows the exchange rates, and runs the heartbeat.

    Raises:
        SettingsError: a server is not named, though a local stack's servers are on loopback.

    """
    missing = [name for field, name in SETTING_NAMES.items() if field not in outside_servers(settings)]
    if missing:
        raise SettingsError(
            f"workers on several hosts need servers that all of them reach: set {', '.join(missing)}. The servers that "
            "`crmstream up` starts listen on loopback only."
        )
    say = whoever_listens(on_event)
    notices = WaitingNotices(settings, cluster, say)
    if cluster.leads:
        return prepared_stack(settings, say, cluster=cluster, look_after=lambda _: notices.look())
    return LocalStack(
        settings, on_event=say, check=lambda: check_outside(settings), look_after=lambda _: notices.look(),
        cluster=cluster,
    )  # fmt: skip


class WaitingNotices:
    """Says which workers of other hosts the workers of this host wait for."""

    def __init__(self, settings: Settings, cluster: Cluster, say: Callable[[str], None]):
        self._files = {index: waits_file(settings.data_dir, index) for index in cluster.own}
        self._told = dict.fromkeys(cluster.own, "")
        self._say = say

    def look(self) -> None:
        """Say what has changed."""
        for index, file in self._files.items():
            try:
                waits = file.read_text(encoding="utf-8")
            except OSError:
                waits = ""
            if waits != self._told[index]:
                self._told[index] = waits
                self._say(f"worker {index} waits for {waits}" if waits else f"worker {index}: all workers are there")
