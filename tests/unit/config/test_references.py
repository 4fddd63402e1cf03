"""References to environment and files."""

from __future__ import annotations

from pathlib import Path

import pytest

from goldwire.config.references import References
from goldwire.errors import ConfigError


def references(folder: Path, **environment: str) -> References:
    return References(environment, folder)


def test_a_reference_is_replaced_inside_text_lists_and_mappings(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("s3cret\n")
    found = references(tmp_path, HOST="h").resolve({"url": "db://u:${file:pw}@${env:HOST}/x", "list": ["${env:HOST}", 3]}, "w")
    assert found == {"url": "db://u:s3cret@h/x", "list": ["h", 3]}


def test_a_doubled_dollar_is_a_literal_and_what_a_variable_holds_is_not_looked_into(tmp_path: Path) -> None:
    assert references(tmp_path, A="${env:B}").resolve("$${env:A} ${env:A}", "w") == "${env:A} ${env:B}"


@pytest.mark.parametrize("text", ["${X}", "${env:}", "${}", "${vault:x}"])
def test_an_unknown_form_is_refused_with_the_two_that_exist(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"\$\{env:NAME\} or \$\{file:PATH\}"):
        references(tmp_path, X="1").resolve(text, "w")


def test_a_missing_variable_names_itself_and_its_location(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"goldwire.yaml:7:3: targets.crm.settings.url: .*variable TOKEN is not set"):
        references(tmp_path).resolve({"url": "${env:TOKEN}"}, "goldwire.yaml:7:3: targets.crm.settings")


def test_a_missing_or_binary_file_names_itself(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"cannot read the file .*nothing: No such file"):
        references(tmp_path).resolve("${file:nothing}", "w")
    with pytest.raises(ConfigError, match=r"binary is not UTF-8"):
        references(tmp_path).resolve("${file:binary}", "w")
