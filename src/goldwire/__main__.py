"""Lets `python -m goldwire` stand in for the `goldwire` command."""

from goldwire.app.cli import main

if __name__ == "__main__":
    main()
