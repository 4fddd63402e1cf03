"""A `where:` expression ready to run: true selects the record, anything else does not.

An expression that has no result for a record does not select it, so an error never lets a record out. An attribute that the
record lacks is no error (`has(a.x)` asks for it); any other error, such as a text compared with a number, is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from goldwire.expression.fallback import full_cel
from goldwire.expression.generator import Generator
from goldwire.expression.parser import parse
from goldwire.expression.resolver import Resolver
from goldwire.expression.runtime import EvaluationError, MissingError

Predicate = Callable[[Any, Any], bool]
"""Of a log row and its decoded golden state."""


class Where:
    """One expression.

    Attributes:
        text: as its author wrote it.
        attributes: every attribute it refers to.
        values: those whose value it decides on.
        uses_changed: it looks at what changed in this version.
        compiled: it runs as generated Python, not in the CEL package.
        error_count: how many evaluations failed (a missing attribute is no failure).
        last_error: why the latest one failed, without values; None while none did.
        failed: called with the reason each time, where it is given.
    """

    def __init__(self, text: str, known: Collection[str]) -> None:
        resolver = Resolver(text, known)
        self._tree = resolver.resolve(parse(text))
        self.text = text
        self.attributes = frozenset(resolver.attributes)
        self.values = frozenset(resolver.values)
        self.uses_changed = "changed" in resolver.known
        self.compiled = resolver.outside is None
        self.error_count = 0
        self.last_error: str | None = None
        self.failed: Callable[[str], None] | None = None
        if resolver.outside is not None:
            self._full = full_cel(text, self.attributes, resolver.outside)

    def bind(self, fields: Mapping[str, str]) -> Predicate:
        """Return the predicate for one shape.

        Args:
            fields: by attribute name, the field of the decoded state that holds it.

        Raises:
            ContractError: an operation can never have a result.
        """
        if self.compiled:
            quick = Generator(self.text, fields, careful=False).function(self._tree)
            careful = Generator(self.text, fields, careful=True).function(self._tree)
        else:
            quick = careful = self._full(fields)

        def selects(row: Any, state: Any) -> bool:
            try:
                return bool(quick(row, state))
            except Exception:  # noqa: BLE001 - whatever fails, the careful form decides and no record gets out
                return self._carefully(careful, row, state)

        return selects

    def _carefully(self, careful: Predicate, row: Any, state: Any) -> bool:
        try:
            return careful(row, state)
        except MissingError:
            return False
        except Exception as error:  # noqa: BLE001 - an error must never let a record out, nor stop the stream
            self.error_count += 1
            self.last_error = str(error) if isinstance(error, EvaluationError) else type(error).__name__
            if self.failed is not None:
                self.failed(self.last_error)
            return False


def compile_where(text: str, known: Collection[str]) -> Where:
    """Read, check and compile an expression.

    Args:
        text: CEL.
        known: names of the attributes it may refer to.

    Raises:
        ContractError: it is no CEL, names something unknown, or needs a package that is missing; the text names the location.
    """
    where = Where(text, known)
    # a fault that shows only when source is written must show at load, also when no entity type is selected
    where.bind({name: f"f{index}" for index, name in enumerate(sorted(where.attributes))})
    return where
