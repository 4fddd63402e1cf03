"""A deterministic simulation of the whole path, with crashes and faults drawn from a seed."""

from goldwire_lab.simulation.run import Failure, SimulationResult, run_seeds

__all__ = ["Failure", "SimulationResult", "run_seeds"]
