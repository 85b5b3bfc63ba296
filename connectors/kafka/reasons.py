"""Why Kafka did not answer, in its client's words. Moves no data."""

from confluent_kafka import KafkaException


def reason_of(error: KafkaException | TimeoutError) -> str:
    """Say what an error of the client, or a future of it that had no result in time, tells."""
    return str(error.args[0].str()) if isinstance(error, KafkaException) else "no answer in time"
