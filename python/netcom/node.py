"""A node: one running endpoint."""

from __future__ import annotations

import asyncio
import enum
import logging
import os
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeVar, Union

from . import _native
from ._native import Multiaddr, NetID, PeerId, Request
from .connection import Connection
from .opening import Closable, Opening
from .streams import Data

_log = logging.getLogger("netcom")

Handler = Callable[[Request], Awaitable[Data]]
H = TypeVar("H", bound=Handler)


class NodeRole(enum.Enum):
    """What a node is there for."""

    PEER = "peer"
    """Listens and is found."""
    SERVER = "server"
    """Is preferred where its entity has several nodes."""
    CLIENT = "client"
    """Publishes nothing and accepts nothing."""


class HandlerError(Exception):
    """Raise it in a handler to tell the caller what went wrong, and go on."""

    def __init__(self, code: str, message: str, **context: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.context = context


class Node(Closable):
    """One running endpoint, named by a PeerId; it may speak for an entity, named by a NetID."""

    __slots__ = ("__weakref__", "_is_closed", "_native", "_pid")

    def __init__(self, native: Any) -> None:
        self._native = native
        self._is_closed = False
        self._pid = os.getpid()

    @staticmethod
    def create(
        *,
        netid: NetID | None = None,
        role: NodeRole = NodeRole.PEER,
        local: bool = False,
        cloud: bool = False,
        config: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> Opening[Node]:
        """Makes a node that listens and can be found.

        ``netid`` is the entity it speaks for; ``local`` publishes addresses of this host and its
        networks only, ``cloud`` global ones only. ``config``, or further keywords: ``identity``
        (the node's own key), ``data_dir``, ``discovery`` (``"off"``, ``"host"``, ``"lan"``),
        ``registry`` (where nodes of this host find each other), ``listen`` (addresses),
        ``metadata``, ``names`` (domains with the NetIDs they have, asked of nobody),
        ``directories`` (who answers the names under which suffix: ``{"netcom": (url, key)}``, and
        the path of a certificate authority behind them, if the directory has one of its own).
        ``NETCOM_DISCOVERY`` and ``NETCOM_REGISTRY_DIR`` stand in for what is left
        out.
        """
        all_settings = {**(config or {}), **settings}
        if taken := all_settings.keys() & {"netid", "role", "local", "cloud"}:
            raise TypeError(f"give {', '.join(sorted(taken))} as an argument, not in config")
        all_settings |= {"role": NodeRole(role).value, "local": local, "cloud": cloud}
        if directory := os.environ.get("NETCOM_REGISTRY_DIR"):
            all_settings.setdefault("registry", directory)
        if netid is not None:
            all_settings["netid"] = netid
        return Opening(_native.Node.create(all_settings), Node)

    def connect(
        self,
        whom: Union[NetID, PeerId, str],
        *,
        service: str | None = None,
        where: Mapping[str, str] | None = None,
        timeout: float | None = None,
        failover: bool = False,
    ) -> Opening[Connection]:
        """Connects to whom is named: a NetID, a PeerId, or a text that is one of these, a petname,
        a name in a directory, a domain, a ticket or an address.

        ``service`` and ``where`` (metadata) choose among an entity's nodes; ``timeout`` is in
        seconds; with ``failover`` requests, which may then be made twice, move to another node of
        the entity by themselves.
        """
        needs = dict(where) if where is not None else None
        return Opening(self._native.connect(whom, service, needs, timeout, failover), Connection)

    def connect_to_netid(
        self,
        netid: Union[NetID, str],
        *,
        service: str | None = None,
        where: Mapping[str, str] | None = None,
        timeout: float | None = None,
        failover: bool = False,
    ) -> Opening[Connection]:
        """Connects to a node that proves to speak for the entity."""
        return self.connect(
            netid, service=service, where=where, timeout=timeout, failover=failover
        )

    def connect_to_peer(
        self, peer_id: Union[PeerId, str], *, timeout: float | None = None
    ) -> Opening[Connection]:
        """Connects to one node."""
        return self.connect(peer_id, timeout=timeout)

    def discover_peer_id(self, peer_id: Union[PeerId, str]) -> Awaitable[list[Multiaddr]]:
        """Where a node is, without connecting to it."""
        return self._native.discover_peer_id(peer_id)

    def discover_netid(self, netid: Union[NetID, str]) -> Awaitable[dict[PeerId, dict[str, Any]]]:
        """The nodes that prove to speak for an entity, each with ``"addresses"``, ``"metadata"``,
        ``"services"`` and ``"role"``."""
        return self._native.discover_netid(netid)

    def on_request(self, handler: H) -> H:
        """Answers requests by an async function, on the running loop; works as a decorator.

        What it raises is told to the caller, and harms nobody else.
        """

        def start(loop: asyncio.AbstractEventLoop, request: Request, reply: Any) -> None:
            task = loop.create_task(_answer(handler, request, reply))
            _tasks.add(task)
            task.add_done_callback(_tasks.discard)

        self._native.on_request(start)
        return handler

    async def incoming(self) -> AsyncIterator[Connection]:
        """The connections that peers open."""
        connections = self._native.incoming()
        while (native := await connections.next()) is not None:
            yield Connection(native)

    @property
    def peer_id(self) -> PeerId:
        """The node's own name."""
        return self._native.peer_id()

    @property
    def netid(self) -> NetID | None:
        """The entity it speaks for."""
        return self._native.netid()

    @property
    def role(self) -> NodeRole:
        """What it is there for."""
        return NodeRole(self._native.role())

    @property
    def addresses(self) -> list[Multiaddr]:
        """Where it is reached."""
        return self._native.addresses()

    @property
    def ticket(self) -> str:
        """A text by which others find it without looking."""
        return self._native.ticket()

    def drain(self, within: float = 30.0) -> Awaitable[None]:
        """Takes nothing new and waits for what is under way, for so many seconds."""
        return self._native.drain(within)

    async def close(self) -> None:
        """Closes all connections and stops listening."""
        self._is_closed = True
        await self._native.close()

    async def _leave(self, error: BaseException | None) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<netcom.Node {self.peer_id}>"

    def __del__(self) -> None:
        if not self._is_closed and self._pid == os.getpid():
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)


NetworkNode = Node
"""The name of document 000 for a node."""

_tasks: set[asyncio.Task[None]] = set()
"""Handlers that run; a loop holds its tasks weakly."""


async def _answer(handler: Handler, request: Request, reply: Any) -> None:
    try:
        reply.send(await handler(request))
    except HandlerError as error:
        reply.fail(error.code, error.message, error.context)
    except Exception as error:
        _log.exception("A request handler failed")
        reply.fail("failed", f"{type(error).__name__}: {error}", {})
