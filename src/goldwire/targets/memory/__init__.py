"""Target kind `memory`: holds the newest event of each entity in this process."""
