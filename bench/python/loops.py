"""asyncio's loop, as the measuring needs it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any


class Asyncio:
    """The loop of the standard library, for all peers that run on asyncio."""

    title = "asyncio's own loop, no uvloop"

    def run(self, work: Callable[[], Awaitable[None]]) -> None:
        asyncio.run(_awaited(work))

    async def at_once(self, works: list[Callable[[], Awaitable[None]]]) -> None:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(_awaited(work))

    async def within(self, seconds: float, work: Callable[[], Awaitable[Any]]) -> Any:
        async with asyncio.timeout(seconds):
            return await work()


async def _awaited(work: Callable[[], Awaitable[Any]]) -> Any:
    return await work()
