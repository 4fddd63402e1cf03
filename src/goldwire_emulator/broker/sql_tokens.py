"""Splits a SQL filter or action of a Service Bus rule into tokens.

The grammar is Microsoft's: https://learn.microsoft.com/azure/service-bus-messaging/service-bus-messaging-sql-filter
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from goldwire_emulator.broker.refusals import ArgumentError

KEYWORDS = frozenset({
    "AND", "OR", "NOT", "IS", "NULL", "IN", "LIKE", "ESCAPE", "EXISTS", "TRUE", "FALSE", "SET", "REMOVE",
})  # fmt: skip

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?)
    | '(?P<string>(?:[^']|'')*)'
    | \[(?P<bracketed>(?:[^\]]|\]\])*)\]
    | "(?P<quoted>(?:[^"]|"")*)"
    | (?P<word>[^\W\d_]\w*)
    | (?P<sign><>|!=|>=|<=|[=<>()+\-*/%,.;])
    )""",
    re.VERBOSE,
)


class Token(NamedTuple):
    """One word of the language.

    Attributes:
        kind: `number`, `string`, `name`, `keyword`, `sign` or `end`.
        value: the number, the text, the name as it was written, the keyword in upper case, or the sign.
        position: where it begins, from 0.
    """

    kind: str
    value: Any
    position: int


def tokens(text: str) -> list[Token]:
    """Split the text; the last token is of kind `end`.

    Raises:
        ArgumentError: a character that begins no token.
    """
    found: list[Token] = []
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            raise ArgumentError(f"the rule's SQL has something at character {position + 1} that it does not know: {text[:200]}")
        found.append(_token(match))
        position = match.end()
    return [*found, Token("end", "end", end)]


def _token(match: re.Match[str]) -> Token:
    kind, start = match.lastgroup or "", match.start(match.lastgroup or 0)
    text = match[kind]
    if kind == "number":
        return Token("number", float(text) if re.search(r"[.eE]", text) else int(text), start)
    if kind == "string":
        return Token("string", text.replace("''", "'"), start)
    if kind == "bracketed":
        return Token("name", text.replace("]]", "]"), start)
    if kind == "quoted":
        return Token("name", text.replace('""', '"'), start)
    if kind == "word" and text.upper() in KEYWORDS:
        return Token("keyword", text.upper(), start)
    return Token("name" if kind == "word" else "sign", text, start)
