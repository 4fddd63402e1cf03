"""What measures Goldwire and tries to break it: the benchmark, the simulation and the planted bugs."""
