"""Lets `python -m goldwire` stand in for the `goldwire` command."""

from goldwire.cli.main import main

if __name__ == "__main__":
    main()
