"""Where a subscriber keeps its guard, its dead letters and its checkpoints: in the database that it writes to."""
