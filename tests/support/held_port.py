"""A loopback port that stays ours while nothing listens on it, so that a server can come back to it."""

from __future__ import annotations

import socket
import sys


class HeldPort:
    """Keeps other processes from the port; a server with SO_REUSEADDR, as asyncio's are, may listen on it.

    Only Linux lets two sockets share a port so; elsewhere the port is merely one that was free.
    """

    def __init__(self) -> None:
        self._holder = socket.socket()
        self._holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._holder.bind(("127.0.0.1", 0))
        self.number: int = self._holder.getsockname()[1]
        if sys.platform != "linux":
            self.release()

    def release(self) -> None:
        """Let others have it."""
        self._holder.close()
