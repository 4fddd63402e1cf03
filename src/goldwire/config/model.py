"""The shape of `goldwire.yaml`: every section, each field with its meaning. `reader` reads it, `cross_checks` checks it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from goldwire.capture.source_spec import SourceSpec
from goldwire.changelog.rows import Start
from goldwire.contract.spec import ContractSpec
from goldwire.mastering.model import EntityType, Tag
from goldwire.redaction import shows
from goldwire.relay.settings import DeliverySettings, GuardSettings

Name = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$",
        description="a letter, then letters, digits, `_`, `.` or `-`; at most 64 characters",
    ),
]
Secret = Annotated[str, Meta(extra={"secret": True}, extra_json_schema={"pattern": r"\$\{(env|file):[^}]+\}"})]


class StoreConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the changelog lives."""

    path: Annotated[
        str,
        Meta(description="The SQLite file; a relative path starts at the folder of goldwire.yaml.", min_length=1),
    ] = ".goldwire/store.db"


class KeysConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Keys of the masks, and of lists of heads; at least 32 bytes each. Another key of a mask changes every value it masks."""

    hash: Annotated[Secret, Meta(description="Key of the mask `hash` (HMAC-SHA-256).")] | None = None
    tokenise: Annotated[Secret, Meta(description="Key of the mask `tokenise`; its holder can reverse tokens.")] | None = None
    heads: Annotated[Secret, Meta(description="Signs lists of heads; subscribers need it.")] | None = None


class IngestConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """How far the times of facts and decisions are believed."""

    future_tolerance_seconds: Annotated[
        float,
        Meta(
            description="A row or decision whose time is further ahead of this machine's clock is rejected. A day lets local "
            "times pass.",
            ge=0,
            le=3_155_760_000,
        ),
    ] = 86_400.0
    trust_clock: Annotated[
        bool,
        Meta(
            description="The machine's clock is right although the log is ahead of it, because it was wrong once: rows without "
            "a time are dated by the clock, and not as the newest change in the log."
        ),
    ] = False


class LogConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What `goldwire run` writes to standard error."""

    format: Annotated[
        Literal["console", "json"], Meta(description="`console` for people, `json` for a log system: one object a line.")
    ] = "console"
    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="The least serious line that is written; every attempt is a line of level `info`."),
    ] = "warning"


class HeadsConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """When the heads of a target are listed, and where the signed list goes."""

    path: Annotated[
        str,
        Meta(
            description="The file, which is replaced as a whole; a relative path starts at the folder of goldwire.yaml.",
            min_length=1,
            examples=["heads/crm.jsonl"],
        ),
    ]
    every_seconds: Annotated[
        float, Meta(description="A list that is older is written anew by `goldwire run`; 86,400 is a day.", ge=1)
    ] = 86_400.0


@shows("kind", "contract")
class TargetConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """One system that receives events."""

    kind: Annotated[str, Meta(description="The target kind; `goldwire targets` lists them with their settings.")]
    contract: Annotated[str, Meta(description="Which of `contracts` says what this target may see.")]
    settings: Annotated[Any, Meta(description="What this kind of target needs: paths, addresses, tables.")] = field(
        default_factory=dict
    )
    clearance: Annotated[
        tuple[str, ...],
        Meta(description="Classification tags that this target may see unmasked.", examples=[["pii"]]),
    ] = ()
    start: Annotated[
        Start,
        Meta(
            description="Where it begins: `snapshot`, the records as they are and then every change; "
            "`beginning`, the whole log; `now`, only what comes."
        ),
    ] = "snapshot"
    delivery: Annotated[DeliverySettings, Meta(description="Pace, patience and limits.")] = field(
        default_factory=DeliverySettings
    )
    guards: Annotated[GuardSettings, Meta(description="How much may leave the target or change before a person says yes.")] = (
        field(default_factory=GuardSettings)
    )
    heads: Annotated[
        HeadsConfig | None,
        Meta(description="List version and hash of the last event of each entity on a schedule, signed with `keys.heads`."),
    ] = None


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole of `goldwire.yaml`."""

    types: Annotated[
        dict[Name, EntityType], Meta(description="Entity types: attributes, relations, match rules, survivorship.")
    ]
    store: Annotated[StoreConfig, Meta(description="Where the changelog lives.")] = field(default_factory=StoreConfig)
    tags: Annotated[dict[Name, Tag], Meta(description="Classification tags that attributes may carry.")] = field(
        default_factory=dict
    )
    sources: Annotated[
        dict[Name, SourceSpec], Meta(description="Systems that say something, and how their files are read.")
    ] = field(default_factory=dict)
    ingest: Annotated[IngestConfig, Meta(description="How far the times of facts and decisions are believed.")] = field(
        default_factory=IngestConfig
    )
    contracts: Annotated[dict[Name, ContractSpec], Meta(description="What a target may see, and in what shape.")] = field(
        default_factory=dict
    )
    keys: Annotated[KeysConfig, Meta(description="Keys of masks and lists, only as references.")] = field(
        default_factory=KeysConfig
    )
    targets: Annotated[dict[Name, TargetConfig], Meta(description="Systems that receive events.")] = field(default_factory=dict)
    log: Annotated[LogConfig, Meta(description="What is logged, and how.")] = field(default_factory=LogConfig)
