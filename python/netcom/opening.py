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
    """

    __slots__ = ("_coroutine", "_opened", "_operation", "_wrap")

    def __init__(self, operation: Any, wrap: Callable[[Any], T]) -> None:
        self._operation = operation
        self._wrap = wrap
        self._coroutine: Coroutine[Any, Any, T] | None = None
        self._opened: T | None = None

    def __await__(self) -> Generator[Any, Any, T]:
        return self._begin().__await__()

    async def __aenter__(self) -> T:
        self._opened = await self._begin()
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
        return self._begin().send(value)

    def throw(self, kind: Any, value: Any = None, trace: Any = None) -> Any:
        """Part of being a coroutine."""
        begun = self._coroutine or self._operation
        return begun.throw(value if value is not None else kind)

    def close(self) -> None:
        """Part of being a coroutine: gives up what was not opened yet."""
        (self._coroutine or self._operation).close()

    def _begin(self) -> Coroutine[Any, Any, T]:
        # Not before somebody awaits it: until then it is the operation that would be forgotten.
        if self._coroutine is None:
            self._coroutine = _open(self._operation, self._wrap)
        return self._coroutine


async def _open(operation: Any, wrap: Callable[[Any], T]) -> T:
    return wrap(await operation)
