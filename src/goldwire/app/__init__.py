"""The doors: command line and wiring; imported by nobody."""
