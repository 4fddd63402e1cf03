"""What an error says to install can be installed: the packages themselves, each by a requirement that pip understands."""

from __future__ import annotations

import shlex
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from goldwire.extras import install_command

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.mark.parametrize("extra", sorted(set(PROJECT["optional-dependencies"]) - {"dev"}))
def test_the_command_names_what_the_extra_brings(extra: str) -> None:
    words = shlex.split(install_command(extra))
    assert words[:2] == ["pip", "install"]
    found = {(need.name, str(need.specifier), frozenset(need.extras)) for need in map(Requirement, words[2:])}
    wanted = map(Requirement, PROJECT["optional-dependencies"][extra])
    assert found == {(need.name, str(need.specifier), frozenset(need.extras)) for need in wanted}


def test_an_extra_that_does_not_exist_is_a_mistake_of_ours() -> None:
    with pytest.raises(AssertionError, match="no extra nonsense"):
        install_command("nonsense")
