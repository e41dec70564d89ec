"""A node: one running endpoint."""

from __future__ import annotations

import enum
import os
import warnings
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping
from pathlib import Path
from typing import Any

from . import _native, settings as user
from ._native import Commander, Multiaddr, NetID, PeerId
from .connection import Connection
from .events import NodeEvent
from .opening import Closable, Opening
from .serving import H, RequestService, StreamService, starting, starting_streams


class NodeRole(enum.Enum):
    """What a node is there for.

    >>> async with Node.create(role=NodeRole.CLIENT) as client:
    ...     client.addresses
    []
    """

    PEER = "peer"
    """Listens and is found."""
    SERVER = "server"
    """Is preferred where its entity has several nodes."""
    CLIENT = "client"
    """Publishes nothing and accepts nothing."""


class Node(Closable):
    """One running endpoint, named by a PeerId; it may speak for an entity, named by a NetID.

    >>> cats = NetID.generate()
    >>> async with Node.create(netid=cats, role=NodeRole.SERVER) as server:
    ...     async with node.connect_to_netid(cats) as connection:
    ...         connection.peer_id == server.peer_id
    True
    """

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

        ``netid`` is the entity it speaks for: a key with its secret, or a name or a key for which
        the data directory holds the key or a proof (``netcom id enroll``). ``local`` publishes
        addresses of this host and its networks only, ``cloud`` global ones only. ``config``, or
        further keywords: ``identity`` (the node's own key), ``data_dir``, ``discovery``
        (``"off"``, ``"host"``, ``"lan"``, ``"global"``), ``registry`` (where nodes of this host
        find each other), ``listen`` (addresses), ``links`` (how many links to use where several
        ways lead to a node: ``"auto"``, ``"single"``, ``"standby"``, ``"stripe"`` or
        ``"mirror"``), ``metadata``, ``resume_seconds`` (how long streams outlive a cut of the
        network; 60), ``names`` (names with dots, with the NetIDs they have, asked of nobody),
        ``directories`` (who answers the names under which suffix: ``{"netcom": (url, key)}``, and
        the path of a certificate authority behind them, if the directory has one of its own).
        ``NETCOM_DISCOVERY``, ``NETCOM_REGISTRY_DIR`` and ``[naming]`` in the ``config.toml`` of the
        data directory, or of the user's own, stand in for what is left out.

        >>> async with Node.create(metadata={"room": "kitchen"}) as node:
        ...     node.role
        <NodeRole.PEER: 'peer'>
        """
        all_settings = {**(config or {}), **settings}
        if taken := all_settings.keys() & {"netid", "role", "local", "cloud"}:
            raise TypeError(f"give {', '.join(sorted(taken))} as an argument, not in config")
        role_name = role.value if isinstance(role, NodeRole) else role
        all_settings |= {"role": role_name, "local": local, "cloud": cloud}
        if directory := os.environ.get("NETCOM_REGISTRY_DIR"):
            all_settings.setdefault("registry", directory)
        named = all_settings.get("data_dir")
        names, directories = user.naming(Path(named) if named else user.data_dir())
        all_settings = {"names": names, "directories": directories} | all_settings
        if netid is not None:
            all_settings["netid"] = netid
        return Opening(_native.Node.create(all_settings), Node)

    def connect(
        self,
        whom: NetID | PeerId | str,
        *,
        service: str | None = None,
        where: Mapping[str, str] | None = None,
        timeout: float | None = None,
        failover: bool = False,
        links: str | None = None,
    ) -> Opening[Connection]:
        """Connects to whom is named: a NetID, a PeerId, or a text that is one of these, a petname,
        a name in a directory, a domain, a ticket or an address.

        ``service`` and ``where`` (metadata) choose among an entity's nodes; ``timeout`` is in
        seconds; with ``failover`` requests, which may then be made twice, move to another node of
        the entity by themselves; with ``links="standby"`` a second link is kept ready, with
        ``"stripe"`` or ``"mirror"`` several carry data.

        >>> async with node.connect(server.ticket, timeout=10) as connection:
        ...     connection.peer_id == server.peer_id
        True
        """
        needs = dict(where) if where is not None else None
        native = self._native.connect(whom, None, service, needs, timeout, failover, links)
        return Opening(native, Connection)

    def connect_to_netid(
        self,
        netid: NetID | str,
        *,
        service: str | None = None,
        where: Mapping[str, str] | None = None,
        timeout: float | None = None,
        failover: bool = False,
        links: str | None = None,
    ) -> Opening[Connection]:
        """Connects to a node that proves to speak for the entity; what names a node alone is
        refused. The other arguments are those of :meth:`connect`.

        >>> async with node.connect_to_netid(alice) as connection:
        ...     connection.netid == alice
        True
        """
        needs = dict(where) if where is not None else None
        native = self._native.connect(netid, "entity", service, needs, timeout, failover, links)
        return Opening(native, Connection)

    def connect_to_peer(
        self, peer_id: PeerId | str, *, timeout: float | None = None, links: str | None = None
    ) -> Opening[Connection]:
        """Connects to one node, named by its PeerId, a ticket or an address with it; what names an
        entity is refused.

        >>> async with node.connect_to_peer(server.peer_id) as connection:
        ...     print(connection.netid)
        None
        """
        native = self._native.connect(peer_id, "node", None, None, timeout, False, links)
        return Opening(native, Connection)

    def discover_peer_id(self, peer_id: PeerId | str) -> Awaitable[list[Multiaddr]]:
        """Where a node is, without connecting to it.

        >>> set(await node.discover_peer_id(server.peer_id)) == set(server.addresses)
        True
        """
        return self._native.discover_peer_id(peer_id)

    def discover_netid(self, netid: NetID | str) -> Awaitable[dict[PeerId, dict[str, Any]]]:
        """The nodes that prove to speak for an entity, each with ``"addresses"``, ``"metadata"``,
        ``"services"`` and ``"role"``.

        >>> (await node.discover_netid(alice))[server.peer_id]["role"]
        'server'
        """
        return self._native.discover_netid(netid)

    def on_request(self, handler: H) -> H:
        """Answers requests by an async function, on the running loop; works as a decorator.

        What it raises is told to the caller, and harms nobody else. It is cancelled if the caller
        gives up: cancels the request, allows it no more time, or is gone.

        >>> @server.on_request
        ... async def answer(request):
        ...     return request.body.upper()
        >>> await connection.request(b"cat")
        b'CAT'
        """

        self._native.on_request(starting(handler))
        return handler

    def serve(
        self, name: str, *, allow: Iterable[NetID | PeerId | str] | None = None
    ) -> RequestService:
        """Answers requests to a service, named ``"name/version"``, by the decorated function.

        Others see the service in what the node publishes, and choose by it
        (``connect_to_netid(…, service=…)``). ``allow`` names who may use it, by key; everyone
        whom the node admits, if left out.

        >>> @server.serve("thumbnails/1")
        ... async def thumbnail(request):
        ...     return b"small " + request.body
        >>> await connection.request(b"cat", service="thumbnails/1")
        b'small cat'
        """
        return RequestService(
            lambda handler: self._native.serve(name, False, allow, starting(handler))
        )

    def serve_streams(
        self, name: str, *, allow: Iterable[NetID | PeerId | str] | None = None
    ) -> StreamService:
        """Serves streams of ``connection.x_stream("name/version")`` by the decorated function,
        which gets each stream and who opened it.

        >>> @server.serve_streams("upper/1")
        ... async def upper(stream, visitor):
        ...     async for data in stream:
        ...         await stream.write(data.upper())
        >>> async with connection.x_stream("upper/1") as stream:
        ...     await stream.write(b"cat")
        ...     await stream.read()
        b'CAT'
        """
        return StreamService(
            lambda handler: self._native.serve(name, True, allow, starting_streams(handler))
        )

    def allow(self, whom: Iterable[NetID | PeerId | str] | None) -> None:
        """Sets who may use the node at all, by key; ``None`` for everyone.

        >>> server.allow([node.peer_id])
        """
        self._native.allow(whom)

    def events(self) -> AsyncIterator[NodeEvent]:
        """What happens at the node from now on; a slow listener is told how much it missed.

        >>> events = server.events()
        >>> async with Node.create() as visitor, visitor.connect(server.ticket):
        ...     async for event in events:
        ...         if event.kind == "connected":
        ...             print(event.peer_id == visitor.peer_id)
        ...             break
        True
        """
        events, is_closed = self._native.events(), self._is_closed

        async def tell() -> AsyncIterator[NodeEvent]:
            # Who asks after the end has heard of it already.
            while not is_closed and (told := await events.next()) is not None:
                kind, facts = told
                yield NodeEvent(kind, **facts)

        return tell()

    @property
    def commander(self) -> Commander:
        """A view of everything the node has."""
        return self._native.commander()

    async def incoming(self) -> AsyncIterator[Connection]:
        """The connections that peers open.

        >>> async for connection in server.incoming():
        ...     print(connection.peer_id == node.peer_id)
        ...     break
        True
        """
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
        """Takes nothing new and waits for what is under way, for so many seconds.

        >>> await server.drain(within=5)
        """
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
"""Another name of Node."""
