"""Target kind `kafka`: writes each event to a topic of any Kafka-compatible broker, in order for each key."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from goldwire.clock import Clock
from goldwire.errors import ConfigError
from goldwire.targets.base import DELIVERED, Finding, Item, Outcome, Rejected, SubscriberLag, Unavailable, Unknown
from goldwire.targets.clients.backplane import headers_of, partitions_finding, refuse_growth, renderer, too_large
from goldwire.targets.clients.certificate import ClientCertificate, certificate_findings, read_client_certificate
from goldwire.targets.clients.extras import require
from goldwire.targets.clients.worker import Worker
from goldwire.targets.kafka.channel import kafka_channel
from goldwire.targets.kafka.check import describe, findings_of
from goldwire.targets.kafka.line import Errors, Line, Record
from goldwire.targets.kafka.outcomes import LOSS, OF_THE_BATCH, TOO_LARGE, is_for_people, outcome_of, reason_of
from goldwire.targets.kafka.settings import KafkaSettings, client_config
from goldwire.targets.kafka.subscribers import RIGHTS, group_lags
from goldwire.targets.registry import target_kind
from goldwire.targets.settings import no_subscribers, require_files

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

_FATAL = "_FATAL"
_ALONE_MAX = 40
"""How many records of one refused batch are tried alone: enough for one or two at fault in a thousand."""

_LOOK_SECONDS = 60.0
"""How often the partitions are counted where their number is set; the client itself looks every three minutes."""

_TOKEN = Callable[[str | None], tuple[str, float]]
"""Returns an OAuth token and when it expires, in seconds since 1970; given what librdkafka wants passed on."""


@target_kind("kafka", settings=KafkaSettings, channel=kafka_channel)
class KafkaTarget:
    """One idempotent producer; a second one, only where a batch was refused, to find the record at fault.

    Args:
        name: the target's.
        settings: where and how.
        clock: decides when to look at the partitions again.
        token: gets tokens for `oauthbearer` instead of librdkafka.
        size_setting: the name of the setting that limits a message.

    Raises:
        ConfigError: there is no way to get a token.
    """

    batch_limit: ClassVar[int] = 10_000

    def __init__(
        self,
        name: str,
        settings: KafkaSettings,
        clock: Clock,
        *,
        token: _TOKEN | None = None,
        size_setting: str = "message_bytes_max",
    ) -> None:
        self.name = name
        self.settings = settings
        self._clock = clock
        self._kafka = require("confluent_kafka", extra="kafka", used_by=f"target '{name}'")
        self._render = renderer(name, settings)
        self._token = token
        self._size_setting = size_setting
        self._worker = Worker(name)
        self._line: Line | None = None
        self._alone: Line | None = None
        self._one_at_a_time = asyncio.Lock()
        self._mending = asyncio.Lock()
        self._doubt = False
        self._token_is_missing = False
        self._looked_at = 0.0
        if settings.sasl == "oauthbearer" and token is None and None in _oauth(settings):
            raise ConfigError(
                f"target '{name}': sasl: oauthbearer needs oauth_token_url, oauth_client_id and oauth_client_secret"
            )

    async def open(self) -> None:
        """Connect and look for the topic.

        Raises:
            ConfigError: the credentials, the topic or a setting is wrong.
            OSError: no broker answers now, or the client certificate has expired.
        """
        await self.close()
        files = {"ca_file", "certificate_file", "key_file"}
        require_files(self.name, {setting: getattr(self.settings, setting) for setting in sorted(files)})
        self._read_certificate()
        self._line = await self._make_line()
        try:
            error = await self._probe()
        except ConfigError:
            await self.close()
            raise
        if error is None:
            return
        await self.close()
        text = f"target '{self.name}': topic {self.settings.topic}: {self._reason(error)}"
        raise ConfigError(text) if is_for_people(error) else ConnectionError(text)

    async def send(self, items: Sequence[Item]) -> Sequence[Outcome]:
        """Write the events; the broker's word on each is its outcome."""
        if not items:
            return []
        try:
            if self._must_look() and (error := await self._probe()) is not None:
                return [Unavailable(self._reason(error))] * len(items)
            self._doubt = False
            line = await self._ready_line()
        except ConnectionError:  # of `_new_line`: nothing was handed over
            return [Unavailable(_NO_TOKEN)] * len(items)
        try:
            errors = await line.write(self._records(items))
        except TimeoutError:
            self._doubt = True
            return [_NO_WORD] * len(items)
        if not errors:
            line.last_error = None
            return [DELIVERED] * len(items)
        return await self._settle(items, errors, line)

    def _must_look(self) -> bool:
        """Whether to ask the cluster before anything is written: after an unknown outcome, and for added partitions."""
        overdue = self.settings.partitions is not None and self._clock.monotonic() - self._looked_at > _LOOK_SECONDS
        return self._doubt or overdue

    def _records(self, items: Sequence[Item]) -> Iterator[Record]:
        """Make the records one by one, so that the first are on their way while the last are made; each time the same ones."""
        render, null_after_delete = self._render, self.settings.null_after_delete
        for item in items:
            message = render(item)
            headers = headers_of(message)
            yield message.key, message.body, headers
            if null_after_delete and item.event.deleted:
                yield message.key, None, headers

    async def close(self) -> None:
        """Disconnect; what is still under way is dropped."""
        lines, self._line, self._alone = (self._line, self._alone), None, None
        try:
            # Both at once: a caller that gives up leaves them ending, the one after the other.
            await asyncio.gather(*(self._worker.run(line.end) for line in lines if line is not None))
        finally:
            self._worker.stop()
            self._doubt = False

    async def check(self) -> Sequence[Finding]:
        """Report partitions, limits and rights, as far as the cluster lets us see, and how safe the connection is."""
        settings = self.settings
        partitions = await self._worker.run((await self._ready_line()).partitions, settings.connect_timeout_seconds)
        described = await self._worker.run(describe, self._config(), settings)
        found = [
            Finding("topic", "ok", f"{settings.topic} exists"),
            partitions_finding(partitions, settings.partitions),
            Finding("partitioner", "ok", f"{settings.partitioner}; other producers of this topic must use the same"),
            *findings_of(described, settings, self._size_setting),
            *self._certificate_findings(),
        ]
        if not settings.tls:
            found.append(Finding("encryption", "note", "tls is off: events can be read on the way"))
        return found

    async def subscribers(self) -> Sequence[SubscriberLag]:
        """Compare the positions that consumer groups have committed with the end of each partition."""
        asked = self.settings.subscribers
        if asked is None:
            raise no_subscribers(self.name)
        return await self.group_lags(asked.consumer_groups)

    async def group_lags(self, groups: Sequence[str]) -> Sequence[SubscriberLag]:
        """Return how far consumer groups are; errors as of `subscribers`."""
        what = f"target '{self.name}': topic {self.settings.topic}"
        worker = Worker(f"{self.name}-subscribers")
        try:
            return await worker.run(group_lags, self._config(), self.settings, groups)
        except self._kafka.KafkaException as raised:
            error: KafkaError = raised.args[0]
            if error.name() in RIGHTS:
                raise ConfigError(f"{what}: {RIGHTS[error.name()]}") from None
            text = f"{what}: {self._reason(error)}"
            raise (ConfigError(text) if is_for_people(error) else ConnectionError(text)) from None
        finally:
            worker.stop()

    async def _settle(self, items: Sequence[Item], errors: Errors, line: Line) -> list[Outcome]:
        """Return the outcome of each event; its records are made again to find their errors."""
        if any(error.name() == _FATAL for error in errors.values()):
            await self._worker.run(line.note_fatal)
        outcomes: list[Outcome] = []
        left = _ALONE_MAX
        for item in items:
            outcome: Outcome = DELIVERED
            for number, record in enumerate(self._records([item])):
                error = errors.get(record[:2])
                if error is None:
                    continue
                if error.name() in OF_THE_BATCH:
                    left -= 1
                    outcome = await self._write_alone(record) if left >= 0 else self._untried()
                    # After one doubt the others would wait as long for the same silence.
                    left = 0 if type(outcome) is Unknown else left
                else:
                    outcome = _outcome(error, line)
                if outcome is not DELIVERED:
                    # A written event must not count as unwritten because the empty record after it is missing.
                    outcome = outcome if number == 0 else _HALF_WRITTEN
                    break
            outcomes.append(outcome)
        self._doubt = self._doubt or any(type(outcome) is Unknown for outcome in outcomes)
        return outcomes

    async def _write_alone(self, record: Record) -> Outcome:
        """Write a record in a batch of its own: a refusal is then about this record alone."""
        size = _size_of(record)
        limit = self.settings.message_bytes_max
        if size > limit:
            return Rejected(too_large(size, limit, f"see {self._size_setting}"))
        async with self._one_at_a_time:
            if self._line is None:
                return Unavailable("the target was closed meanwhile")
            try:
                line = await self._line_for_one()
            except ConnectionError:
                return Unavailable(_NO_TOKEN)
            try:
                errors = await line.write([record])
            except TimeoutError:
                return _NO_WORD
            except asyncio.CancelledError:
                # What this producer would still try must not overtake what the other one writes from now on.
                line.drop()
                raise
        return self._fate_alone(size, errors[record[:2]], line) if errors else DELIVERED

    def _fate_alone(self, size: int, error: KafkaError, line: Line) -> Outcome:
        """Return what became of a record of so many bytes that was not taken, though it went alone."""
        if error.name() in TOO_LARGE:
            fix = f"see {self._size_setting} and the topic's max.message.bytes"
            return Rejected(f"no message of {size:,} bytes is taken; {fix}")
        if error.name() in OF_THE_BATCH:
            return Rejected("the broker refuses its content")
        return _outcome(error, line)

    async def _probe(self) -> KafkaError | None:
        """Ask for the topic, which writes nothing; return why that failed.

        Raises:
            ConfigError: it has another number of partitions than the settings say.
        """
        line = await self._ready_line()
        try:
            partitions = await self._worker.run(line.partitions, self.settings.connect_timeout_seconds)
        except self._kafka.KafkaException as raised:
            error: KafkaError = raised.args[0]
            # The client has reported before why no broker answers.
            return line.last_error if line.last_error is not None and not is_for_people(error) else error
        refuse_growth(f"target '{self.name}': topic {self.settings.topic}", partitions, self.settings.partitions)
        self._looked_at = self._clock.monotonic()
        line.last_error = None
        return None

    def _reason(self, error: KafkaError) -> str:
        return _NO_TOKEN if self._token_is_missing else reason_of(error)

    async def _ready_line(self) -> Line:
        assert self._line is not None, "send before open"
        if self._line.fatal:
            async with self._mending:
                if self._line.fatal:
                    # What it still holds comes back as Unknown and is sent again; it must not arrive later than that.
                    await self._worker.run(self._line.end)
                    self._line = await self._make_line()
        return self._line

    async def _line_for_one(self) -> Line:
        if self._alone is not None and self._alone.fatal:
            await self._worker.run(self._alone.end)
            self._alone = None
        if self._alone is None:
            self._alone = await self._make_line()
        return self._alone

    async def _make_line(self) -> Line:
        """Make a producer; one that is ready only after a caller gave up is ended again.

        Raises:
            ConnectionError: there is no token now.
            ConfigError: the client does not take the configuration.
        """
        making = asyncio.ensure_future(self._worker.run(self._new_line))
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            making.add_done_callback(_end_unclaimed)
            raise

    def _untried(self) -> Unavailable:
        return Unavailable(
            f"the broker refuses the batch it was in; not tried alone so far; lower {self._size_setting} to what it takes"
        )

    def _read_certificate(self) -> ClientCertificate | None:
        """Check the client certificate before librdkafka does, whose errors are those of OpenSSL.

        Raises:
            ConfigError: it cannot be used, or the key is that of another.
            ConnectionError: it has expired.
        """
        settings = self.settings
        if settings.certificate_file is None:
            return None
        return read_client_certificate(
            self.name, settings.certificate_file, settings.key_file, settings.key_password, now=self._clock.now()
        )

    def _certificate_findings(self) -> list[Finding]:
        certificate, file = self._read_certificate(), self.settings.certificate_file
        if certificate is None or file is None:
            return []
        return certificate_findings(certificate, self.settings.key_file or file, now=self._clock.now())

    def _config(self) -> dict[str, Any]:
        config = client_config(self.name, self.settings)
        return config if self._token is None else {**config, "oauth_cb": self._fetch_token}

    def _new_line(self) -> Line:
        """Make a producer. It blocks: the client wants its first token at once."""
        try:
            return Line(self._config(), self.settings.topic)
        except self._kafka.KafkaException as error:
            if self._token_is_missing:
                raise ConnectionError(f"target '{self.name}': {_NO_TOKEN}") from None
            raise ConfigError(f"target '{self.name}': {error.args[0].str()}") from None

    def _fetch_token(self, config: str | None) -> tuple[str, float]:
        """Get a token; called on the client's own thread, and again some seconds after a failure."""
        assert self._token is not None, "only with a token of our own"
        self._token_is_missing = True
        found = self._token(config)
        self._token_is_missing = False
        return found


_NO_TOKEN = "no token can be had; mend the credential of this machine"  # noqa: S105 - no secret
_NO_WORD = Unknown("the client says nothing about it any more")
_HALF_WRITTEN = Unknown("the deletion is written, the empty record after it is not")


def _end_unclaimed(making: asyncio.Future[Line]) -> None:
    """End a producer for which no caller waited, on a thread of its own: it takes a while."""
    if not making.cancelled() and making.exception() is None:
        threading.Thread(target=making.result().end, name="kafka-unclaimed", daemon=True).start()


def _oauth(settings: KafkaSettings) -> tuple[str | None, str | None, str | None]:
    return settings.oauth_token_url, settings.oauth_client_id, settings.oauth_client_secret


def _outcome(error: KafkaError, line: Line) -> Outcome:
    """Return the outcome for the relay; a client that can write nothing any more has reported the reason before."""
    if line.fatal and line.last_error is not None:
        return Unknown(f"the client gave up: {reason_of(line.last_error)}", lost=line.last_error.name() in LOSS)
    return outcome_of(error)


def _size_of(record: Record) -> int:
    key, value, headers = record
    return len(key.encode()) + len(value or b"") + sum(len(name.encode()) + len(text.encode()) for name, text in headers)
