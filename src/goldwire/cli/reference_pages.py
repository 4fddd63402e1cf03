"""The reference pages in `docs/` that are made from the code, so that they cannot fall behind it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import typer

from goldwire.cli.exit_codes import error_classes, exit_code, exit_codes, meaning
from goldwire.config.json_schema import config_schema
from goldwire.config.model import Config
from goldwire.config.settings_documentation import Setting, settings_of, structs_in
from goldwire.observability.metrics import METRICS
from goldwire.targets import registry

_MADE = "<!-- Made from the code by `make docs`; a test compares. Mend the code, not this page. -->"

# The blank after the end of a sentence, with closing quotes and brackets, and before what begins the next; not after "e.g.".
_SENTENCE_ENDS = r"(?<!\be\.g\.)(?<!\bi\.e\.)(?:(?<=[.!?])|(?<=[.!?][)*\"])|(?<=[.!?]\*\*))"
_BETWEEN_SENTENCES = re.compile(_SENTENCE_ENDS + r" (?=[*(\[\"]*[A-Z0-9`])")

_COMMANDS = """\
Results go to standard output, progress and errors to standard error. With `--json` standard output holds one JSON
document and nothing else. [Exit codes](errors.md#exit-codes) are for scripts."""

_CONFIGURATION = """\
One file, `goldwire.yaml`; `goldwire init` writes one to start from, `goldwire apply` checks it and keeps what is new.
An error names everything wrong with it at once, with line and column. Editors check it against
[goldwire.schema.json](goldwire.schema.json).

**Text** needs no quotes: where text is wanted, `no`, `0123` and `2026-01-01` mean what they say. Switches are `true` and
`false`.

**Secrets** are never written here. A setting that is marked secret takes a reference: `${env:NAME}` for an environment
variable, `${file:PATH}` for a file (a relative path starts at this file's folder). Any other text may hold references too; a
literal `${` is written `$${`. An address may be written out while it holds neither password nor query."""

_ERRORS = """\
An error is one line on standard error (one line for each problem of a configuration): what is wrong, where, and what
mends it. It never holds a secret or a value of a record. Errors are sorted by what their reader does next."""

_METRICS = """\
`goldwire run --metrics-address 127.0.0.1:9464` serves them to Prometheus at `/metrics`. Labels are names of targets and
sources and fixed words, never an entity or a value. Gauges are what the store says, once a second."""


def pages(app: typer.Typer) -> dict[str, str]:
    """Return every generated page by its file name under `docs/`.

    Args:
        app: the command line.
    """
    schema = msgspec.json.format(msgspec.json.encode(config_schema(), order="sorted")).decode()
    return {
        "commands.md": commands_page(app),
        "configuration.md": configuration_page(),
        "errors.md": errors_page(),
        "metrics.md": metrics_page(),
        "goldwire.schema.json": schema + "\n",
    }


def commands_page(app: typer.Typer) -> str:
    """Return the page of all commands, with their arguments and options."""
    lines = ["# Commands", _MADE, "", *_paragraphs(_COMMANDS), ""]
    for name, command in walk(typer.main.get_command(app), "goldwire"):
        lines += [f"## {name}", "", *_paragraphs(command.help or ""), ""]
        rows = [_parameter(parameter) for parameter in command.params if parameter.name != "help"]
        lines += _table(("Argument or option", "Meaning", "Default"), rows)
    return "\n".join(lines).rstrip() + "\n"


def walk(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield every command that does something, with its full name."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name, command
        return
    for key, child in inner.items():
        yield from walk(child, f"{name} {key}")


def configuration_page() -> str:
    """Return the page of all settings."""
    lines = ["# Configuration", _MADE, "", *_paragraphs(_CONFIGURATION), ""]
    seen: set[str] = set()
    for struct in _reachable(Config):
        lines += _struct(struct, seen)
    lines += ["# Settings of the target kinds", "", "What stands under `settings:` of a target depends on its `kind:`.", ""]
    for kind in sorted(registry.kinds()):
        settings = registry.settings_type(kind)
        lines += [f"## Kind `{kind}`", ""]
        for struct in _reachable(settings):
            lines += _struct(struct, seen)
    return "\n".join(lines).rstrip() + "\n"


def errors_page() -> str:
    """Return the page of all errors and exit codes."""
    lines = ["# Errors", _MADE, "", *_paragraphs(_ERRORS), ""]
    rows = [(f"`{cls.__name__}`", str(exit_code(cls)), meaning(cls)) for cls in error_classes()]
    lines += _table(("Error", "Exit code", "Meaning"), rows)
    lines += ["## Exit codes", ""]
    lines += _table(("Code", "Meaning"), [(str(code), meaning) for code, meaning in exit_codes().items()])
    return "\n".join(lines).rstrip() + "\n"


def metrics_page() -> str:
    """Return the page of all metrics."""
    lines = ["# Metrics", _MADE, "", *_paragraphs(_METRICS), ""]
    rows = [(f"`{metric.name}`", metric.kind, ", ".join(metric.labels), metric.meaning) for metric in METRICS]
    lines += _table(("Metric", "Kind", "Labels", "Meaning"), rows)
    return "\n".join(lines).rstrip() + "\n"


def _reachable(root: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    seen: dict[type[msgspec.Struct], None] = {}
    waiting = [root]
    while waiting:
        struct = waiting.pop(0)
        if struct not in seen:
            seen[struct] = None
            for info in msgspec.structs.fields(struct):
                waiting.extend(structs_in(info.type))
    return iter(seen)


def _struct(struct: type[msgspec.Struct], seen: set[str]) -> list[str]:
    if struct.__name__ in seen:
        return []
    seen.add(struct.__name__)
    return [
        f"### {struct.__name__}",
        "",
        *_paragraphs(struct.__doc__ or ""),
        "",
        *_table(("Setting", "Takes", "Default", "Meaning"), [_setting(setting) for setting in settings_of(struct)]),
    ]


def _setting(setting: Setting) -> tuple[str, str, str, str]:
    meaning = [setting.description]
    if setting.examples:
        meaning.append("E.g. " + ", ".join(f"`{example}`" for example in setting.examples) + ".")
    if setting.secret:
        meaning.append("**Secret**: write a reference.")
    if setting.advanced:
        meaning.append("Advanced: most never touch it.")
    default = setting.default if setting.default in ("required", "nothing") else f"`{setting.default}`"
    return f"`{setting.name}`", setting.type, default, " ".join(part for part in meaning if part)


def _parameter(parameter: Any) -> tuple[str, str, str]:
    if parameter.param_type_name == "argument":
        shown = parameter.metavar or parameter.name.upper()
        shown = shown if parameter.required else f"[{shown}]"
        name = f"`{shown}...`" if parameter.nargs == -1 else f"`{shown}`"
    else:
        name = ", ".join(f"`{option}`" for option in parameter.opts)
    default = parameter.default
    plain = default is not None and not callable(default) and default not in (False, (), [])
    return name, parameter.help or "", f"`{default}`" if plain else "required" if parameter.required else ""


def _paragraphs(text: str) -> list[str]:
    """Return the lines of a text: one sentence a line, an empty line between paragraphs."""
    parts = [_BETWEEN_SENTENCES.sub("\n", " ".join(part.split())) for part in text.strip().split("\n\n")]
    return "\n\n".join(parts).split("\n")


def _table(columns: tuple[str, ...], rows: list[Any]) -> list[str]:
    if not rows:
        return []
    escaped = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    return [
        "| " + " | ".join(columns) + " |",
        "|" + "---|" * len(columns),
        *["| " + " | ".join(row) + " |" for row in escaped],
        "",
    ]
