"""The published suites, the fakes and the simulation."""
