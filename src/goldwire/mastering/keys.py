"""Match keys: 16 bytes that two records share when a match rule finds them equal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b

from goldwire.mastering.model import EntityType, MatchRule, Model, Normaliser
from goldwire.mastering.normalisation import DEFAULT, normalised
from goldwire.mastering.placeholders import Placeholders
from goldwire.mastering.record import NULL, Claim

KEY_BYTES = 16
_QUOTE = ord('"')

_Part = tuple[str, tuple[Normaliser, ...], int | None]


class KeyMaker:
    """The match rules of one entity type, ready to be applied.

    Args:
        name: the entity type's name; records of two types never match.
        entity_type: its model.
        placeholders: system to values that say nothing there, besides those of the rules.
    """

    def __init__(self, name: str, entity_type: EntityType, placeholders: Mapping[str, Sequence[str]] | None = None) -> None:
        self.attributes = frozenset(attribute for rule in entity_type.match for attribute in rule.equal)
        """Only a change of these can change a record's keys."""
        self.limits = [rule.block_limit for rule in entity_type.match]
        self.names = [rule.name for rule in entity_type.match]
        self._of_systems = {system: Placeholders(words, defaults=False) for system, words in (placeholders or {}).items()}
        self._parts: list[tuple[_Part, Placeholders, frozenset[bytes]]] = []
        self._rules: list[tuple[bytes, list[int]]] = []
        indexes: dict[tuple[_Part, tuple[str, ...], bool], int] = {}
        for rule in entity_type.match:
            parts = _parts(rule)
            says_nothing = Placeholders(rule.placeholders, defaults=rule.default_placeholders)
            chosen = []
            for part in parts:
                known = (part, rule.placeholders, rule.default_placeholders)
                if known not in indexes:
                    indexes[known] = len(self._parts)
                    self._parts.append((part, says_nothing, says_nothing.clear))
                chosen.append(indexes[known])
            # The key names what is compared, not the rule: renaming a rule does not tear matches apart.
            self._rules.append((repr((name, parts)).encode(), chosen))

    def keys(self, claims: Mapping[str, Claim], system: str) -> list[bytes | None]:
        """Return one key for each rule, or None where an attribute is missing, empty, or a placeholder.

        Args:
            claims: of one record.
            system: whose record it is.
        """
        of_system = self._of_systems.get(system)
        texts = []
        for (attribute, steps, prefix), says_nothing, clear in self._parts:
            claim = claims.get(attribute)
            value = NULL if claim is None else claim[2]
            # Most values say something, as their first letters show; a call for each of them would cost more than the rest.
            speaks = value[0] == _QUOTE and value[1:3] in clear
            if (speaks or not says_nothing.holds(value)) and (of_system is None or not of_system.holds(value)):
                texts.append(normalised(value, steps, prefix))
            else:
                texts.append("")
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


def makers_of(model: Model) -> dict[str, KeyMaker]:
    """Return the match rules of each entity type, ready to be applied."""
    return {name: KeyMaker(name, entity_type, model.placeholders.get(name)) for name, entity_type in model.types.items()}


def _parts(rule: MatchRule) -> list[_Part]:
    """What a rule compares, in an order that does not depend on how it was written."""
    return sorted(
        ((name, rule.normalise.get(name, DEFAULT), rule.prefix.get(name)) for name in set(rule.equal)),
        key=lambda part: part[0],
    )
