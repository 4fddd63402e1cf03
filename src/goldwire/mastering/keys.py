"""Match keys: 16 bytes that two records share when a match rule finds them equal."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b

from goldwire.mastering.model import EntityType, MatchRule, Normaliser
from goldwire.mastering.normalisation import DEFAULT, normalised
from goldwire.mastering.record import Claim

KEY_BYTES = 16

_Part = tuple[str, tuple[Normaliser, ...], int | None]


class KeyMaker:
    """The match rules of one entity type, ready to be applied.

    Args:
        name: the entity type's name; records of two types never match.
        entity_type: its model.
    """

    def __init__(self, name: str, entity_type: EntityType) -> None:
        self.attributes = frozenset(attribute for rule in entity_type.match for attribute in rule.equal)
        """Only a change of these can change a record's keys."""
        self.limits = [rule.block_limit for rule in entity_type.match]
        self._parts: list[_Part] = []
        self._rules: list[tuple[bytes, list[int]]] = []
        indexes: dict[_Part, int] = {}
        for rule in entity_type.match:
            parts = _parts(rule)
            for part in parts:
                if part not in indexes:
                    indexes[part] = len(self._parts)
                    self._parts.append(part)
            # The key names what is compared, not the rule: renaming a rule does not tear matches apart.
            self._rules.append((repr((name, parts)).encode(), [indexes[part] for part in parts]))

    def keys(self, claims: Mapping[str, Claim]) -> list[bytes | None]:
        """Return one key for each rule, or None where an attribute is missing or empty."""
        texts = []
        for attribute, steps, prefix in self._parts:
            claim = claims.get(attribute)
            texts.append("" if claim is None else normalised(claim[2], steps, prefix))
        keys: list[bytes | None] = []
        for seed, indexes in self._rules:
            chosen = [texts[index] for index in indexes]
            if "" in chosen:
                keys.append(None)
            else:
                # A length before each part keeps ("ab", "c") and ("a", "bc") apart.
                joined = "".join([f"\0{len(text)}:{text}" for text in chosen])
                keys.append(blake2b(seed + joined.encode(), digest_size=KEY_BYTES).digest())
        return keys


def _parts(rule: MatchRule) -> list[_Part]:
    """What a rule compares, in an order that does not depend on how it was written."""
    return sorted(
        ((name, rule.normalise.get(name, DEFAULT), rule.prefix.get(name)) for name in set(rule.equal)),
        key=lambda part: part[0],
    )
