"""Things that are opened by ``await`` or by ``async with``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Generator
from types import TracebackType
from typing import Any, Generic, Self, TypeVar


class Closable(ABC):
    """Something that ``async with`` closes at the end."""

    __slots__ = ()

    @abstractmethod
    async def _leave(self, error: BaseException | None) -> None:
        """Closes it, after an error if there was one."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._leave(error)


T = TypeVar("T", bound=Closable)


class Opening(Coroutine[Any, Any, T], Generic[T]):
    """Something that is being opened.

    ``await`` gives it, and closing it is up to the caller; ``async with`` closes it at the end.
    It is a coroutine in every other respect, so it can also be made a task.

    >>> stream = await connection.bytes_stream()  # closed by whoever opened it
    >>> await stream.finish()
    >>> async with connection.bytes_stream() as stream:  # finished at the end
    ...     await stream.write(b"all")
    """

    __slots__ = ("_begun", "_opened", "_operation", "_wrap")

    def __init__(self, operation: Any, wrap: Callable[[Any], T]) -> None:
        self._operation = operation
        self._wrap = wrap
        self._begun: Generator[Any, Any, T] | None = None
        self._opened: T | None = None

    def __await__(self) -> Generator[Any, Any, T]:
        # A generator does nothing before its first step, and is silent if none is ever taken: it is
        # the operation that warns then.
        return self._wrap((yield from self._operation.__await__()))

    async def __aenter__(self) -> T:
        self._opened = await self
        return self._opened

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._opened is not None:
            await self._opened.__aexit__(kind, error, trace)

    def send(self, value: Any) -> Any:
        """Part of being a coroutine."""
        if self._begun is None:
            self._begun = self.__await__()
        return self._begun.send(value)

    def throw(self, kind: Any, value: Any = None, trace: Any = None) -> Any:
        """Part of being a coroutine."""
        begun = self._begun or self._operation
        return begun.throw(value if value is not None else kind)

    def close(self) -> None:
        """Part of being a coroutine: gives up what was not opened yet."""
        (self._begun or self._operation).close()
