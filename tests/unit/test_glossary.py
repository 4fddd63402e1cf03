"""The glossary holds every word of the code that a reader must learn, each once.

The words are those of module names, folders and public classes of Goldwire, of the kit for subscribers and of the lab. The
emulator is left out: its words are those of AMQP, Kafka and Azure.

A word that is new must be explained: in docs/glossary.md, or, where it needs no explanation, on `ORDINARY` or `NAMES` below.
"""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from goldwire.targets import registry

ROOT = Path(__file__).parents[2]
GLOSSARY = ROOT / "docs" / "glossary.md"
DISTRIBUTIONS = ("goldwire", "goldwire_consumer", "goldwire_lab")

ORDINARY = {
    "everyday English, in its everyday sense": """
        account address admission again aim altered annotations answer any application applied arrival arrived aside at backup
        bad bare behind busy call carried check checked checks choice closable column command commands commit comparison
        compatibility condition configured conflict connection copies cost counts damage decided deleted demo described detail
        detected difference distinct end ended erasure expected failure faults folder foreign found full gathered group has
        history holder hooks intake interrupted kept killed known library limits link list living loaded location locations long
        lookup losses lost machine made main maker many mapper measurement memory mislabelled missing name names newest no not
        numbers of opening ordinal owner page pages part place plan process program progress quality quiet ran reading received
        receiver recorder recovery refusal refused relays reloaded remodel repeat replaying reply report request reserved
        restored result resume revised rising round rows rules run sample second secret sender sent settings shared shows signer
        simulated size soon spec standing start starter steps stop stopped story summary system tables taken teller terms
        throughput time timeout too torn totals try unavailable unfit unknown unreadable up upgrade use values verified
        verifier view visible wanted warehouse write writer writing written fresh uncaught
    """,
    "programming and Python": """
        aio api arguments async bench binary changes checksums cli client clients clock codes collection conditional
        config corrupt crash cross csv deadlock distributions documentation env error errors evaluation events exit
        endpoint extras fallback file function functions garbage generator hash header headers http id index init input
        integrity invariants json jsonl keys lexer literal lock locks loggers logic logs loop map mutation node nodes options
        output parquet parser partitions patterns problem problems python queries reader ref resolver runtime schema select
        signals simulation sql statements syntax testing thread threads token transaction type typed unary versions virtual
        yaml
    """,
    "brokers and databases": """
        broker bus consumer database hub hubs message namespace stream topic
    """,
    "telemetry": """
        metric metrics observability
    """,
}
"""Words that need no entry, by why. Add a word here only if a reader who has never seen Goldwire takes it as it is meant."""

NAMES = (
    "amqp arrow azure event_hubs goldwire kafka maria db "
    "mariadb postgres postgre postgresql service_bus servicebus spark sql sqlite"
)
"""Products, protocols and vendors. The names of the target kinds come from the registry."""

ENDINGS = ("s", "es", "d", "ed", "r", "er", "n", "ing", "ings")
"""What a word may have beyond the glossary's form, e.g. `replays` and `settled`."""


def split(name: str) -> list[str]:
    """The words of a name: `DeadLetterCap` and `dead_letter_cap` are the same three."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def public_names() -> dict[str, set[str]]:
    """Each word of the code, with the names that it is part of."""
    found = defaultdict[str, set[str]](set)
    for distribution in DISTRIBUTIONS:
        folder = ROOT / "src" / distribution
        for path in folder.rglob("*.py"):
            relative = path.relative_to(folder).with_suffix("")
            if "versions" in relative.parts:  # a migration is named by its number
                continue
            names = [part for part in relative.parts if not part.startswith("__")]
            tree = ast.parse(path.read_text(encoding="utf-8"))
            names += [node.name for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]
            for name in names:
                for word in split(name):
                    found[word].add(name)
    return found


def entries() -> list[tuple[list[str], str]]:
    """The terms of each entry, and its first sentence."""
    text = GLOSSARY.read_text(encoding="utf-8")
    lines = re.findall(r"^(\*\*[^:\n]+):[ ]?(.*)$", text, re.MULTILINE)
    return [(re.findall(r"\*\*([^*]+)\*\*", head), meaning) for head, meaning in lines]


def forms(word: str) -> set[str]:
    """The word, and what it may stand for in the glossary."""
    stems = {word.removesuffix(ending) for ending in ENDINGS}
    stems |= {stem + "e" for stem in stems} | {stem + "y" for stem in stems if word.endswith("ies")}
    stems |= {word.removesuffix("ies") + "y", word.removesuffix("ication") + "y", word.removesuffix("ation") + "e", word + "s"}
    return {word} | {stem for stem in stems if len(stem) > 2}


def explained() -> set[str]:
    return {word for terms, _ in entries() for term in terms for word in re.findall(r"[a-z]+", term.lower())}


def unexplained(names: dict[str, set[str]]) -> dict[str, list[str]]:
    known = explained() | {word for words in ORDINARY.values() for word in words.split()}
    known |= {word for name in [*NAMES.split(), *registry.kinds()] for word in [name, *name.split("_")]}
    return {word: sorted(of) for word, of in sorted(names.items()) if not forms(word) & known}


def test_every_word_of_the_code_is_in_the_glossary_or_needs_no_explanation() -> None:
    missing = [f"{word} ({', '.join(names)})" for word, names in unexplained(public_names()).items()]
    assert missing == [], (
        "explain each of these words in docs/glossary.md, one meaning and one sentence; or rename what holds it; "
        "or add it to ORDINARY in this file, if a reader who has never seen Goldwire takes it as it is meant"
    )


@pytest.mark.parametrize("word", ["relay", "lane", "cursor", "ledger", "guard", "chunk", "supervisor", "witness", "workspace"])
def test_a_word_that_a_reader_must_learn_is_on_no_other_list(word: str) -> None:
    assert word in explained()
    assert word not in {word for words in ORDINARY.values() for word in words.split()}


def test_a_new_word_without_an_explanation_is_found() -> None:
    names = {"flange": {"FlangeSettings"}, "relays": {"Relays"}, "settled": {"Settled"}, "deliveries": {"Deliveries"}}
    assert unexplained(names) == {"flange": ["FlangeSettings"]}


def test_no_term_stands_twice_and_each_has_a_meaning() -> None:
    found = entries()
    counted = Counter(term.lower() for terms, _ in found for term in terms)
    assert [term for term, count in counted.items() if count > 1] == []
    assert [terms for terms, meaning in found if len(meaning.split()) < 4] == []


def test_every_term_is_used() -> None:
    paths = [*(ROOT / "src").rglob("*.py"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")]
    texts = (path.read_text(encoding="utf-8").lower() for path in paths if path != GLOSSARY)
    text = re.sub(r"[\s_-]+", " ", " ".join(texts))
    unused = [term for terms, _ in entries() for term in terms if not re.search(rf"\b{re.escape(plain(term))}", text)]
    assert unused == [], "remove these terms from docs/glossary.md, or name them there as the code and the pages do"


def plain(term: str) -> str:
    return re.sub(r"[\s_-]+", " ", term.lower())
