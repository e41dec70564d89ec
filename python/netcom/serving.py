"""Handlers of requests and streams, and the services they are."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

from ._native import Request, ServiceHandle, XAuth
from .errors import NetComError
from .streams import Data, XStream

_log = logging.getLogger("netcom")

Handler = Callable[[Request], Awaitable[Data]]
StreamHandler = Callable[[XStream, XAuth], Awaitable[None]]
H = TypeVar("H", bound=Handler)
S = TypeVar("S", bound=StreamHandler)


class HandlerError(Exception):
    """Raise it in a handler to tell the caller what went wrong, and go on.

    >>> @server.on_request
    ... async def answer(request):
    ...     raise HandlerError("no_such_cat", "there is no such cat", id="123")
    >>> try:
    ...     await connection.request(b"cat 123")
    ... except netcom.RemoteError as error:
    ...     print(error.code, error.context["id"])
    no_such_cat 123
    """

    def __init__(self, code: str, message: str, **context: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.context = context


class _Service:
    """A service that a node is to serve, by the function that this decorates."""

    __slots__ = ("_begin", "_handles")

    def __init__(self, begin: Callable[[Any], ServiceHandle]) -> None:
        self._begin = begin
        self._handles: list[ServiceHandle] = []

    def withdraw(self) -> None:
        """Serves no new ones. Those under way go on."""
        while self._handles:
            self._handles.pop().withdraw()


class RequestService(_Service):
    """A service of requests: decorate its handler with it.

    >>> service = server.serve("thumbnails/1")
    >>> @service
    ... async def thumbnail(request):
    ...     return b"small " + request.body
    >>> service.withdraw()
    >>> await connection.request(b"cat", service="thumbnails/1")
    Traceback (most recent call last):
    netcom.errors.NotFound: the peer serves no such protocol
    hint: ask the peer for the services it offers
    """

    __slots__ = ()

    def __call__(self, handler: H) -> H:
        self._handles.append(self._begin(handler))
        return handler


class StreamService(_Service):
    """A service of streams: decorate its handler with it.

    >>> service = server.serve_streams("upper/1")
    >>> @service
    ... async def upper(stream, visitor):
    ...     await stream.write((await stream.read()).upper())
    >>> async with connection.x_stream("upper/1") as stream:
    ...     await stream.write(b"cat")
    ...     await stream.read()
    b'CAT'
    >>> service.withdraw()
    """

    __slots__ = ()

    def __call__(self, handler: S) -> S:
        self._handles.append(self._begin(handler))
        return handler


def starting(
    handler: Handler,
) -> Callable[[asyncio.AbstractEventLoop, Request, Any], asyncio.Task[None]]:
    _check(handler)

    def start(loop: asyncio.AbstractEventLoop, request: Request, reply: Any) -> asyncio.Task[None]:
        return loop.create_task(_answer(handler, request, reply))

    return start


def starting_streams(
    handler: StreamHandler,
) -> Callable[[asyncio.AbstractEventLoop, Any, XAuth, Any], asyncio.Task[None]]:
    _check(handler)

    def start(
        loop: asyncio.AbstractEventLoop, stream: Any, visitor: XAuth, reply: Any
    ) -> asyncio.Task[None]:
        return loop.create_task(_serve(handler, XStream(stream), visitor, reply))

    return start


def _check(handler: Any) -> None:
    if not callable(handler):
        message = f"a handler is an async function, not {type(handler).__name__}"
        raise TypeError(message)


async def _answer(handler: Handler, request: Request, reply: Any) -> None:
    with _telling(reply):
        reply.send(await handler(request))


async def _serve(handler: StreamHandler, stream: XStream, visitor: XAuth, reply: Any) -> None:
    with _telling(reply):
        await handler(stream, visitor)
        # A handler that finished the stream itself has no more to say.
        with contextlib.suppress(NetComError):
            await stream.finish()
        reply.send(b"")


@contextlib.contextmanager
def _telling(reply: Any) -> Iterator[None]:
    """Tells the caller what a handler raises."""
    try:
        yield
    except HandlerError as error:
        reply.fail(error.code, error.message, error.context)
    except Exception as error:
        _log.exception("A handler failed")
        reply.fail("failed", f"{type(error).__name__}: {error}", {})
