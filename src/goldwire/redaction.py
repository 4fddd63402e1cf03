"""A repr that says which thing it is and shows nothing of what it holds, for tracebacks and logs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def shows(*names: str) -> Callable[[type[T]], type[T]]:
    """Let the repr of a class show these fields and no other; Rich, which prints tracebacks, shows the same.

    It costs nothing until a repr is asked for, so that classes of which there are millions can have it.

    Args:
        names: fields that never hold a value of a record.
    """

    def decorate(cls: type[T]) -> type[T]:
        def shown(self: T) -> list[tuple[str, Any]]:
            return [(name, getattr(self, name)) for name in names]

        def text(self: T) -> str:
            return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in shown(self))})"

        cls.__repr__ = text  # type: ignore[assignment]  # mypy knows the slot of `object` only
        cls.__rich_repr__ = shown  # type: ignore[attr-defined]  # Rich's protocol, which few classes have
        return cls

    return decorate
