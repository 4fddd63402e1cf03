"""One producer of librdkafka with the thread that serves it: messages go in, the broker's answer on each comes out."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from sys import maxsize
from typing import TYPE_CHECKING, Any

from goldwire.targets.clients.extras import require
from goldwire.targets.kafka.outcomes import is_for_people

if TYPE_CHECKING:
    from confluent_kafka import KafkaError
    from confluent_kafka import Message as Report

Headers = Sequence[tuple[str, str]]
Record = tuple[str, bytes | None, Headers]
"""Key, value and headers."""

Errors = Mapping[tuple[str, bytes | None], "KafkaError"]
"""By key and value, why a record is not written, or why that is not known."""

_SERVE_SECONDS = 0.2
_END_SECONDS = 5.0

_GRACE_SECONDS = 5.0
"""How much longer than its time limit for a record the client may take to say that it gave up.

Now and then, where the brokers are away, librdkafka (2.16) gives no word on a record at all, however long one waits.
"""


class Line:
    """A connected producer. What it was given goes out in that order for each partition.

    Args:
        config: librdkafka's.
        topic: where everything goes.

    Raises:
        confluent_kafka.KafkaException: the configuration is not taken.
    """

    def __init__(self, config: dict[str, Any], topic: str) -> None:
        self._kafka = require("confluent_kafka", extra="kafka", used_by="a target of kind kafka")
        self._topic = topic
        self.last_error: KafkaError | None = None
        """What the client complained of last, beyond single messages: what people must mend goes before what follows from it.
        A caller that sees the cluster work again may set it to None."""
        self.fatal = False
        """It can write nothing any more; a new one must replace it."""
        self._limit_seconds = config["message.timeout.ms"] / 1_000 + _GRACE_SECONDS
        self._cause_known = threading.Event()
        self._producer: Any = self._kafka.Producer({**config, "error_cb": self._complained})
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._serve, name=f"kafka-{topic}", daemon=True)
        self._thread.start()

    async def write(self, records: Iterable[Record]) -> Errors:
        """Write records as they come, and wait for the word on each.

        No two may be equal in key and value. A caller that gives up leaves them under way.

        Raises:
            TimeoutError: the client gives no word, not even on what it is to let go of; its end is all that is left.
        """
        reports = _Reports(asyncio.get_running_loop())
        produce, topic, report = self._producer.produce, self._topic, reports.report
        taken = 0
        for key, value, headers in records:
            try:
                produce(topic, value, key, on_delivery=report, headers=headers)
            except BufferError:
                reports.errors[key, value] = self._kafka.KafkaError(self._kafka.KafkaError._QUEUE_FULL)  # noqa: SLF001 - its name
            except self._kafka.KafkaException as error:
                reports.errors[key, value] = error.args[0]
            else:
                taken += 1
        if not await reports.all(taken, self._limit_seconds):
            self.drop()
            if not await reports.all(taken, _END_SECONDS):
                self.fatal = True
                raise TimeoutError
        return reports.errors

    def partitions(self, timeout_seconds: float) -> int:
        """Ask the cluster how many partitions the topic has. It blocks.

        Raises:
            confluent_kafka.KafkaException: no answer in time, no such topic, or no right to see it.
        """
        if self._ending.is_set():
            raise self._kafka.KafkaException(self._kafka.KafkaError(self._kafka.KafkaError._DESTROY))  # noqa: SLF001 - its name
        topic = self._producer.list_topics(self._topic, timeout_seconds).topics[self._topic]
        if topic.error is not None:
            raise self._kafka.KafkaException(topic.error)
        return len(topic.partitions)

    def note_fatal(self) -> None:
        """Note that the client is at its end, which a record may show before the client reports the cause. It blocks."""
        self._cause_known.wait(_END_SECONDS)
        self.fatal = True

    def drop(self) -> None:
        """Let go of what is still held: it is not tried again. What is on its way to the broker may arrive."""
        with suppress(self._kafka.KafkaException):
            if not self._ending.is_set():
                self._producer.purge(blocking=False)

    def end(self) -> None:
        """Drop what is still held and disconnect; nothing goes out afterwards. It blocks; a second time it does nothing."""
        self._ending.set()
        self._thread.join(_END_SECONDS)
        # It refers to us and we to it: left to the collector of cycles, its threads would go on looking for brokers until then.
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(self._kafka.KafkaException):
                producer.purge()
                producer.flush(_END_SECONDS)

    def _serve(self) -> None:
        producer = self._producer
        while not self._ending.is_set():
            try:
                producer.poll(_SERVE_SECONDS)
            except self._kafka.KafkaException as raised:  # how the client reports a fatal error, before the reports of records
                self._complained(raised.args[0])

    def _complained(self, error: KafkaError) -> None:
        known = self.last_error
        says_less = error.name() == "_ALL_BROKERS_DOWN" or (known is not None and is_for_people(known))
        if known is None or error.fatal() or is_for_people(error) or not (known.fatal() or says_less):
            self.last_error = error
        if error.fatal():
            self.fatal = True
            self._cause_known.set()


class _Reports:
    """Gathers the reports of one write, which come in on the serving thread; a report of success is only counted."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.errors: dict[tuple[str, bytes | None], KafkaError] = {}
        self._loop = loop
        self._done = loop.create_future()
        self._awaited = maxsize
        self._reported = 0

    def report(self, error: KafkaError | None, message: Report) -> None:
        """Note the broker's word; called on one thread at a time, so that it may count."""
        if error is not None:
            key = message.key()
            assert key is not None, "every record has a key"
            self.errors[key.decode(), message.value()] = error
        self._reported += 1
        if self._reported == self._awaited:
            with suppress(RuntimeError):  # the loop is closed: no caller waits any more
                self._loop.call_soon_threadsafe(self._finish)

    async def all(self, taken: int, limit_seconds: float) -> bool:
        """Wait for the reports of so many records that the client took; False when some were missing at the end of the time."""
        self._awaited = taken
        if self._reported < taken:
            await asyncio.wait({self._done}, timeout=limit_seconds)
        return self._reported >= taken

    def _finish(self) -> None:
        if not self._done.done():
            self._done.set_result(None)
