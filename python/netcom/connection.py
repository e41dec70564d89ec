"""A connection to a node."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import Any, Literal, overload

from ._native import LinkInfo, NetID, Path, Payload, PeerId, Stats, XAuth
from .opening import Closable, Opening
from .streams import ByteStream, Data, MessageStream, XStream

_KINDS: dict[str, type[ByteStream] | type[MessageStream] | type[XStream]] = {
    "bytes": ByteStream,
    "messages": MessageStream,
    "x": XStream,
}


class Connection(Closable):
    """A connection to a node, which has proven who it is.

    It outlives the network under it: after a cut it comes back by itself, and streams go on.

    >>> async with node.connect_to_netid(alice) as connection:
    ...     await connection.request(b"hello")
    ...     connection.path.kind
    b'hello, or so I heard'
    'local'
    """

    __slots__ = ("_native",)

    def __init__(self, native: Any) -> None:
        self._native = native

    @overload
    def request(
        self,
        body: Data,
        *,
        timeout: float | None = ...,
        service: str | None = ...,
        max_answer: int | None = ...,
        view: Literal[False] = ...,
    ) -> Awaitable[bytes]: ...
    @overload
    def request(
        self,
        body: Data,
        *,
        timeout: float | None = ...,
        service: str | None = ...,
        max_answer: int | None = ...,
        view: Literal[True],
    ) -> Awaitable[Payload]: ...
    def request(
        self,
        body: Data,
        *,
        timeout: float | None = None,
        service: str | None = None,
        max_answer: int | None = None,
        view: bool = False,
    ) -> Awaitable[Any]:
        """Asks the peer's handler and gives its answer.

        Requests do not wait for each other. Cancelling one, or its timeout, cancels its handler.
        ``timeout`` is in seconds (60 if left out); ``service`` asks a named one, as
        ``"name/version"``; ``max_answer`` bounds the answer's bytes (64 MiB); with ``view`` the
        answer is not copied. What is sent is bounded by the peer: beyond 16 MiB, as a rule, it
        answers by a :class:`RemoteError` whose code is ``body_too_large``; streams have no bound.

        A timeout that finds no link to the peer working raises :class:`ConnectionTimeout`, which is
        a :class:`ConnectionError`, too.

        >>> await connection.request(b"hello", timeout=5)
        b'hello, or so I heard'
        """
        return self._native.request(body, timeout, service, max_answer, view)

    def bytes_stream(self) -> Opening[ByteStream]:
        """Opens a stream of bytes."""
        return Opening(self._native.bytes_stream(), ByteStream)

    def msg_stream(self) -> Opening[MessageStream]:
        """Opens a stream of messages."""
        return Opening(self._native.msg_stream(), MessageStream)

    def x_stream(self, service: str | None = None) -> Opening[XStream]:
        """Opens a stream with errors beside the data, to a ``service`` if one is named."""
        return Opening(self._native.x_stream(service), XStream)

    async def incoming_streams(self) -> AsyncIterator[ByteStream | MessageStream | XStream]:
        """The streams the peer opens.

        >>> async with connection.msg_stream() as stream:
        ...     await stream.write(b"hello")
        >>> visitor = await anext(server.incoming())
        >>> async for stream in visitor.incoming_streams():
        ...     print(await stream.read())
        ...     break
        b'hello'
        """
        streams = self._native.incoming_streams()
        while (found := await streams.next()) is not None:
            kind, native = found
            yield _KINDS[kind](native)

    @property
    def peer_id(self) -> PeerId:
        """The node at the other end."""
        return self._native.peer_id()

    @property
    def netid(self) -> NetID | None:
        """The entity the node was proven to speak for, if the connection was made to one."""
        return self._native.netid()

    @property
    def xauth(self) -> XAuth:
        """Everything the other side has proven of itself."""
        return self._native.xauth()

    @property
    def path(self) -> Path:
        """How the peer is reached, and why so."""
        return self._native.path()

    def links(self) -> list[LinkInfo]:
        """The links of the session with the peer, which all connections to it share: the role of
        each, its figures, and why it has that role."""
        return self._native.links()

    @property
    def stats(self) -> Stats:
        """What was counted so far, of the session with the peer, which all connections to it
        share."""
        return self._native.stats()

    def ping(self) -> Awaitable[float | None]:
        """Seconds of a round trip; ``None`` while no link works.

        >>> 0 < await connection.ping() < 10
        True
        """
        return self._native.ping()

    def close(self, code: int = 0, reason: str = "") -> Awaitable[None]:
        """Closes the connection; what was finished arrives first."""
        return self._native.close(code, reason)

    async def _leave(self, error: BaseException | None) -> None:
        await self.close()
