"""The control server's life beside the node: from before it connects until its orders are settled."""

from __future__ import annotations

import logging
import os
import socket
import time

from runner.config.models import ControlConfig
from runner.node.exit_codes import ExitCode, NodeError
from runner.node.lock import lock_folder
from runner.node.node import BaseHook, Node
from runner.node.remote.commands import Commands
from runner.node.remote.place import Place, listen
from runner.node.remote.server import Server
from runner.node.remote.status import status

log = logging.getLogger("runner.node")
_SHORTEST_TOKEN = 16


class RemoteHook(BaseHook):
    """Serves the control socket, and `control.listen` where the file asks for it. `environment` is how it runs."""

    def __init__(self, config: ControlConfig, environment: str) -> None:
        self._config = config
        self._environment = environment
        self._servers: list[Server] = []
        self.place: Place | None = None
        self.port = 0
        """Of `control.listen`; 0 where that is not served."""

    def built(self, node: Node) -> None:
        """Raises NodeError (configuration) where it can't listen: a node that can't be halted must not trade."""
        commands, started_ns = Commands(node), time.time_ns()

        def tell() -> dict[str, object]:
            return status(node, self._environment, started_ns)

        place = Place(node.plan.config.name, self._environment, os.getpid(), lock_folder())
        self._servers.append(Server(listen(place), commands, tell))
        self.place = place
        listener = self._listener()
        if listener is not None:
            assert self._config.token is not None
            self.port = int(listener.getsockname()[1])
            self._servers.append(Server(listener, commands, tell, token=self._config.token.value))
            log.info("control at http://%s:%d, with the token", self._config.host, self.port)
        for server in self._servers:
            server.start()

    def _listener(self) -> socket.socket | None:
        config = self._config
        if config.host is None or config.port is None or config.token is None:
            return None
        if not config.token.loaded:  # a simulated run, which needs no secrets
            log.warning("control.listen is not served: its token was not given (%s)", config.token.place)
            return None
        if len(config.token.value.get_secret_value()) < _SHORTEST_TOKEN:
            raise NodeError(
                ExitCode.CONFIG,
                f"control.token is shorter than {_SHORTEST_TOKEN} characters, and could be guessed",
                "make one with `openssl rand -hex 32`",
            )
        try:
            family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
            listener = socket.create_server((config.host, config.port), family=family, backlog=16)
        except OSError as error:
            raise NodeError(
                ExitCode.CONFIG,
                f"control.listen: can't listen on {config.listen} ({error.strerror or error})",
                "choose another port, or stop what uses this one",
            ) from error
        listener.setblocking(False)
        return listener

    async def stopped(self, node: Node) -> None:
        for server in self._servers:
            await server.stop()
        self.close()

    def close(self) -> None:
        """Remove the socket's name."""
        if self.place is not None:
            self.place.path.unlink(missing_ok=True)
            self.place = None
