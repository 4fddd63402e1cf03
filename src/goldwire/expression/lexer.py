"""Splits a `where:` expression into tokens, as the CEL language definition describes them."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple, cast

from goldwire.expression.syntax import fault

Kind = Literal["int", "uint", "double", "text", "bytes", "name", "sign", "end"]

_TOKEN = re.compile(
    r"""
    (?P<space>(?:\s|//[^\n]*)+)
  | (?P<double>(?:\d+\.\d+|\.\d+)(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+)
  | (?P<uint>(?:0[xX][0-9a-fA-F]+|\d+)[uU])
  | (?P<int>0[xX][0-9a-fA-F]+|\d+)
  | (?P<text>[rRbB]{0,2}(?:"{3}(?:[^\\]|\\.)*?"{3}|'{3}(?:[^\\]|\\.)*?'{3}
      |"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'))
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<sign>&&|\|\||[=!<>]=|[-+*/%!<>?:.,()\[\]{}])
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_RAW = re.compile(r"""([rRbB]{0,2})("{3}|'{3}|"|')(.*)\2""", re.DOTALL)
_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.))", re.DOTALL | re.IGNORECASE
)
_SIMPLE = dict(zip("abfnrtv\\?\"'`", "\a\b\f\n\r\t\v\\?\"'`", strict=True))


class Token(NamedTuple):
    """A token, and where it begins."""

    kind: Kind
    value: str
    """As written; for a text what it stands for."""
    at: int


_UNKNOWN = {
    **dict.fromkeys("\"'", "the text has no closing quote"),
    "=": "CEL compares with `==`",
    "&": "CEL's and is `&&`",
    "|": "CEL's or is `||`",
}
"""By a character that begins no token, what its author most likely meant."""


def tokens(text: str) -> list[Token]:
    """Split an expression; the last token is its end.

    Raises:
        ContractError: a character begins no token, or an escape is wrong.
    """
    found = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise fault(text, at, _UNKNOWN.get(text[at], "this begins nothing that CEL knows"))
        kind = match.lastgroup
        if kind == "text":
            found.append(_text(text, match.group(), at))
        elif kind != "space":
            found.append(Token(cast("Kind", kind), match.group(), at))
        at = match.end()
    found.append(Token("end", "", len(text)))
    return found


def _text(whole: str, written: str, at: int) -> Token:
    parts = _RAW.fullmatch(written)
    assert parts is not None, "the token's own pattern asks for quotes"
    prefix, content = parts.group(1).lower(), parts.group(3)
    if "b" in prefix:
        return Token("bytes", content, at)
    if "r" in prefix:
        return Token("text", content, at)

    def unescape(match: re.Match[str]) -> str:
        x, u, long, octal, other = match.groups()
        if other is not None:
            if other not in _SIMPLE:
                raise fault(whole, at, f"the escape \\{other} is unknown; write \\\\ for a backslash")
            return _SIMPLE[other]
        point = int(octal, 8) if octal else int(x or u or long, 16)
        if point > 0x10FFFF or 0xD800 <= point <= 0xDFFF:  # noqa: PLR2004 - Unicode's bounds
            raise fault(whole, at, "an escape names no Unicode character")
        return chr(point)

    return Token("text", _ESCAPE.sub(unescape, content), at)
