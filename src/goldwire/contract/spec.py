"""What a person writes of a contract in `goldwire.yaml`: a plain, documented struct, not yet checked against a model."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

EventKind = Literal["EntityChanged", "EntityDeleted"]
Approval = Literal["approved", "pending", "withdrawn"]
MaskName = Literal["redact", "hash", "tokenise", "truncate", "partial"]


class Truncate(Struct, frozen=True, forbid_unknown_fields=True):
    """Keep the first N characters of a value, and never more than half of them."""

    truncate: Annotated[int, Meta(ge=1, description="How many characters to keep, at most.", examples=[3])]


Mask = Literal["redact", "hash", "tokenise", "partial"] | Truncate
"""How a value is made unreadable. In YAML: `redact`, `hash`, `tokenise`, `partial` or `{truncate: 3}`."""


def mask_name(mask: Mask) -> MaskName:
    """Return the word that a tag's `cleared_by` uses for a mask."""
    return "truncate" if isinstance(mask, Truncate) else mask


class ContractSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """Which records one target receives, and what it sees of them."""

    types: Annotated[
        Literal["all"] | tuple[str, ...],
        Meta(description="Entity types that are sent.", examples=[["Customer"]]),
    ] = "all"
    kinds: Annotated[
        tuple[EventKind, ...],
        Meta(min_length=1, description="Event kinds that are sent.", examples=[["EntityChanged"]]),
    ] = ("EntityChanged", "EntityDeleted")
    golden: Annotated[
        bool,
        Meta(description="Send only records whose status is golden; `false` sends provisional ones too."),
    ] = True
    min_confidence: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="Send only records whose confidence (the lowest among their attributes) reaches this.",
            examples=[0.8],
        ),
    ] = 0.0
    approval: Annotated[
        Literal["any"] | tuple[Approval, ...],
        Meta(description="Stewardship states in which a record is sent.", examples=[["approved"]]),
    ] = ("approved",)
    where: Annotated[
        str | None,
        Meta(
            description="A CEL expression; only records for which it is true are sent.",
            examples=['a.country == "DE" && record.confidence >= 0.8'],
        ),
    ] = None
    reveals: Annotated[
        tuple[str, ...],
        Meta(
            description=(
                "Attributes that `where` may look at although the target has no clearance for them: "
                "that a record is sent at all then reveals something about their values."
            ),
            examples=[["country"]],
        ),
    ] = ()
    attributes: Annotated[
        Literal["all"] | tuple[str, ...],
        Meta(description="Attributes that the target sees.", examples=[["name", "city"]]),
    ] = "all"
    masks: Annotated[
        dict[str, Mask],
        Meta(
            description="Masks by attribute or by classification tag; an attribute's own mask goes first.",
            examples=[{"pii": "hash", "email": "partial", "postcode": {"truncate": 2}}],
        ),
    ] = field(default_factory=dict)
    edges: Annotated[
        Literal["all", "none"] | tuple[str, ...],
        Meta(description="Relations that the target sees.", examples=[["employs"]]),
    ] = "all"
    external_ids: Annotated[
        Literal["all", "none"] | tuple[str, ...],
        Meta(description="Systems whose external ids the target sees.", examples=[["crm"]]),
    ] = "all"
    payload: Annotated[
        Literal["delta", "full"],
        Meta(description="Send the whole record each time, or what changed since the last event sent."),
    ] = "full"
    deselect: Annotated[
        bool,
        Meta(
            description="Send EntityDeleted with reason `deselected` when a record leaves the selection.",
        ),
    ] = False
