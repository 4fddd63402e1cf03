"""What a broker lost is shown until it was asked for again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from goldwire.config.reader import load_document
from goldwire.services.application import Application
from goldwire.services.status import TargetStatus, status

DOCUMENT: dict[str, Any] = {
    "types": {"Customer": {"attributes": {"name": {}}}},
    "contracts": {"whole": {"golden": False}},
    "targets": {"hub": {"kind": "file", "contract": "whole", "settings": {"path": "hub.jsonl"}}},
}


def test_a_loss_is_shown_until_a_resync_of_everything_was_asked_for(tmp_path: Path) -> None:
    with Application(load_document(DOCUMENT, tmp_path)) as application:
        application.apply_service().run(check=False)

        def shown() -> TargetStatus:
            [found] = status(application.loaded, application.store).targets
            return found

        assert shown().loss is None
        row = {"system": "crm", "externalId": "1", "entityType": "Customer", "attributes": {"name": "Ada"}}
        application.ingest_service().rows([row])
        cursor = application.store.acquire("hub", "beginning")
        application.store.note_loss("hub", cursor.epoch, "a disk is gone", application.clock.now())
        assert (shown().loss, shown().loss_since is not None) == ("a disk is gone", True)
        service = application.resync_service("hub")
        stale = service.ask("stale")
        application.store.cancel_resync(stale.id, application.clock.now())
        service.ask("all", service.entities(["crm/1"]))
        assert shown().loss == "a disk is gone"
        service.ask("all")
        assert (shown().loss, shown().loss_since) == (None, None)
        application.store.note_loss("hub", cursor.epoch, "another one", application.clock.now())
        assert shown().loss == "another one"
