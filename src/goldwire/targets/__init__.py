"""One package for each target kind; each passes `goldwire.testing.TargetSuite`."""
