"""Streams of bytes, of messages, and with errors beside the data."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, overload

from ._native import Payload
from .opening import Closable

Data: TypeAlias = bytes | bytearray | memoryview | Payload


@dataclass(frozen=True)
class StreamError:
    """What the peer says went wrong, beside the data."""

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

    async def _leave(self, error: BaseException | None) -> None:
        if error is None:
            await self._native.finish()
        else:
            await self._native.reset(0)


class ByteStream(_Stream):
    """A stream of bytes in both directions."""

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

    def read_to_end(self, limit: int = 67_108_864) -> Awaitable[bytes]:
        """All that comes until the peer finishes; raises beyond ``limit`` bytes."""
        return self._native.read_to_end(limit, False)

    def finish(self) -> Awaitable[None]:
        """Ends what this side writes. Returns once the peer has all of it in its memory."""
        return self._native.finish()

    def reset(self, code: int = 0) -> Awaitable[None]:
        """Gives the stream up in both directions; the peer sees ``code``."""
        return self._native.reset(code)

    async def errors(self) -> AsyncIterator[StreamError]:
        """What the peer says went wrong, beside the data."""
        while (error := await self._native.next_error()) is not None:
            yield StreamError(*error)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while chunk := await self._native.read(262_144, False):
            yield chunk


class XStream(ByteStream):
    """A stream of bytes with errors beside them, in both directions."""

    __slots__ = ()

    def send_error(
        self, code: str, message: str, context: Mapping[str, str] | None = None
    ) -> Awaitable[None]:
        """Tells the peer that something went wrong; the data goes on."""
        return self._native.send_error(code, message, dict(context or {}))


class MessageStream(_Stream):
    """A stream of messages in both directions, each whole and in order."""

    __slots__ = ()

    def write(self, message: Data) -> Awaitable[None]:
        """Sends one message. A call that is cancelled has sent all of it or nothing."""
        return self._native.write(message)

    @overload
    def read(self, *, view: Literal[False] = ...) -> Awaitable[bytes | None]: ...
    @overload
    def read(self, *, view: Literal[True]) -> Awaitable[Payload | None]: ...
    def read(self, *, view: bool = False) -> Awaitable[Any]:
        """The next message; ``None`` once the peer has finished."""
        return self._native.read(view)

    def read_batch(self, max: int = 256) -> Awaitable[list[bytes]]:
        """The messages that are here, at least one; an empty list once the peer has finished."""
        return self._native.read_batch(max, False)

    def finish(self) -> Awaitable[None]:
        """Ends what this side sends. Returns once the peer has all of it in its memory."""
        return self._native.finish()

    def reset(self, code: int = 0) -> Awaitable[None]:
        """Gives the stream up in both directions; the peer sees ``code``."""
        return self._native.reset(code)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while messages := await self._native.read_batch(256, False):
            for message in messages:
                yield message
