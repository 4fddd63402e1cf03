"""Goldwire delivers golden-record changes to the systems that run a business, and proves what each one holds."""

__version__ = "0.1.0"
