"""Create the Kafka topics, and refuse a log whose partitions differ from the settings.

Idempotent: what exists with the right partition count stays as it is, with the retention it was given.
"""

import time
from typing import Final

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ClusterMetadata, ConfigResource, NewTopic, OffsetSpec

from connectors.kafka.reasons import reason_of
from contracts.errors import LogMismatchError, StoreUnavailableError
from contracts.topics import ALL_TOPICS, INPUT_TOPICS, Topic

TIMEOUT_SECONDS: Final = 15.0
LEADERS_SECONDS: Final = 45.0
"""A broker that has just started on a busy machine may need so long until it leads new partitions."""
_DAY_MS: Final = 86_400_000
_COMPACTED: Final = {
    "cleanup.policy": "compact",
    # Only closed segments are compacted, and whoever starts reads the whole topic: keep the open one small.
    "segment.bytes": str(1 << 20),
    "segment.ms": str(3_600_000),
    "min.cleanable.dirty.ratio": "0.1",
    "delete.retention.ms": str(3_600_000),
}


def ensure_topics(bootstrap_servers: str, partitions: int) -> None:
    """Create every missing topic of :data:`contracts.topics.ALL_TOPICS`.

    Each has ``partitions`` partitions, unless it has a count of its own.

    Raises :class:`LogMismatchError` where a topic exists with another partition count or trusts producers' dates, and
    :class:`StoreUnavailableError` where no broker answers or a topic can't be created.
    """
    admin = _client(bootstrap_servers)
    try:
        before = admin.list_topics(timeout=TIMEOUT_SECONDS)
        missing = [topic for topic in ALL_TOPICS if topic.name not in before.topics]
        _create(admin, missing, partitions, brokers=len(before.brokers))
        _await_leaders(bootstrap_servers, _places(missing, partitions))
        _check(admin.list_topics(timeout=TIMEOUT_SECONDS) if missing else before, partitions)
        _check_dates(admin, [topic for topic in INPUT_TOPICS if topic not in missing])
    except (KafkaException, TimeoutError) as error:
        raise StoreUnavailableError(
            f"Kafka at {bootstrap_servers} did not answer or refused ({reason_of(error)}). Is the broker "
            "running, and is CRM_KAFKA_BOOTSTRAP_SERVERS right?",
            bootstrap_servers=bootstrap_servers,
        ) from error


def new_topic(topic: Topic, partitions: int, brokers: int) -> NewTopic:
    """Describe one topic to Kafka: up to three replicas, retention by time and bytes or by key."""
    replicas = max(1, min(3, brokers))
    config = {
        **_retention(topic),
        # a producer's own time, which may be years old or ahead, must not decide what is kept and what is refused
        "message.timestamp.type": "LogAppendTime",
        "min.insync.replicas": "2" if replicas == 3 else "1",
    }
    count = topic.partition_count(partitions)
    return NewTopic(topic.name, num_partitions=count, replication_factor=replicas, config=config)


def _retention(topic: Topic) -> dict[str, str]:
    if topic.retention_days is None:
        return _COMPACTED
    return {
        "retention.ms": str(topic.retention_days * _DAY_MS),
        "retention.bytes": str(topic.retention_bytes_per_partition),
        "cleanup.policy": "delete",
    }


def _create(admin: AdminClient, topics: list[Topic], partitions: int, brokers: int) -> None:
    """Create ``topics``; another process that creates the same ones at the same time does no harm."""
    if not topics:
        return
    wanted = [new_topic(topic, partitions, brokers) for topic in topics]
    for future in admin.create_topics(wanted, operation_timeout=TIMEOUT_SECONDS).values():
        try:
            future.result(TIMEOUT_SECONDS)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise


def _places(topics: list[Topic], partitions: int) -> list[TopicPartition]:
    return [TopicPartition(topic.name, part) for topic in topics for part in range(topic.partition_count(partitions))]


def _await_leaders(bootstrap_servers: str, places: list[TopicPartition]) -> None:
    """Wait until new partitions can be used: for a moment their brokers do not know that they lead them.

    Each try has a client of its own: one that has seen a partition without a leader may keep that answer.
    """
    deadline = time.monotonic() + LEADERS_SECONDS
    while places:
        admin = _client(bootstrap_servers)
        wanted = {place: OffsetSpec.latest() for place in places}
        try:
            for future in admin.list_offsets(wanted, request_timeout=TIMEOUT_SECONDS).values():
                future.result(TIMEOUT_SECONDS)
        except KafkaException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return


def _client(bootstrap_servers: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})


def _check_dates(admin: AdminClient, topics: list[Topic]) -> None:
    """Make sure that the broker dates records: a producer's own date could claim that 2099 has come."""
    if not topics:
        return
    wanted = [ConfigResource(ConfigResource.Type.TOPIC, topic.name) for topic in topics]
    for resource, future in admin.describe_configs(wanted, request_timeout=TIMEOUT_SECONDS).items():
        if future.result(TIMEOUT_SECONDS)["message.timestamp.type"].value != "LogAppendTime":
            raise LogMismatchError(
                f"Topic {resource.name} takes the producers' dates of records for true. Set its "
                f"message.timestamp.type to LogAppendTime: kafka-configs.sh --alter --topic {resource.name} "
                "--add-config message.timestamp.type=LogAppendTime",
                topic=resource.name,
            )


def _check(metadata: ClusterMetadata, partitions: int) -> None:
    """Compare the partition counts. A keyed topic is never repartitioned: customers would move."""
    for topic in ALL_TOPICS:
        found = len(metadata.topics[topic.name].partitions) if topic.name in metadata.topics else 0
        if topic.partitions is not None and found not in (0, topic.partitions):
            raise LogMismatchError(
                f"Topic {topic.name} has {found} partitions and must have {topic.partitions}: delete it "
                f"(kafka-topics.sh --delete --topic {topic.name}), and it is created anew. What it held goes with it.",
                topic=topic.name,
            )
        if found not in (0, topic.partition_count(partitions)):
            raise LogMismatchError(
                f"Topic {topic.name} has {found} partitions, but CRM_PARTITIONS is {partitions}. The count "
                f"of a keyed topic can't change: set CRM_PARTITIONS={found}, or start on an empty broker.",
                topic=topic.name,
                found=found,
                wanted=partitions,
            )
