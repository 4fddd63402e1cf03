"""`StoreSuite`: the tests that a store must pass on every engine before anything may stand on it.

Subject an engine to it with one class in a test file:

    class TestMyStore(StoreSuite):
        def make_store(self, path, checkpoint=None):
            return MyStore(path, checkpoint=checkpoint)

        def tamper(self, path, statement):
            run_sql(path, statement)
"""

from __future__ import annotations

from goldwire.testing.store_suite_consents import ConsentSuite
from goldwire.testing.store_suite_damage import DamageSuite
from goldwire.testing.store_suite_ingest import IngestSuite
from goldwire.testing.store_suite_lanes import LaneSuite
from goldwire.testing.store_suite_ledger import LedgerSuite
from goldwire.testing.store_suite_log import LogSuite
from goldwire.testing.store_suite_replay import ReplaySuite
from goldwire.testing.store_suite_resync import ResyncSuite
from goldwire.testing.store_suite_settle import SettleSuite


class StoreSuite(
    IngestSuite, LogSuite, SettleSuite, LaneSuite, LedgerSuite, ReplaySuite, ResyncSuite, ConsentSuite, DamageSuite
):
    """Everything that the rooms above and beside the changelog rely on."""
