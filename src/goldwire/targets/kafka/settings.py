"""How a `kafka` target is configured, and what that means to librdkafka."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from goldwire.targets.base import MOVES
from goldwire.targets.clients.backplane import BackplaneSettings, Partitions
from goldwire.targets.clients.http import is_loopback
from goldwire.targets.settings import SubscribersSettings, about

_PARTITIONERS = {"murmur2": "murmur2", "crc32": "consistent"}
_REQUEST_BYTES = 1_000_000
"""What librdkafka puts into one batch at most by default, and less than brokers take by default (1,048,588)."""

_SILENT = 2
"""Of syslog's levels only what is critical: the outcomes report the rest."""


def _brokers(settings: Mapping[str, Any]) -> list[str]:
    """Return host and port of each broker, as librdkafka reads `bootstrap.servers`; empty for one that cannot be read."""
    given = ",".join(settings["bootstrap_servers"])
    names = [name.strip().rpartition("://")[2] for name in given.split(",")]
    return [name if ":" in name or not name else f"{name}:9092" for name in names]


class KafkaSubscribers(SubscribersSettings, frozen=True, kw_only=True):
    """Which consumer groups of the topic are looked at; the user needs Describe on each of them."""

    consumer_groups: Annotated[tuple[str, ...], about("Their names.", examples=[["warehouse"]], min_length=1)]


class KafkaSettings(BackplaneSettings, frozen=True, kw_only=True):
    """Which topic a `kafka` target writes, and how it gets there."""

    bootstrap_servers: Annotated[
        tuple[str, ...],
        about(
            "Where to find the cluster, host and port each.",
            examples=[["broker1.example:9093"]],
            min_length=1,
            destination=_brokers,
        ),
    ]
    topic: Annotated[str, about("The topic; it must exist.", examples=["golden-customers"], min_length=1, destination=True)]
    partitions: Partitions = None
    partitioner: Annotated[
        Literal["murmur2", "crc32"],
        about(
            "How a key becomes a partition: `murmur2` as Java's clients do, `crc32` as librdkafka does by itself. Choose what "
            "other producers and joins on this topic use.",
            fixed=MOVES,
        ),
    ] = "murmur2"
    tls: Annotated[bool, about("Encrypt the connection, and check the broker's name.")] = True
    sasl: Annotated[
        Literal["none", "plain", "scram-sha-256", "scram-sha-512", "oauthbearer"], about("How to authenticate.")
    ] = "none"
    username: Annotated[str | None, about("For `plain` and `scram-…`.")] = None
    password: Annotated[str | None, about("For `plain` and `scram-…`.", secret=True)] = None
    oauth_token_url: (
        Annotated[str, about("For `oauthbearer`: where a token is got with the client's id and secret.", pattern="^https?://")]
        | None
    ) = None
    oauth_client_id: Annotated[str | None, about("For `oauthbearer`.")] = None
    oauth_client_secret: Annotated[str | None, about("For `oauthbearer`.", secret=True)] = None
    oauth_scope: Annotated[str | None, about("For `oauthbearer`, where the issuer wants one.")] = None
    ca_file: Annotated[
        str | None, about("PEM file of certificate authorities to trust instead of the system's.", path=True)
    ] = None
    certificate_file: Annotated[str | None, about("PEM file of the client's own certificate.", advanced=True, path=True)] = None
    key_file: Annotated[
        str | None,
        about("PEM file of that certificate's key; without it the key is in `certificate_file`.", advanced=True, path=True),
    ] = None
    key_password: Annotated[str | None, about("Of `key_file`.", secret=True, advanced=True)] = None
    null_after_delete: Annotated[
        bool,
        about(
            "After an EntityDeleted also write a record without a value under the same key, so that a compacted topic forgets "
            "the entity."
        ),
    ] = False
    message_bytes_max: Annotated[
        int, about("A larger message is refused; at most the topic's max.message.bytes.", ge=1_000, le=1_000_000_000)
    ] = 1_000_000
    compression: Annotated[Literal["none", "gzip", "snappy", "lz4", "zstd"], about("Of batches.")] = "none"
    linger_seconds: Annotated[float, about("How long a batch waits to become larger.", ge=0, le=10, advanced=True)] = 0.005
    timeout_seconds: Annotated[
        float, about("Without the broker's word by then, the outcome of an event is unknown.", gt=0.1, le=3_600)
    ] = 20.0
    connect_timeout_seconds: Annotated[float, about("For connecting and asking for the topic.", gt=0.1)] = 10.0
    subscribers: Annotated[
        KafkaSubscribers | None, about("Consumer groups whose lag `goldwire subscribers` and the metrics show.")
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sasl in {"plain", "scram-sha-256", "scram-sha-512"} and (self.username is None or self.password is None):
            raise ValueError(f"sasl: {self.sasl} needs username and password")
        if not self.tls and self.sasl in {"plain", "oauthbearer"} and not all(map(_is_near, self.bootstrap_servers)):
            raise ValueError(f"sasl: {self.sasl} without tls would show the secret to everyone on the way; set tls: true")
        url = self.oauth_token_url
        if url is not None and url.startswith("http:") and not is_loopback(url):
            raise ValueError("oauth_token_url would show the client's secret to everybody on the way; use https")
        if self.linger_seconds >= self.timeout_seconds:
            raise ValueError("linger_seconds must be below timeout_seconds")


def client_config(name: str, settings: KafkaSettings) -> dict[str, Any]:
    """Return librdkafka's configuration of a producer.

    It waits for all replicas in sync, keeps the order, and writes nothing twice as long as it lives (`enable.idempotence`).

    Args:
        name: the target's.
        settings: checked.
    """
    config: dict[str, Any] = {
        "bootstrap.servers": ",".join(settings.bootstrap_servers),
        "client.id": f"goldwire-{name}",
        "log_level": _SILENT,
        # Asking for a topic would create it on many clusters, with a number of partitions that no person chose.
        "allow.auto.create.topics": False,
        "enable.idempotence": True,
        "acks": "all",
        "partitioner": _PARTITIONERS[settings.partitioner],
        "message.max.bytes": settings.message_bytes_max,
        "batch.size": min(settings.message_bytes_max, _REQUEST_BYTES),
        "compression.type": settings.compression,
        "linger.ms": settings.linger_seconds * 1_000,
        "message.timeout.ms": round(settings.timeout_seconds * 1_000),
        "socket.connection.setup.timeout.ms": max(1_000, round(settings.connect_timeout_seconds * 1_000)),
        "reconnect.backoff.max.ms": 2_000,
        # Load balancers, Event Hubs' among them, cut connections that are silent for four minutes.
        "connections.max.idle.ms": 180_000,
        "metadata.max.age.ms": 180_000,
        "security.protocol": ("sasl_" if settings.sasl != "none" else "") + ("ssl" if settings.tls else "plaintext"),
    }
    found = {
        "ssl.ca.location": settings.ca_file,
        "ssl.certificate.location": settings.certificate_file,
        "ssl.key.location": settings.key_file or settings.certificate_file,
        "ssl.key.password": settings.key_password,
        **(_sasl(settings) if settings.sasl != "none" else {}),
    }
    return config | {key: value for key, value in found.items() if value is not None}


def _sasl(settings: KafkaSettings) -> dict[str, Any]:
    config: dict[str, Any] = {"sasl.mechanisms": settings.sasl.upper()}
    if settings.sasl != "oauthbearer":
        return {**config, "sasl.username": settings.username, "sasl.password": settings.password}
    if settings.oauth_token_url is None:
        return config
    return config | {
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.token.endpoint.url": settings.oauth_token_url,
        "sasl.oauthbearer.client.id": settings.oauth_client_id,
        "sasl.oauthbearer.client.secret": settings.oauth_client_secret,
        "sasl.oauthbearer.scope": settings.oauth_scope,
    }


def _is_near(server: str) -> bool:
    return is_loopback(f"http://{server}")
