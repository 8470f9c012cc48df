"""The port of JupyterLab: found free and taken in one step."""

from __future__ import annotations

import errno
from socket import socket

from jupyter_server.serverapp import ServerApp
from tornado.netutil import bind_sockets

# The two steps of Jupyter Server's own. They are not its public ones: where a version has others, it runs as it is.
STEPS = ("_find_http_port", "_bind_http_server_tcp")


class SureOfItsPort(ServerApp):
    """A Jupyter Server that keeps the port which it has found.

    Jupyter Server lets go of a port once it knows that it is free, and listens there later. If two start in the same
    second, both find the same one, and the later one ends with an error.
    """

    taken: list[socket]

    def _find_http_port(self) -> None:
        while True:
            super()._find_http_port()
            try:
                self.taken = bind_sockets(self.port, self.ip)
                return
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise

    def _bind_http_server_tcp(self) -> bool:
        self.http_server.add_sockets(self.taken)
        return True


def server_class() -> type[ServerApp]:
    """The class of JupyterLab's server."""
    return SureOfItsPort if all(hasattr(ServerApp, step) for step in STEPS) else ServerApp
