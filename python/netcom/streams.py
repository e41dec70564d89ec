"""Streams of bytes, of messages, and with errors beside the data."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, overload

from ._native import Payload
from .errors import StreamEnded
from .opening import Closable

Data: TypeAlias = bytes | bytearray | memoryview | Payload


@dataclass(frozen=True)
class StreamError:
    """What the peer says went wrong, beside the data.

    >>> StreamError("low_disk", "the disk is nearly full", {"free": "3 MB"}).code
    'low_disk'
    """

    code: str
    """A stable name."""
    message: str
    """A sentence."""
    context: Mapping[str, str] = field(default_factory=dict)
    """Facts."""


class _Stream(Closable):
    __slots__ = ("_native",)

    def __init__(self, native: Any) -> None:
        self._native = native

    def finish(self) -> Awaitable[None]:
        """Ends what this side sends. Returns once the peer has all of it in its memory."""
        return self._native.finish()

    def reset(self, code: int = 0) -> Awaitable[None]:
        """Gives the stream up in both directions; the peer sees ``code``."""
        return self._native.reset(code)

    async def _leave(self, error: BaseException | None) -> None:
        if error is None:
            # Who gave it up has ended it.
            with contextlib.suppress(StreamEnded):
                await self.finish()
        else:
            await self.reset()


class ByteStream(_Stream):
    """A stream of bytes in both directions.

    >>> async with connection.bytes_stream() as stream:
    ...     await stream.write(b"from here")
    >>> theirs = await accept(server)
    >>> await theirs.read()
    b'from here'
    >>> await theirs.read()  # the end
    b''
    """

    __slots__ = ()

    def write(self, data: Data) -> Awaitable[None]:
        """Writes all of ``data``; waits while the peer reads more slowly.

        ``bytes`` are not copied. A call that is cancelled has taken all or nothing.
        """
        return self._native.write(data)

    @overload
    def read(self, max: int = ..., *, view: Literal[False] = ...) -> Awaitable[bytes]: ...
    @overload
    def read(self, max: int = ..., *, view: Literal[True]) -> Awaitable[Payload]: ...
    def read(self, max: int = 262_144, *, view: bool = False) -> Awaitable[Any]:
        """What is there, at least one byte and at most ``max``; ``b""`` at the end.

        With ``view`` the bytes are not copied: a read-only buffer.
        """
        return self._native.read(max, view)

    @overload
    def read_to_end(self, limit: int = ..., *, view: Literal[False] = ...) -> Awaitable[bytes]: ...
    @overload
    def read_to_end(self, limit: int = ..., *, view: Literal[True]) -> Awaitable[Payload]: ...
    def read_to_end(self, limit: int = 67_108_864, *, view: bool = False) -> Awaitable[Any]:
        """All that comes until the peer finishes; raises beyond ``limit`` bytes.

        >>> stream = await connection.bytes_stream()
        >>> await stream.write(b"all of it")
        >>> await stream.finish()
        >>> await (await accept(server)).read_to_end()
        b'all of it'
        """
        return self._native.read_to_end(limit, view)

    async def errors(self) -> AsyncIterator[StreamError]:
        """What the peer says went wrong, beside the data."""
        while (error := await self._native.next_error()) is not None:
            yield StreamError(*error)

    async def views(self) -> AsyncIterator[Payload]:
        """As iterating over the stream itself, and the bytes are not copied."""
        while chunk := await self._native.read(262_144, True):
            yield chunk

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while chunk := await self._native.read(262_144, False):
            yield chunk


class XStream(ByteStream):
    """A stream of bytes with errors beside them, in both directions.

    >>> stream = await connection.x_stream()
    >>> await stream.send_error("low_disk", "the disk is nearly full", {"free": "3 MB"})
    >>> theirs = await accept(server)
    >>> async for error in theirs.errors():
    ...     print(error.code, error.context["free"])
    ...     break
    low_disk 3 MB
    """

    __slots__ = ()

    def send_error(
        self, code: str, message: str, context: Mapping[str, str] | None = None
    ) -> Awaitable[None]:
        """Tells the peer that something went wrong; the data goes on."""
        return self._native.send_error(code, message, dict(context or {}))


class MessageStream(_Stream):
    """A stream of messages in both directions, each whole and in order.

    >>> async with connection.msg_stream() as stream:
    ...     for word in (b"one", b"two", b"three"):
    ...         await stream.write(word)
    >>> theirs = await accept(server)
    >>> await theirs.read()
    b'one'
    >>> [message async for message in theirs]
    [b'two', b'three']
    """

    __slots__ = ("_rest",)

    def __init__(self, native: Any) -> None:
        super().__init__(native)
        # Of a batch: what an iteration that ended has left to whoever reads next.
        self._rest: deque[Payload] = deque()

    def write(self, message: Data) -> Awaitable[None]:
        """Sends one message. A call that is cancelled has sent all of it or nothing."""
        return self._native.write(message)

    @overload
    async def read(self, *, view: Literal[False] = ...) -> bytes | None: ...
    @overload
    async def read(self, *, view: Literal[True]) -> Payload | None: ...
    async def read(self, *, view: bool = False) -> Any:
        """The next message; ``None`` once the peer has finished.

        With ``view`` its bytes are not copied: a read-only buffer.
        """
        if self._rest:
            return _seen(self._rest.popleft(), view)
        return await self._native.read(view)

    @overload
    async def read_batch(self, max: int = ..., *, view: Literal[False] = ...) -> list[bytes]: ...
    @overload
    async def read_batch(self, max: int = ..., *, view: Literal[True]) -> list[Payload]: ...
    async def read_batch(self, max: int = 256, *, view: bool = False) -> Any:
        """Messages that are here, at least one and at most ``max``; an empty list once the peer
        has finished."""
        if self._rest and max > 0:
            count = min(max, len(self._rest))
            return [_seen(self._rest.popleft(), view) for _ in range(count)]
        return await self._native.read_batch(max, view)

    async def reset(self, code: int = 0) -> None:
        """Gives the stream up in both directions; the peer sees ``code``."""
        self._rest.clear()
        await self._native.reset(code)

    async def views(self) -> AsyncIterator[Payload]:
        """As iterating over the stream itself, and the bytes are not copied."""
        while self._rest or await self._fetch():
            yield self._rest.popleft()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self._rest or await self._fetch():
            yield bytes(self._rest.popleft())

    async def _fetch(self) -> bool:
        """Takes the messages that are here, at least one. False once the peer has finished."""
        self._rest.extend(await self._native.read_batch(256, True))
        return bool(self._rest)


def _seen(message: Payload, view: bool) -> Payload | bytes:
    return message if view else bytes(message)
