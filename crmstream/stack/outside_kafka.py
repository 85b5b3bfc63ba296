"""Whether an outside Kafka can be used."""

from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from crmstream.stack.outside import Unusable, reach

DEFAULT_PORT: Final = 9092
ANSWER_SECONDS: Final = 2.0


def check(servers: str) -> None:
    """Ask the brokers for the cluster's metadata; raises :class:`Unusable`."""
    problems = []
    for server in servers.split(","):
        try:
            reach(*place_of(server.strip()))
        except Unusable as problem:
            problems.append(problem)
        else:
            break
    else:
        raise problems[0]
    admin = AdminClient({"bootstrap.servers": servers, "log_level": 0, "error_cb": lambda _: None})
    try:
        brokers = admin.list_topics(timeout=ANSWER_SECONDS).brokers.values()
    except KafkaException:
        raise Unusable(
            "accepts connections and does not answer in Kafka's protocol: is it another program, or a listener with "
            "TLS or SASL?"
        ) from None
    _check_advertised({(broker.host, broker.port) for broker in brokers})


def _check_advertised(places: set[tuple[str, int]]) -> None:
    """Brokers name an address of their own to which clients go then: make sure that one is right."""
    for number, (host, port) in enumerate(sorted(places), 1):
        try:
            reach(host, port)
        except Unusable as problem:
            if number == len(places):
                raise Unusable(
                    f"answers, but sends its clients to {host}:{port}, which {problem}: "
                    "set the broker's advertised.listeners to an address that this machine reaches"
                ) from None
        else:
            return


def place_of(server: str) -> tuple[str, int]:
    """Take ``[protocol://]host[:port]`` apart; raises :class:`Unusable`."""
    host, colon, port = server.rpartition("://")[2].rpartition(":")
    if not colon:
        host, port = port, str(DEFAULT_PORT)
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65_536:
        raise Unusable("has no valid address: it must have the form host:port,host:port")
    return host.strip("[]"), int(port)
