"""The command `goldwire-emulator`, and `python -m goldwire_emulator`: the same as `goldwire emulator`, without Goldwire."""

from __future__ import annotations

import errno
import os
import sys

from goldwire_emulator.commands import PROGRAM, command_line
from goldwire_emulator.errors import EmulatorError
from goldwire_emulator.output import complain

_NO_ROOM = 5
"""The exit code of Goldwire's commands for it."""


def main() -> None:
    """Run the command line; what goes wrong ends in one clear line and an exit code, not in a traceback."""
    try:
        try:
            command_line()(prog_name=PROGRAM)
        finally:
            # Here, and not when Python ends, which would answer a device without room with an exit code of its own.
            sys.stdout.flush()
    except OSError as error:
        _give_up_output()
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        if error.errno != errno.EPIPE:
            complain(PROGRAM, f"{error.filename or 'standard output, or a file'}: {error.strerror or type(error).__name__}")
        sys.exit(_NO_ROOM if full else EmulatorError.exit_code)


def _give_up_output() -> None:
    """Let what is still buffered go nowhere; Python would try once more to write it as it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


if __name__ == "__main__":
    main()
