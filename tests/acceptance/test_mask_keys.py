"""A mask's key changes: no masked value changes without anybody having asked for it, and what is sent again is the same."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest

from goldwire.changelog.sqlite.store import SqliteStore

OLD, NEW = "old-key-" * 4, "new-key-" * 4
HEADER = "id,full_name,e_mail,phone,city,segment,updated_at\n"


def hashed(key: str, value: str) -> str:
    return "hmac-sha256:" + hmac.new(key.encode(), b'"%b"' % value.encode(), hashlib.sha256).hexdigest()


def sent(shell: Any, attribute: str) -> set[str]:
    events = shell.events("out/partners.jsonl")
    return {one["changes"]["attributes"][attribute]["value"] for one in events if attribute in one["changes"]["attributes"]}


def use(shell: Any, key: str) -> None:
    shell.environment["GOLDWIRE_HASH_KEY"] = key


@pytest.fixture
def masked(shell: Any) -> Any:
    """Four customers wait for `partners`, which receives hashes of their segments."""
    use(shell, OLD)
    shell.lay_out()
    shell.edit("# keys:\n#   hash: ${env:GOLDWIRE_HASH_KEY}", "keys:\n  hash: ${env:GOLDWIRE_HASH_KEY}")
    shell.edit("masks: { name: redact, email: partial }", "masks: { name: redact, email: partial, segment: hash }")
    shell.run("apply")
    return shell


def crash(shell: Any, upto: int) -> None:
    """Leave the store as a relay does that is killed after it declared what it may send."""
    store = SqliteStore(shell.folder / ".goldwire/store.db")
    store.declare("partners", store.acquire("partners", "snapshot").epoch, upto, "latest")
    store.close()


def test_a_changed_key_is_refused_until_it_is_restored_or_applied(masked: Any) -> None:
    masked.run("ingest", "crm", "data/crm.csv")
    use(masked, NEW)
    told = masked.fails("run", "--until-caught-up", code=2)
    for part in ("keys.hash", "target partners", "${env:GOLDWIRE_HASH_KEY}", "Restore the key", "`goldwire apply`"):
        assert part in told
    assert OLD not in told
    assert NEW not in told
    assert not (masked.folder / "out").exists(), "nothing was sent to anybody"

    use(masked, OLD)
    masked.run("run", "--until-caught-up")
    assert sent(masked, "segment") == {hashed(OLD, "gold"), hashed(OLD, "silver")}

    use(masked, NEW)
    for words in ((), ("--dry-run",)):
        assert "Restore the key" in masked.fails("replay", "partners", *words, code=2)
    applied = {one["target"]: one["change"] for one in masked.json("apply")["targets"]}
    assert applied == {"events": "unchanged", "partners": "changed"}
    masked.write("data/more.csv", HEADER + "C-9,Mae,mae@x.example,,,gold,2026-02-01T00:00:00Z\n")
    masked.run("ingest", "crm", "data/more.csv")
    masked.run("run", "--until-caught-up")
    assert sent(masked, "segment") == {hashed(key, value) for key in (OLD, NEW) for value in ("gold", "silver")}
    assert masked.json("verify", "out/partners.jsonl")["whole"]
    plan = masked.json("replay", "partners", "--dry-run")["plan"]
    assert (plan["newest_only"], plan["withheld"], plan["unconfirmed"]) == (3, 0, 0), "the former key cannot make values again"


def test_what_may_have_been_sent_is_never_sealed_with_another_key(masked: Any) -> None:
    masked.run("ingest", "crm", "data/crm.csv")
    crash(masked, 4)
    use(masked, NEW)
    assert "the revision before still holds" in masked.run("apply").stderr
    told = masked.fails("run", "--until-caught-up", "-t", "partners", code=2)
    for part in ("revision 1", "target partners", "${env:GOLDWIRE_HASH_KEY}", "exactly so: restore the key"):
        assert part in told
    out = masked.folder / "out/partners.jsonl"
    assert not out.exists() or out.read_text() == ""

    use(masked, OLD)
    masked.run("apply")
    masked.run("run", "--until-caught-up", "-t", "partners")
    assert sent(masked, "segment") == {hashed(OLD, "gold"), hashed(OLD, "silver")}
    use(masked, NEW)
    masked.run("apply")
    masked.run("run", "--until-caught-up", "-t", "partners")
    assert masked.json("verify", "out/partners.jsonl")["whole"]


def test_the_former_key_is_missed_only_where_it_is_needed(masked: Any) -> None:
    masked.write("data/plain.csv", HEADER + "C-8,Joan,joan@x.example,,,,2026-01-01T00:00:00Z\n")
    masked.write("data/more.csv", HEADER + "C-9,Mae,mae@x.example,,,gold,2026-02-01T00:00:00Z\n")
    masked.run("ingest", "crm", "data/plain.csv")
    crash(masked, 1)
    use(masked, NEW)
    masked.run("apply")
    masked.run("ingest", "crm", "data/more.csv")
    masked.run("run", "--until-caught-up", "-t", "partners")
    assert sent(masked, "segment") == {hashed(NEW, "gold")}
    assert len(masked.events("out/partners.jsonl")) == 2
