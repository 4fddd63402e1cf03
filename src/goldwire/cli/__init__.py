"""The command line: Typer commands, tables, exit codes and signals; nothing else knows a terminal."""
