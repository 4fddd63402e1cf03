"""What the command line exits with: one number for each thing that its caller would do next."""

from __future__ import annotations

from goldwire import errors

OK = 0
DONE_WITH_REJECTS = 10
NOT_FOUND = 11
INTERRUPTED = 130

_OWN = {
    OK: "Done.",
    errors.GoldwireError.exit_code: "Anything else that went wrong; the line on standard error says what.",
    DONE_WITH_REJECTS: "`ingest` is done, and some rows were rejected: see them, mend them, ingest them again. "
    "Or a replay is done, and some events were refused: `goldwire replay show` names them.",
    NOT_FOUND: "What the command was asked for does not exist: an entity, a dead letter, a target.",
    INTERRUPTED: "Stopped by Ctrl-C a second time, or before there was anything to end gracefully.",
}


class NotFoundError(errors.GoldwireError):
    """What a command was asked for does not exist: an entity, a dead letter, a target."""

    exit_code = NOT_FOUND


def error_classes() -> list[type[errors.GoldwireError]]:
    """Return every error class, by exit code."""
    found = [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, errors.GoldwireError)]
    return sorted([*found, NotFoundError], key=lambda cls: (cls.exit_code, cls is errors.ContractError))


def meaning(cls: type[errors.GoldwireError]) -> str:
    """Return what an error means: the first paragraph of its description, on one line."""
    return " ".join((cls.__doc__ or "").partition("\n\n")[0].split())


def exit_codes() -> dict[int, str]:
    """Return every exit code with its meaning."""
    found = dict(_OWN)
    for cls in error_classes():
        if cls.exit_code not in found:
            found[cls.exit_code] = meaning(cls)
    found[errors.ConfigError.exit_code] += " Also: the command line itself is wrong."
    return dict(sorted(found.items()))
