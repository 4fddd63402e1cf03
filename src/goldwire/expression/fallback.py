"""Runs a `where:` expression that lies outside the compiled subset in the `common-expression-language` package.

Only the variables that the expression uses are decoded and passed. The package comes with the extra `cel`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from msgspec import UNSET

from goldwire.errors import ContractError
from goldwire.expression import runtime
from goldwire.extras import install_command


def full_cel(text: str, attributes: Collection[str], why: str) -> Callable[[Mapping[str, str]], Callable[[Any, Any], bool]]:
    """Compile an expression with the package, and return what binds it to a shape's fields.

    Args:
        text: the expression.
        attributes: names that it refers to.
        why: what the subset lacks, for the message.

    Raises:
        ContractError: the package is not installed, or does not take the expression.
    """
    try:
        import cel  # noqa: PLC0415 - an optional extra, loaded only where it is needed
    except ImportError as error:
        raise ContractError(
            f"`where` uses {why}, which lies outside the built-in subset of CEL: "
            f"simplify it, or install the extra with `{install_command('cel')}`"
        ) from error
    try:
        program = cel.compile(text)
        roots = frozenset(program.variables())
    except Exception as error:
        raise ContractError(f"`where` uses {why}, and the CEL package does not take the expression") from error
    wanted = sorted(attributes)

    def bind(fields: Mapping[str, str]) -> Callable[[Any, Any], bool]:
        def run(row: Any, state: Any) -> bool:
            found = {
                name: raw for name in wanted if name in fields and (raw := getattr(state.attributes, fields[name])) is not UNSET
            }
            try:
                return runtime.truth(program.execute(_variables(roots, row, state, found)))
            except KeyError as error:
                raise runtime.MissingError("what the record does not have") from error
            except runtime.EvaluationError:
                raise
            except Exception as error:
                raise runtime.EvaluationError("the CEL package could not evaluate the expression") from error

        return run

    return bind


def takes_pattern(pattern: str) -> bool:
    """Say whether the package can match anything with a pattern: it compiles patterns only when it meets a record."""
    import cel  # noqa: PLC0415 - see `full_cel`, which has found it

    try:
        cel.compile("'x'.matches(p)").execute({"p": pattern})
    except Exception:  # noqa: BLE001 - the package says no more than that it failed
        return False
    return True


def _variables(roots: frozenset[str], row: Any, state: Any, found: Mapping[str, Any]) -> dict[str, Any]:
    variables: dict[str, Any] = {}
    if "a" in roots:
        variables["a"] = {name: runtime.value(raw) for name, raw in found.items()}
    if "attributes" in roots:
        variables["attributes"] = {
            name: {
                "value": runtime.value(raw),
                "confidence": runtime.confidence(raw),
                "provenance": runtime.provenance(raw),
                "lastSeen": runtime.last_seen(raw),
            }
            for name, raw in found.items()
        }
    if "record" in roots:
        variables["record"] = {"confidence": state.confidence, "status": state.status, "approval": state.approval}
    if "entity" in roots:
        variables["entity"] = {"id": row.entity_id, "type": row.entity_type}
    if "changed" in roots:
        variables["changed"] = row.changed.split(",")
    return variables
