"""Reads the log, keeps order per entity, sends, settles, retries, dead-letters and balances the ledger."""
