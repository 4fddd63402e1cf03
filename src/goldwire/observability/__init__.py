"""What operators see of a running Goldwire: log lines and metrics."""
