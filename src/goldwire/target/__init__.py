"""One file per target kind; each passes `goldwire.testing.TargetSuite`."""
