"""The folder that the demo works in: made anew each time, with the example's configuration and data, and fresh secrets."""

from __future__ import annotations

import base64
import re
import secrets
import shutil
from pathlib import Path

from goldwire.errors import InputError

_SHIPPED = Path(__file__).parent / "data"
"""Where the wheel has the example."""
_REPOSITORY = Path(__file__).parents[3] / "examples" / "customers"

_MARK = ".goldwire-demo"
"""A folder with this file was made by the demo, and may be removed by it."""

_KEY_BYTES = 32

_BACKPLANE = re.compile(r"^  backplane:.*\n(?:    .*\n)+", re.MULTILINE)
"""The target of that name in the example's configuration."""


class DemoFolder:
    """Where everything of one run lies.

    Args:
        root: the folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = root / "goldwire.yaml"
        self.out = root / "out"
        self.eventlog = self.out / "eventlog.jsonl"
        self.warehouse = self.out / "warehouse.db"
        self.arrivals = self.out / "partner-arrivals.jsonl"
        """What the receiver logs: each event as it came, repeats included, and whether it was news."""
        self.partner = self.out / "partner.jsonl"
        """The same, only the events."""
        self.rejects = self.out / "rejects.jsonl"
        self.child_log = self.out / "relay.log"
        self.signing_key = root / "webhook.key"
        self.backplane_connection = root / "backplane.connection"
        self.hub_config = root / "Config.json"
        self.emulator_data = self.out / "emulator"
        self.emulator_log = self.out / "emulator.log"
        self.subscriber = root / "subscriber.py"
        self.mirror = self.out / "mirror.db"
        """The subscriber's own database."""
        self.subscriber_log = self.out / "subscriber.log"
        self.moves = root / "second-wave" / "moves.csv"
        self.decisions = root / "second-wave" / "decisions.jsonl"

    def make(self) -> None:
        """Empty it and put the example and fresh secrets into it.

        Raises:
            InputError: it holds something that the demo did not put there.
        """
        if self.root.exists():
            if not self.root.is_dir() or (any(self.root.iterdir()) and not (self.root / _MARK).exists()):
                raise InputError(f"{self.root} is not the demo's; name a folder that is empty or not there")
            shutil.rmtree(self.root)
        shutil.copytree(_example(), self.root)
        (self.root / _MARK).touch()
        self.out.mkdir()
        self._secret("hash.key", secrets.token_hex(_KEY_BYTES))
        self._secret("tokenise.key", secrets.token_hex(_KEY_BYTES))
        self._secret(self.signing_key.name, "whsec_" + base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode())

    def point_partner_at(self, url: str) -> None:
        """Set the address that the partner's events are posted to; it counts from the next relay on."""
        (self.root / "receiver.url").write_text(url + "\n", encoding="utf-8")

    def point_backplane_at(self, connection_string: str) -> None:
        """Set where the backplane is."""
        self._secret(self.backplane_connection.name, connection_string)

    def leave_out_backplane(self) -> None:
        """Take the target out of the configuration, where what it needs is not installed."""
        shortened, count = _BACKPLANE.subn("", self.config.read_text(encoding="utf-8"))
        assert count == 1, "the example has the target once"
        self.config.write_text(shortened, encoding="utf-8")

    def _secret(self, name: str, text: str) -> None:
        path = self.root / name
        path.touch(mode=0o600)
        path.write_text(text + "\n", encoding="utf-8")


def _example() -> Path:
    for folder in (_SHIPPED, _REPOSITORY):
        if (folder / "goldwire.yaml").is_file():
            return folder
    raise InputError(f"the example is in neither {_SHIPPED} nor {_REPOSITORY}; install goldwire again")
