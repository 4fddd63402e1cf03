"""Subscribes to Kafka, or to Event Hubs through its Kafka endpoint. Needs `goldwire-consumer[kafka]`.

An offset is committed after the transaction that applied its message; a crash in between delivers the message again, and the
guard ignores it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from goldwire_consumer.adapter.pace import Pace, Retry
from goldwire_consumer.consumer import Consumer
from goldwire_consumer.errors import SubscriberError
from goldwire_consumer.extra import extra
from goldwire_consumer.message import Message, wire_headers

with extra("kafka"):
    import confluent_kafka
    from confluent_kafka import KafkaError, KafkaException, TopicPartition

T = TypeVar("T")

_LOG = logging.getLogger("goldwire_consumer")

_PATIENCE_SECONDS = 30.0

_FENCED = {
    KafkaError.ILLEGAL_GENERATION, KafkaError.UNKNOWN_MEMBER_ID, KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.FENCED_INSTANCE_ID, KafkaError._ASSIGNMENT_LOST, KafkaError._NO_OFFSET, KafkaError._STATE,  # noqa: SLF001 - librdkafka's public local codes
}  # fmt: skip
"""A commit came too late: the partition is another consumer's now, which gets the messages again."""


class KafkaSubscription:
    """Runs a consumer on topics, as a member of a consumer group."""

    def __init__(
        self, consumer: Consumer[T], configuration: Mapping[str, Any], topics: Sequence[str], pace: Pace | None = None
    ) -> None:
        """Say what to subscribe to.

        Args:
            consumer: takes the messages.
            configuration: librdkafka's; `bootstrap.servers` and `group.id` at least. Without `auto.offset.reset` a new group
                begins with the earliest message.
            topics: their names.
            pace: how much at once.

        Raises:
            ValueError: offsets would be committed before success, or dead letters would be lost.
        """
        if str(configuration.get("enable.auto.commit", "false")).lower() == "true":
            raise ValueError("enable.auto.commit commits what may not be applied yet; leave it out")
        if consumer.settings.dead_letters == "returned":
            raise ValueError("Kafka has no room for dead letters: set Settings.dead_letters to a table or a function")
        self._consumer = consumer
        self._configuration = {"auto.offset.reset": "earliest", **configuration, "enable.auto.commit": False}
        self._topics = list(topics)
        self._pace = pace or Pace()

    def run(self, stop: threading.Event | None = None) -> None:
        """Take messages until the end is asked for.

        Args:
            stop: set it to end after the batch at hand.

        Raises:
            StoppedError: see `Consumer.process`; nothing of the batch at hand was committed to Kafka.
            confluent_kafka.KafkaException: the client cannot go on: wrong credentials, no such topic, a fatal error.
        """
        stop = stop or threading.Event()
        retry = Retry(self._pace, stop)
        entry = _Entry(self._configuration.get("error_cb"))
        kafka = confluent_kafka.Consumer({**self._configuration, "error_cb": entry.complain})
        try:
            kafka.subscribe(self._topics, on_assign=entry.admit)
            while not stop.is_set():
                found = _received(self._next(kafka))
                entry.check()
                if not found:
                    continue
                if retry.attempt(partial(self._consumer.process, _messages(found))) is None:
                    _rewind(kafka, found)
                else:
                    _commit(kafka, found)
        finally:
            kafka.close()

    def _next(self, kafka: confluent_kafka.Consumer) -> list[confluent_kafka.Message]:
        """Wait for one message, and take with it what is there already; `consume` alone would wait for a whole batch."""
        first = kafka.poll(self._pace.wait_seconds)
        if first is None:
            return []
        return [first, *kafka.consume(self._pace.batch - 1, 0)] if self._pace.batch > 1 else [first]


class _Entry:
    """Distinguishes a client that is never let in, which would wait for ever, from one that is shut out for a while."""

    def __init__(self, complain: Callable[[KafkaError], None] | None) -> None:
        self._complain = complain
        self._refusal: KafkaError | None = None
        self._admitted = False

    def complain(self, error: KafkaError) -> None:
        """Note what the client says beyond messages, and pass it on to whom the configuration names."""
        if error.code() in _REFUSED:
            self._refusal = error
        _LOG.warning("kafka: %s", error.name())
        if self._complain is not None:
            self._complain(error)

    def admit(self, *_: object) -> None:
        """Note that the group has assigned us partitions."""
        self._admitted = True

    def check(self) -> None:
        """Raise why we were never let in. Later refusals pass: a token that was late, a password that is being changed."""
        if self._refusal is not None and not self._admitted:
            raise KafkaException(self._refusal)


_REFUSED = {KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED, KafkaError._SSL}  # noqa: SLF001 - as above


def rewind(
    configuration: Mapping[str, Any], topics: Sequence[str], to: datetime | Mapping[tuple[str, int], int] | None = None
) -> dict[tuple[str, int], int]:
    """Set a consumer group back (or forward): what the broker still keeps from there on comes again. End its subscribers first.

    Args:
        configuration: librdkafka's, as that of the subscription.
        topics: their names.
        to: a moment, with a zone; or offsets by topic and partition, as an earlier call returned them or a person noted them;
            None: the beginning. An empty mapping changes nothing.

    Returns:
        where the group stood, by topic and partition; partitions in which it had committed nothing are left out.

    Raises:
        ValueError: a moment without a zone.
        SubscriberError: the group has running subscribers; nothing was changed.
        confluent_kafka.KafkaException: a topic does not exist, or the broker cannot be reached.
    """
    if isinstance(to, datetime) and to.tzinfo is None:
        raise ValueError("give the moment with a zone, e.g. datetime(2026, 11, 20, tzinfo=UTC)")
    kafka = confluent_kafka.Consumer({**configuration, "enable.auto.commit": False})
    try:
        positions = [position for topic in topics for position in _partitions(kafka, topic)]
        stood = {
            (one.topic, one.partition): one.offset for one in kafka.committed(positions, _PATIENCE_SECONDS) if one.offset >= 0
        }
        if isinstance(to, Mapping):
            wanted = [TopicPartition(topic, partition, offset) for (topic, partition), offset in to.items()]
        else:
            wanted = [TopicPartition(one.topic, one.partition, _offset(kafka, one, to)) for one in positions]
        if wanted:
            _set(kafka, wanted)
        return stood
    finally:
        kafka.close()


def _set(kafka: confluent_kafka.Consumer, positions: list[TopicPartition]) -> None:
    """Commit without being a member, which a broker allows as long as the group has none."""
    try:
        kafka.commit(offsets=positions, asynchronous=False)
    except KafkaException as error:
        if error.args[0].code() in _FENCED:
            raise SubscriberError("the consumer group has running subscribers: end them, then set it back") from None
        raise


def _partitions(kafka: confluent_kafka.Consumer, topic: str) -> list[TopicPartition]:
    found = kafka.list_topics(topic, _PATIENCE_SECONDS).topics[topic]
    if found.error is not None:
        raise KafkaException(found.error)
    return [TopicPartition(topic, partition) for partition in sorted(found.partitions)]


def _offset(kafka: confluent_kafka.Consumer, position: TopicPartition, moment: datetime | None) -> int:
    """Return the first offset that is not before a moment; the end where there is none."""
    first, after_last = kafka.get_watermark_offsets(position, _PATIENCE_SECONDS)
    if moment is None:
        return int(first)
    asked = TopicPartition(position.topic, position.partition, int(moment.timestamp() * 1_000))
    [found] = kafka.offsets_for_times([asked], _PATIENCE_SECONDS)
    return int(found.offset) if found.offset >= 0 else int(after_last)


def message(received: confluent_kafka.Message) -> Message:
    """Return a message of Kafka as the consumer takes it.

    Args:
        received: without an error.
    """
    value = received.value()
    headers = dict(received.headers() or [])
    return Message(
        body=value.encode() if isinstance(value, str) else value or b"",
        headers=wire_headers(headers),
        source=f"{received.topic()}/{received.partition()}@{received.offset()}",
    )


def _messages(found: Sequence[confluent_kafka.Message]) -> list[Message]:
    events = [one for one in found if not _for_compaction(one)]
    if len(events) < len(found):
        _LOG.info("kafka: records without a value, for compaction only, passed over: %d", len(found) - len(events))
    return [message(one) for one in events]


def _for_compaction(received: confluent_kafka.Message) -> bool:
    """Whether it only says to compaction that a key is gone.

    The EntityDeleted before it said so with reason and version. Once compaction has run that is gone, and who had not read
    it by then misses the deletion: this has no version to hold against the guard, and no hash.
    """
    return received.value() is None and received.key() is not None


def _received(found: Sequence[confluent_kafka.Message]) -> list[confluent_kafka.Message]:
    good = []
    for one in found:
        error = one.error()
        if error is None:
            good.append(one)
        elif error.fatal() or not (error.retriable() or error.code() in _PASSING):
            raise KafkaException(error)
        else:
            _LOG.warning("kafka: %s", error.name())
    return good


_PASSING = {
    KafkaError._PARTITION_EOF, KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._TIMED_OUT,  # noqa: SLF001
    KafkaError._RESOLVE, KafkaError._MAX_POLL_EXCEEDED, KafkaError.UNKNOWN_TOPIC_OR_PART,  # noqa: SLF001
}  # fmt: skip
"""The client goes on by itself after these; a topic may come into being later."""


def _ends(found: Sequence[confluent_kafka.Message], *, first: bool) -> list[TopicPartition]:
    positions: dict[tuple[str, int], int] = {}
    for one in found:
        topic, partition, offset = one.topic(), one.partition(), one.offset()
        if topic is None or partition is None or offset is None:
            raise SubscriberError("the client gave a message that stands nowhere: report it with the version of librdkafka")
        if first:
            positions.setdefault((topic, partition), offset)
        else:
            positions[topic, partition] = offset + 1
    return [TopicPartition(topic, partition, offset) for (topic, partition), offset in positions.items()]


def _rewind(kafka: confluent_kafka.Consumer, found: Sequence[confluent_kafka.Message]) -> None:
    """Let the same messages come again; a partition that was taken away meanwhile comes to another consumer."""
    for position in _ends(found, first=True):
        try:
            kafka.seek(position)
        except KafkaException as error:
            _LOG.warning("kafka: %s is another consumer's now: %s", position.topic, error.args[0].name())


def _commit(kafka: confluent_kafka.Consumer, found: Sequence[confluent_kafka.Message]) -> None:
    try:
        kafka.commit(offsets=_ends(found, first=False), asynchronous=False)
    except KafkaException as error:
        reason = error.args[0]
        if reason.fatal() or not (reason.retriable() or reason.code() in _FENCED | _PASSING):
            raise
        _LOG.warning("kafka: offsets are not committed, messages may come again: %s", reason.name())
