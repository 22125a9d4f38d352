"""Names the hosts that code connects to, from the audit events of sockets."""

from __future__ import annotations

import os
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket

_LOCAL = ("127.", "::1", "0.0.0.0", "::ffff:127.", "localhost")
# Sockets that `multiprocessing` binds to reach its own processes.
_OWN_SOCKETS = ("/pymp-", "\0listener-")


class Connections:
    """Remembers which addresses this process has bound, and the names that were looked up."""

    def __init__(self) -> None:
        self._bound: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._names: dict[str, str] = {}  # of hosts, by port

    def host(self, event: str, args: tuple[Any, ...]) -> str:
        """Return the host that an audit event connects to, "" if it connects to none or to this run itself."""
        if event == "socket.bind":
            self._bound.add(args[0])
        elif event == "socket.getaddrinfo":
            if args[0]:
                self._names[str(args[1])] = os.fsdecode(args[0])
        elif args[1] is not None:
            return self._peer(*args[:2])
        return ""

    def _peer(self, connecting: socket.socket, address: Any) -> str:
        import socket  # here: only code that uses it pays for its import

        if connecting.family == socket.AF_UNIX:
            path = os.fsdecode(address)
            return "" if any(own in path for own in _OWN_SOCKETS) or path in self._own() else path
        if connecting.family not in (socket.AF_INET, socket.AF_INET6):
            return ""  # such as netlink, which reaches the kernel
        host, port = str(address[0]), address[1]
        is_local = host in ("", "::") or host.startswith(_LOCAL)
        if is_local and port in self._own():
            return ""
        name = self._names.get(str(port), host)
        return f"{name}:{port}" if is_local or name == host else name

    def _own(self) -> list[Any]:
        """Return the addresses that this process has bound: ports, and paths of UNIX sockets."""
        found: list[Any] = []
        for bound in list(self._bound):
            with suppress(OSError):  # it is closed
                name = bound.getsockname()
                found.append(os.fsdecode(name) if isinstance(name, str | bytes) else name[1])
        return found
