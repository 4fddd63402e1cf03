"""The documentation keeps to what is so: links, metrics, words, examples."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import rfc8785
import yaml

from goldwire.config.model import Config
from goldwire.config.settings_documentation import settings_of
from goldwire.observability.metrics import METRICS, Metric
from goldwire.targets import registry

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "examples").rglob("*.md")])

SOURCE_PAGES = sorted([*PAGES, *(ROOT / "src").rglob("*.md")])

WORDS = (
    "change", "event", "golden record", "entity", "target", "target kind", "filter", "mask", "contract", "relay", "delivery",
    "attempt", "pending", "delivered", "filtered", "superseded", "dead", "parked", "replay", "redrive", "tombstone", "lag",
    "control table", "partition key",
)  # fmt: skip
FORBIDDEN = re.compile(r"\b(sinks?|sync runs?|providers?|plugins?|plug-ins?)\b", re.IGNORECASE)

FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def short(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    return [text for found, text in FENCE.findall(page.read_text(encoding="utf-8")) if found == language]


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading).strip().replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=short)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        goal = (page.parent / path).resolve() if path else page
        if not goal.exists() or (anchor and anchor not in anchors(goal)):
            broken.append(link)
    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=short)
def test_no_page_uses_a_word_that_has_another_name_here(page: Path) -> None:
    assert not FORBIDDEN.findall(page.read_text(encoding="utf-8"))


FOLDERS = tuple(ROOT / folder for folder in ("", "src", "src/goldwire", "tests"))
"""Where a path that a page names may begin, beside the page's own folder."""
NOT_THERE = {"docs/targets/folder.md", "src/goldwire/targets/folder/target.py", "targets/KIND/"}
"""What a reader writes who adds a target."""


def paths_named(text: str) -> set[str]:
    """Return what a page names between backticks and can only be a path of this repository.

    That is a module (`…/name.py`), a folder (`name/`), and a path that begins at a folder which exists.
    """
    named = set(re.findall(r"`([\w.-]+(?:/[\w.-]+)*/?)`", text))
    made = set((ROOT / ".gitignore").read_text(encoding="utf-8").split())
    return {path for path in named - made if path.endswith((".py", "/")) or begins_in_a_folder(path)}


def begins_in_a_folder(path: str) -> bool:
    first, slash, _ = path.partition("/")
    return bool(slash) and any((folder / first).is_dir() for folder in FOLDERS)


def exists(path: str, page: Path) -> bool:
    if "/" not in path:
        return any(any((ROOT / folder).rglob(path)) for folder in ("src", "tests", "scripts", "examples"))
    return any((folder / path).exists() for folder in (*FOLDERS, page.parent))


@pytest.mark.parametrize("page", SOURCE_PAGES, ids=short)
def test_every_path_of_the_source_that_a_page_names_exists(page: Path) -> None:
    missing = {path for path in paths_named(page.read_text(encoding="utf-8")) if not exists(path, page)}
    assert missing - NOT_THERE == set()


def test_a_path_is_found_and_what_only_looks_like_one_is_not() -> None:
    text = (
        "`target/gone.py` `testing/gone` `gone/` `gone.py` `crm/4711` `application/json` `goldwire.yaml` `/goldwire/` `site/`"
    )
    assert paths_named(text) == {"target/gone.py", "testing/gone", "gone/", "gone.py"}
    assert not any(exists(path, DOCS / "index.md") for path in paths_named(text))


@pytest.mark.parametrize("page", PAGES, ids=short)
def test_every_python_example_compiles(page: Path) -> None:
    for number, text in enumerate(blocks(page, "python"), 1):
        compile(text, f"{short(page)}, example {number}", "exec", dont_inherit=True)


@pytest.mark.parametrize("page", PAGES, ids=short)
def test_every_json_example_is_json(page: Path) -> None:
    for text in blocks(page, "json"):
        json.loads(text)


@pytest.mark.parametrize("page", PAGES, ids=short)
def test_every_configuration_shown_has_known_fields_only(page: Path, tmp_path: Path) -> None:
    sections = {field.encode_name: field.type for field in msgspec.structs.fields(Config)}
    for text in blocks(page, "yaml"):
        for name, section in yaml.safe_load(text).items():
            msgspec.convert(section, sections[name], str_keys=True)
            if name == "targets":
                _check_settings(section, tmp_path)


def _check_settings(targets: dict[str, Any], folder: Path) -> None:
    for name, target in targets.items():
        if target["kind"] in registry.kinds():
            text = re.sub(r"\$\{env:\w+SECRET\}", "whsec_" + "MDEyMzQ1Njc4OWFiY2RlZg==", json.dumps(target.get("settings", {})))
            settings = json.loads(re.sub(r"\$\{env:\w+URL\}", f"sqlite:///{folder}/shown.db", text))
            registry.parse_settings(target["kind"], name, settings)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_every_metric_is_documented(metric: Metric) -> None:
    page = (DOCS / "metrics.md").read_text(encoding="utf-8")
    row = next((line for line in page.splitlines() if f"`{metric.name}`" in line), "")
    assert metric.meaning in row
    assert metric.kind in row
    assert all(label in row for label in metric.labels)


def terms() -> set[str]:
    """The terms of the glossary, without what stands in brackets."""
    heads = re.findall(r"^(\*\*.+?):", (DOCS / "glossary.md").read_text(encoding="utf-8"), re.MULTILINE)
    return {term for head in heads for term in re.findall(r"\*\*([^*]+)\*\*", head)}


@pytest.mark.parametrize("word", WORDS)
def test_every_word_of_the_house_is_in_the_glossary(word: str) -> None:
    assert word in terms()


def test_the_glossary_is_in_order() -> None:
    found = re.findall(r"^\*\*([^*]+)\*\*", (DOCS / "glossary.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert found == sorted(found, key=str.casefold)


@pytest.mark.parametrize("kind", registry.kinds())
def test_every_target_kind_and_each_of_its_settings_is_documented(kind: str) -> None:
    page = (DOCS / "targets" / f"{kind}.md").read_text(encoding="utf-8")
    settings = msgspec.structs.fields(registry.settings_type(kind))
    missing = [field.encode_name for field in settings if f"`{field.encode_name}`" not in page]
    assert not missing


@pytest.mark.parametrize("section", [field.encode_name for field in msgspec.structs.fields(Config)])
def test_every_section_of_the_configuration_is_told_of(section: str) -> None:
    told = re.compile(rf"`{section}`|^{section}:", re.MULTILINE)
    assert any(told.search(page.read_text(encoding="utf-8")) for page in PAGES if page.name != "configuration.md")


def test_the_events_shown_in_the_wire_format_have_the_hashes_they_state() -> None:
    events = [event for text in blocks(DOCS / "wire-format.md", "json") if "hash" in (event := json.loads(text))]
    assert events
    for event in events:
        stated = event.pop("hash")
        assert stated == "sha256:" + hashlib.sha256(rfc8785.dumps(event)).hexdigest()


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or page.suffix != ".md" or not page.exists():
            continue
        seen.add(page)
        links = (link.partition("#")[0] for link in LINK.findall(prose(page)) if not re.match(r"[a-z]+:", link))
        waiting += [(page.parent / link).resolve() for link in links if link]
    assert [short(page) for page in PAGES if page not in seen] == []


@pytest.mark.parametrize("page", sorted((DOCS / "targets").glob("*.md")), ids=lambda page: page.stem)
def test_the_page_of_a_target_kind_names_each_of_its_settings(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    missing = [one.name for one in settings_of(registry.settings_type(page.stem)) if f"`{one.name}`" not in text]
    assert missing == []
