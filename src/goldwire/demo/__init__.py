"""The demonstration: real customers through the whole path, with a crash in the middle and the proof at the end."""

from goldwire.demo.story import run_demo

__all__ = ["run_demo"]
