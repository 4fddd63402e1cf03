"""A target's contract as it is applied: the document that a revision keeps, and how it is compiled again from it.

The document holds all that sealing depends on and nothing else, so that an edit elsewhere in `goldwire.yaml` makes no revision.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from goldwire.canonical import canonical
from goldwire.changelog.ports.revisions import Revisions
from goldwire.changelog.rows import Revision
from goldwire.config.reader import Loaded
from goldwire.contract.spec import ContractSpec, mask_name
from goldwire.errors import ConfigError
from goldwire.mastering.model import Attribute, EntityType, Model, Relation, Tag

if TYPE_CHECKING:
    from goldwire.contract.compiled import CompiledContract
    from goldwire.contract.masks import LostKey


_REFERENCE = re.compile(r"\$\{(?:env|file):[^}]*\}")

_MUST_BE_THE_SAME = (
    "What may have been sent under that revision has to be sealed again exactly so: restore the key that it was applied with, "
    "run `goldwire apply` and then `goldwire run`, and change the key when that is delivered"
)


class ContractDocument(Struct, frozen=True, forbid_unknown_fields=True):
    """What one revision keeps."""

    contract: str
    spec: ContractSpec
    types: dict[str, EntityType]
    """Reduced to what a contract looks at: attributes and relations with their tags."""
    tags: dict[str, Tag]
    clearance: tuple[str, ...]
    keys: dict[str, str]
    """Fingerprint of each key that a mask needs: another key is another revision."""
    deltas: Literal["value"] | UnsetType = UNSET
    """`value`: a delta names the attributes whose value changed. It is not there in revisions of full events, and in those from
    before that was so, which name attributes of which anything changed; what may have been sent has to be sealed so again."""


def document(loaded: Loaded, target: str) -> bytes:
    """Return the canonical document of a target's contract.

    Raises:
        ConfigError: a key that a mask needs is missing or too short.
    """
    config = loaded.config
    own = config.targets[target]
    spec = config.contracts[own.contract]
    wanted = config.types if spec.types == "all" else {name: config.types[name] for name in spec.types}
    reduced = {name: _reduced(entity_type) for name, entity_type in wanted.items()}
    used = {
        tag
        for entity_type in reduced.values()
        for tags in (
            *[attribute.tags for attribute in entity_type.attributes.values()],
            *[relation.tags for relation in entity_type.relations.values()],
        )
        for tag in tags
    }
    maskable = used.union(*[entity_type.attributes for entity_type in reduced.values()])
    spec = msgspec.structs.replace(spec, masks={name: mask for name, mask in spec.masks.items() if name in maskable})
    tags = {name: Tag(tag.retention_days, tag.cleared_by) for name, tag in config.tags.items() if name in used}
    keys = {name: _fingerprint(name, key) for name, key in _keys(loaded, target, spec).items()}
    clearance = tuple(sorted(used.intersection(own.clearance)))
    deltas: Literal["value"] | UnsetType = "value" if spec.payload == "delta" else UNSET
    whole = ContractDocument(own.contract, spec, reduced, tags, clearance, keys, deltas)
    return canonical(msgspec.to_builtins(whole))


def contract_differs(loaded: Loaded, store: Revisions, target: str) -> bool:
    """Say whether a target's contract in the configuration is another than the one that was applied last.

    Raises:
        ConfigError: a key that a mask needs is missing or too short.
    """
    revisions = store.revisions(target)
    return bool(revisions) and revisions[-1].document != document(loaded, target)


class AppliedContracts:
    """Compiles the revisions of one target.

    Args:
        loaded: the configuration; of it only the keys are used, the rest is in the revisions.
        target: its name.

    A revision seals with the keys that it was applied with and with no others: another key would make other events of what may
    have been sent already, and change every masked value without a request.
    """

    def __init__(self, loaded: Loaded, target: str) -> None:
        self._loaded = loaded
        self._target = target

    def compile(self, revision: Revision) -> CompiledContract:
        """Return a revision, compiled. Where a key is not the one that it was applied with, masking a value raises ConfigError.

        Raises:
            ContractError: it would let a classified attribute reach a target without clearance, or names what is not there.
        """
        from goldwire.contract.compiled import compile_contract  # noqa: PLC0415 - showing a status compiles nothing

        kept = msgspec.json.decode(revision.document, type=ContractDocument)
        keys = {name: self._key(name, wanted, revision) for name, wanted in kept.keys.items()}
        model = Model(kept.types, kept.tags)
        return compile_contract(
            kept.contract, kept.spec, model, self._target, kept.clearance, keys, revision.revision,
            delta_by_value=kept.deltas == "value",
        )  # fmt: skip

    def check_keys(self, revision: Revision) -> None:
        """See that the keys are those that the newest revision was applied with.

        Raises:
            ConfigError: one is missing, or is another; the text names the target, the key and the fixes.
        """
        kept = msgspec.json.decode(revision.document, type=ContractDocument)
        for name, wanted in kept.keys.items():
            if _fingerprint(name, key(self._loaded, name, f"for target {self._target}")) != wanted:
                raise ConfigError(
                    f"{self._other_key(name, revision)}, and every value that it masks would change. Restore the key, or run "
                    "`goldwire apply` to take this one as a new revision"
                )

    def _key(self, name: str, wanted: str, revision: Revision) -> bytes | LostKey:
        from goldwire.contract.masks import LostKey  # noqa: PLC0415 - see above

        try:
            found = key(self._loaded, name, f"for target {self._target}")
        except ConfigError as error:
            return LostKey(f"{error}. {_MUST_BE_THE_SAME}")
        return (
            found if _fingerprint(name, found) == wanted else LostKey(f"{self._other_key(name, revision)}. {_MUST_BE_THE_SAME}")
        )

    def _other_key(self, name: str, revision: Revision) -> str:
        references = "".join(_REFERENCE.findall(str(getattr(self._loaded.config.keys, name))))
        return (
            f"{self._loaded.where('keys', name)}: revision {revision.revision} of the contract of target {self._target} was "
            f"applied with another key than {references or 'the configuration'} gives now"
        )


def preview(loaded: Loaded, target: str) -> CompiledContract:
    """Compile a target's contract as it stands in the configuration, without applying it."""
    return AppliedContracts(loaded, target).compile(Revision(1, 0, "", document(loaded, target)))


def _reduced(entity_type: EntityType) -> EntityType:
    return EntityType(
        attributes={name: Attribute(tags=attribute.tags) for name, attribute in entity_type.attributes.items()},
        relations={name: Relation(tags=relation.tags) for name, relation in entity_type.relations.items()},
    )


def _keys(loaded: Loaded, target: str, spec: ContractSpec) -> Mapping[str, bytes]:
    """Resolve the keys that a contract's masks need, and no others."""
    found: dict[str, bytes] = {}
    for name in sorted({mask_name(mask) for mask in spec.masks.values()} & {"hash", "tokenise"}):
        if getattr(loaded.config.keys, name) is None:
            raise ConfigError(
                f"{loaded.where('targets', target, 'contract')}: the mask `{name}` needs a key; "
                f'add to the configuration: keys: {{{name}: "${{env:GOLDWIRE_{name.upper()}_KEY}}"}}'
            )
        found[name] = key(loaded, name, f"for target {target}")
    return found


def key(loaded: Loaded, name: str, purpose: str) -> bytes:
    """Return the key of a mask, or of lists of heads.

    Args:
        loaded: the configuration.
        name: `hash`, `tokenise` or `heads`.
        purpose: for messages, e.g. `for target crm`.

    Raises:
        ConfigError: it is not configured, cannot be resolved, or is too short.
    """
    from goldwire.contract.masks import KEY_BYTES_MIN  # noqa: PLC0415 - cryptography is slow to import

    reference = getattr(loaded.config.keys, name)
    if reference is None:
        raise ConfigError(f"{loaded.file}: `keys.{name}` is needed {purpose}, and is not there")
    where = f"{loaded.where('keys', name)} ({purpose})"
    # a variable may hold any bytes; what of them is no UTF-8 comes as surrogates, and goes back to what it was
    value = str(loaded.references.resolve(reference, where)).encode(errors="surrogateescape")
    if len(value) < KEY_BYTES_MIN:
        raise ConfigError(f"{where}: the key has fewer than {KEY_BYTES_MIN} bytes; make one with `openssl rand -hex 32`")
    return value


def _fingerprint(name: str, key: bytes) -> str:
    return hmac.new(key, b"goldwire key fingerprint " + name.encode(), hashlib.sha256).hexdigest()[:16]
