"""Decides which target may deliver where: the rule of ADR 34, its record in the store, and the guard that the relay asks."""
