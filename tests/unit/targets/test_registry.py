from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Annotated

import pytest

from goldwire.clock import SystemClock
from goldwire.config.settings_documentation import settings_of
from goldwire.errors import ConfigError
from goldwire.targets.clients.extras import require
from goldwire.targets.memory.target import MemorySettings, MemoryTarget
from goldwire.targets.registry import build, kinds, parse_settings, settings_type, target_kind
from goldwire.targets.settings import Settings, about, defaults_of, origin_of, paths_of, redacted, secrets_of
from goldwire.targets.sql import ExternalIdKey, SqlSettings
from goldwire.targets.webhook.target import WebhookSettings


def test_the_folder_s_kinds_are_found() -> None:
    assert {"file", "memory", "sql", "webhook"} <= set(kinds())


def test_a_kind_is_built_from_plain_settings() -> None:
    target = build("memory", "trial", {"history": 5}, SystemClock())
    assert isinstance(target, MemoryTarget)
    assert (target.name, target.settings) == ("trial", MemorySettings(history=5))


def test_nested_settings_are_converted() -> None:
    given = {"url": "sqlite:///x", "table": "t", "columns": {"a": "b"}, "key": {"external_id": "crm"}}
    settings = parse_settings("sql", "warehouse", given)
    assert isinstance(settings, SqlSettings)
    assert settings.key == ExternalIdKey("crm")


@pytest.mark.parametrize(
    ("kind", "settings", "words"),
    [
        ("webhok", {}, r"no target kind 'webhok'; did you mean 'webhook'\?"),
        ("quantum", {}, "known are .*file.*memory"),
        ("base", {}, "no target kind 'base'"),
        ("../etc", {}, "no target kind"),
        ("file", {}, "target 't': .*`path`"),
        ("file", {"path": 5}, r"target 't': Expected `str`, got `int` - at `path`"),
        ("file", {"path": "x", "fsnyc": True}, "target 't': kind 'file' has no setting 'fsnyc'; did you mean 'fsync'"),
        ("file", {"path": "x", "rotate_bytes": 0}, "target 't': rotate_bytes must be at least 1"),
    ],
)
def test_what_is_wrong_is_named_with_its_nearest(kind: str, settings: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        build(kind, "t", settings, SystemClock())


def test_a_package_that_is_missing_is_named_with_its_command() -> None:
    with pytest.raises(ConfigError, match=r"target 't' needs the package no_such_package.*pip install 'confluent-kafka>="):
        require("no_such_package.part", extra="kafka", used_by="target 't'")


def test_two_classes_cannot_share_a_kind() -> None:
    class Second(MemoryTarget):
        pass

    with pytest.raises(ConfigError, match="'memory' is claimed by"):
        target_kind("memory", settings=MemorySettings)(Second)


def test_a_kind_of_an_installed_package_is_found_and_a_broken_one_is_named(tmp_path: Path) -> None:
    package = tmp_path / "fax.py"
    package.write_text(
        textwrap.dedent("""
        from goldwire.targets.memory.target import MemorySettings, MemoryTarget
        from goldwire.targets.registry import target_kind

        @target_kind("fax", settings=MemorySettings)
        class FaxTarget(MemoryTarget):
            pass
        """)
    )
    info = tmp_path / "fax-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fax\nVersion: 1.0\n")
    (tmp_path / "telex.py").write_text("from goldwire.targets.registry import target_kind\ntarget_kind('telex')\n")
    points = "fax = fax\nbroken = no_such_module\nabsent = fax:Nothing\nold = telex\nsilent = textwrap\n"
    (info / "entry_points.txt").write_text(f"[goldwire.targets]\n{points}")
    code = """
        from goldwire.clock import SystemClock
        from goldwire.errors import ConfigError
        from goldwire.targets.registry import build, kinds
        assert {"fax", "broken"} <= set(kinds())
        print(type(build("fax", "f", {}, SystemClock())).__name__)
        for kind in ("broken", "absent", "old", "silent"):
            try:
                build(kind, "b", {}, SystemClock())
            except ConfigError as error:
                print(error)
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        check=True,
    )
    first, broken, absent, old, silent = run.stdout.splitlines()
    assert first == "FaxTarget"
    for kind, told in (("broken", broken), ("absent", absent), ("old", old)):
        assert told.startswith(f"target kind '{kind}' of the package fax cannot be imported: ")
    assert silent == "the package fax announces target kind 'silent' but does not register it"


def test_using_one_kind_loads_no_other_kind_s_libraries() -> None:
    code = """
        import sys
        from goldwire.clock import SystemClock
        from goldwire.targets.registry import build, kinds
        kinds()
        build("file", "f", {"path": "x"}, SystemClock())
        build("sql", "s", {"url": "postgresql://h/d", "table": "t", "columns": {}}, SystemClock())
        build("webhook", "w", {"url": "https://example.com"}, SystemClock())
        print([name for name in ("sqlalchemy", "psycopg", "pymysql", "pyreqwest") if name in sys.modules])
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


class Sample(Settings, frozen=True):
    open: Annotated[str, about("Seen.")] = "seen"
    token: Annotated[str | None, about("Not seen.", secret=True)] = None
    inner: Annotated[str, about("Not seen either.", secret=True)] | None = None
    address: Annotated[str, about("Its host only.", url=True)] = ""
    headers: Annotated[dict[str, str], about("Names only.", secret=True)] = {}  # noqa: RUF012 - msgspec copies it


def test_repr_shows_no_secret_wherever_it_stands() -> None:
    sample = Sample(
        token="geheim", inner="geheim", address="https://u:geheim@h.example:8443/geheim?x=geheim", headers={"k": "geheim"}
    )
    assert "geheim" not in repr(sample)
    assert "geheim" not in f"{[sample]}"
    assert redacted(sample) == {
        "open": "seen",
        "token": "***",
        "inner": "***",
        "address": "https://h.example:8443/***",
        "headers": {"k": "***"},
    }


def test_an_unset_secret_shows_that_it_is_unset() -> None:
    assert redacted(Sample())["token"] is None


@pytest.mark.parametrize("url", ["geheim", "http://[geheim", "http://h:geheim/", ""])
def test_a_malformed_url_shows_nothing(url: str) -> None:
    assert "geheim" not in origin_of(url)


def test_every_setting_of_every_kind_is_described() -> None:
    for kind in ("file", "memory", "sql", "webhook"):
        for setting in settings_of(settings_type(kind)):
            assert setting.description.endswith((".", ".)")), (kind, setting.name)


def test_every_setting_that_is_a_path_says_so() -> None:
    named = {kind: {name for name in defaults_of(settings_type(kind)) if name.endswith(("path", "file"))} for kind in kinds()}
    assert {kind: paths_of(settings_type(kind)) for kind in kinds()} == named
    assert named["kafka"] == {"ca_file", "certificate_file", "key_file"}


def test_what_could_hold_a_secret_is_marked() -> None:
    assert secrets_of(WebhookSettings) == {"url", "signing_secrets", "bearer_token", "headers", "key_password"}
    assert secrets_of(SqlSettings) == {"url"}
