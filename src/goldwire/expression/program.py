"""A `where:` expression ready to run: true selects the record, false does not, and no result is an error.

What the record merely lacks is no fault, and does not select it (`has(a.x)` asks for it). Any other error, such as a text
compared with a number, is counted and raised: it must neither let the record out nor withdraw it (docs/adr/0045).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from goldwire.expression.fallback import full_cel, takes_pattern
from goldwire.expression.generator import Generator
from goldwire.expression.parser import parse
from goldwire.expression.resolver import Resolver
from goldwire.expression.runtime import EvaluationError, MissingError
from goldwire.expression.syntax import fault

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
            for at, pattern in resolver.patterns:
                if not takes_pattern(pattern):
                    raise fault(text, at, "this pattern of `matches` is no regular expression, so it never has a result")

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
            """Say whether a record is selected.

            Raises:
                EvaluationError: there is no result; the text holds no value of the record.
            """
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
        except Exception as error:  # noqa: BLE001 - no error may be more than one record's fault
            self.error_count += 1
            self.last_error = str(error) if isinstance(error, EvaluationError) else type(error).__name__
            if self.failed is not None:
                self.failed(self.last_error)
            raise EvaluationError(self.last_error) from None


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
