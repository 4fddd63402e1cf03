"""Brings values that mean the same into the same form, so that match rules can compare them."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable

import msgspec

from goldwire.mastering.model import Normaliser

_NOT_ASCII_ALPHANUMERIC = re.compile(r"[^0-9A-Za-z]+")
_NOT_DIGITS = re.compile(r"[^0-9]+")
_SOUNDEX = {
    letter: digit
    for letters, digit in (("bfpv", "1"), ("cgjkqsxz", "2"), ("dt", "3"), ("l", "4"), ("mn", "5"), ("r", "6"))
    for letter in letters
}
_SOUNDEX_LENGTH = 4


def casefold(text: str) -> str:
    """Return the text without difference of case and of compatible Unicode forms."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def alphanumeric(text: str) -> str:
    """Return only letters and digits, of any script."""
    if text.isascii():
        return _NOT_ASCII_ALPHANUMERIC.sub("", text)
    return "".join(filter(str.isalnum, text))


def digits(text: str) -> str:
    """Return only the digits 0 to 9, also where they are written in another script."""
    if not text.isascii():
        text = "".join(str(unicodedata.digit(each)) if each.isdecimal() else each for each in text)
    return _NOT_DIGITS.sub("", text)


def sorted_words(text: str) -> str:
    """Return the words in alphabetical order, one blank between them."""
    return " ".join(sorted(text.split()))


def soundex(text: str) -> str:
    """Return the American Soundex code of the text's Latin letters (without accents), or nothing when it has none.

    Source: the U.S. National Archives' description; `h` and `w` do not part two letters of one code.
    """
    plain = unicodedata.normalize("NFKD", text).casefold()
    letters = [letter for letter in plain if "a" <= letter <= "z"]
    if not letters:
        return ""
    code = letters[0].upper()
    last = _SOUNDEX.get(letters[0], "")
    for letter in letters[1:]:
        digit = _SOUNDEX.get(letter, "")
        if digit and digit != last:
            code += digit
            if len(code) == _SOUNDEX_LENGTH:
                break
        if letter not in "hw":
            last = digit
    return code.ljust(_SOUNDEX_LENGTH, "0")


def exact(text: str) -> str:
    """Return the text as it is."""
    return text


NORMALISERS: dict[Normaliser, Callable[[str], str]] = {
    "casefold": casefold,
    "alphanumeric": alphanumeric,
    "digits": digits,
    "soundex": soundex,
    "sorted_words": sorted_words,
    "exact": exact,
}
DEFAULT: tuple[Normaliser, ...] = ("casefold", "alphanumeric")


_LOWERED = bytes(range(256)).lower()
_NOT_ALPHANUMERIC = bytes(each for each in range(256) if not chr(each).isascii() or not chr(each).isalnum())


def normalised(value: bytes, steps: tuple[Normaliser, ...], prefix: int | None = None) -> str:
    """Return a canonical value as match rules compare it; empty means that it is no evidence.

    Args:
        value: canonical JSON bytes; anything but a text is compared as its JSON.
        steps: normalisers, applied in order.
        prefix: compare only so many characters of the outcome.
    """
    if value == b"null":
        return ""
    if steps == DEFAULT and value.isascii() and b"\\" not in value:
        # The usual case at a tenth of the cost: without escapes the quotes are all that JSON adds, and they go anyway.
        text = value.translate(_LOWERED, _NOT_ALPHANUMERIC).decode()
    else:
        text = stepwise(value, steps)
    return text[:prefix] if prefix else text


@functools.lru_cache(maxsize=1 << 16)
def stepwise(value: bytes, steps: tuple[Normaliser, ...]) -> str:
    """Return a canonical value after each normaliser in order."""
    text = msgspec.json.decode(value, type=str) if value[:1] == b'"' else value.decode()
    for step in steps:
        text = NORMALISERS[step](text)
    return text
