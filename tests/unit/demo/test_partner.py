"""The demo's receiver gets the signing secret by a file: everybody on the machine may read a command line."""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from goldwire.demo.folder import DemoFolder
from goldwire.demo.partner import receiver


@pytest.mark.skipif(sys.platform != "linux", reason="reads command lines as Linux shows them")
def test_no_command_line_shows_the_signing_secret_and_what_is_not_signed_is_refused(tmp_path: Path) -> None:
    folder = DemoFolder(tmp_path / "demo")
    folder.make()
    secret = folder.signing_key.read_text().strip()
    assert secret.startswith("whsec_")
    with receiver(folder) as url:
        shown = []
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):  # it ended meanwhile
                shown.append(file.read_text(errors="replace"))
        assert any("goldwire.testing.webhook_receiver" in line for line in shown)
        assert not any(secret in line for line in shown)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(url, data=b"{}", timeout=60)
        assert refused.value.code == 401
        refused.value.close()
