"""Facts come in: read from files or from Python, mapped, and normalised to the plain domain of canonical JSON."""

from goldwire.capture.plain import decision_from, fact_from

__all__ = ["decision_from", "fact_from"]
