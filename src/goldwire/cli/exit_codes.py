"""What the command line exits with: one number for each next step of its caller."""

from __future__ import annotations

from goldwire import errors

OK = 0
DONE_WITH_REJECTS = 10
INTERRUPTED = 130

_CODES: dict[type[errors.GoldwireError], int] = {
    errors.GoldwireError: 1,
    errors.ConfigError: 2,
    errors.InputError: 3,
    errors.StoreBusyError: 4,
    errors.StoreFullError: 5,
    errors.StoreCorruptError: 6,
    errors.TargetStoppedError: 7,
    errors.FencedError: 8,
    errors.VerificationError: 9,
    errors.NotFoundError: 11,
}
"""By error; one that is not listed has the code of its base."""

_OWN = {
    OK: "Done.",
    _CODES[errors.GoldwireError]: "Anything else that went wrong; the line on standard error says what.",
    DONE_WITH_REJECTS: "`ingest` is done, and some rows were rejected: see them, mend them, ingest them again. "
    "Or a replay is done, and some events were refused: `goldwire replay show` names them.",
    INTERRUPTED: "Stopped by Ctrl-C a second time, or before there was anything to end gracefully. "
    "Or a signal ended `run --until-caught-up` before all was delivered: the next run goes on.",
}


def exit_code(error: errors.GoldwireError | type[errors.GoldwireError]) -> int:
    """Return what the command line exits with when this error ends a command."""
    cls = error if isinstance(error, type) else type(error)
    return next(_CODES[base] for base in cls.__mro__ if base in _CODES)


def error_classes() -> list[type[errors.GoldwireError]]:
    """Return every error class, by exit code."""
    found = [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, errors.GoldwireError)]
    return sorted(found, key=lambda cls: (exit_code(cls), cls is errors.ContractError))


def meaning(cls: type[errors.GoldwireError]) -> str:
    """Return what an error means: the first paragraph of its description, on one line."""
    return " ".join((cls.__doc__ or "").partition("\n\n")[0].split())


def exit_codes() -> dict[int, str]:
    """Return every exit code with its meaning."""
    found = dict(_OWN)
    for cls in error_classes():
        found.setdefault(exit_code(cls), meaning(cls))
    found[exit_code(errors.ConfigError)] += " Also: the command line itself is wrong."
    return dict(sorted(found.items()))
