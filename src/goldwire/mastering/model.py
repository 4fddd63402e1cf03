"""The entity model: which attributes an entity type has, how they are classified, identified and chosen."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

Normaliser = Literal["casefold", "alphanumeric", "digits", "soundex", "sorted_words", "exact"]
Choice = Literal["source_priority", "most_recent", "highest_confidence", "most_frequent", "longest"]


class Attribute(Struct, frozen=True, forbid_unknown_fields=True):
    """One attribute of an entity type."""

    tags: tuple[str, ...] = ()
    """Classification tags, e.g. `pii`; each must be declared under `tags`."""
    survivorship: tuple[Choice, ...] | None = None
    """Which value wins: rules tried in order until one decides; without it the entity type's."""
    systems: tuple[str, ...] | None = None
    """For `source_priority`: systems, most trusted first; without it the entity type's."""
    description: str = ""
    """For readers of the model."""


class Relation(Struct, frozen=True, forbid_unknown_fields=True):
    """One relation (edge) that an entity type may have."""

    tags: tuple[str, ...] = ()
    """Classification tags; each must be declared under `tags`."""
    description: str = ""
    """For readers of the model."""


class MatchRule(Struct, frozen=True, forbid_unknown_fields=True):
    """Two records are one entity when these attributes are equal after normalisation, and none is empty."""

    name: str
    """What it is called in messages."""
    equal: Annotated[tuple[str, ...], Meta(min_length=1)]
    """Attributes that must all be equal."""
    normalise: dict[str, tuple[Normaliser, ...]] = field(default_factory=dict)
    """Per attribute, applied in order; without it `casefold` then `alphanumeric`."""
    prefix: dict[str, Annotated[int, Meta(ge=1)]] = field(default_factory=dict)
    """Per attribute: compare only the first N characters of the normalised value."""
    block_limit: Annotated[int, Meta(ge=2)] = 100
    """A key that this many records share is no evidence (a switchboard's number): it links no further records."""
    placeholders: tuple[str, ...] = ()
    """Values that say nothing and so are no evidence, besides those that everybody writes; `*` stands for anything."""
    default_placeholders: bool = True
    """Whether an empty text, null, N/A, -, nan, none, unknown, none@…, test@…, only zeros and 1900-01-01 say nothing."""


class Golden(Struct, frozen=True, forbid_unknown_fields=True):
    """What makes a record `golden` rather than `provisional`."""

    required: tuple[str, ...] = ()
    """Attributes that must have a value."""
    minimum_systems: Annotated[int, Meta(ge=1)] = 1
    """How many systems must have facts about the record."""


class EntityType(Struct, frozen=True, forbid_unknown_fields=True):
    """One kind of golden record. An attribute that is not named here is refused where it comes in."""

    attributes: dict[str, Attribute]
    """What a record of this type is described by."""
    relations: dict[str, Relation] = field(default_factory=dict)
    """How it may relate to other records."""
    match: tuple[MatchRule, ...] = ()
    """When two records of different systems are one entity: any rule suffices."""
    survivorship: tuple[Choice, ...] = ("most_recent",)
    """Which value of an attribute wins: rules tried in order until one decides."""
    systems: tuple[str, ...] = ()
    """Systems, most trusted first, for `source_priority`."""
    golden: Golden = Golden()
    """When a record is `golden`."""
    approval: Literal["approved", "pending"] = "approved"
    """The approval state that a new record starts with."""


class Tag(Struct, frozen=True, forbid_unknown_fields=True):
    """A classification tag."""

    retention_days: Annotated[int, Meta(ge=1)] | None = None
    """How long a receiver may keep what carries this tag; travels with the event."""
    cleared_by: tuple[Literal["redact", "hash", "tokenise", "truncate", "partial"], ...] = (
        "redact", "hash", "tokenise", "truncate", "partial",
    )  # fmt: skip
    """Masks after which a value no longer carries this tag."""
    description: str = ""
    """For readers of the model."""


class Model(Struct, frozen=True):
    """All entity types and tags of a configuration."""

    types: dict[str, EntityType]
    tags: dict[str, Tag] = field(default_factory=dict)
    placeholders: dict[str, dict[str, tuple[str, ...]]] = field(default_factory=dict)
    """Entity type to system to values that say nothing where that system writes them."""
