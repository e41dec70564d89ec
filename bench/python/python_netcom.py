"""The Python package netcom, by its public interface."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version

from loops import Asyncio
from measure import Sent, counted, main

from netcom import Connection, Node, NodeRole


class Netcom:
    """A connected client."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.request: Callable[[bytes], Awaitable[bytes]] = connection.request
        self.request_among = self.request

    async def bulk(self, chunk: bytes, seconds: float) -> Sent:
        stream = await self._connection.bytes_stream()
        write, clock = stream.write, time.perf_counter
        await write(BULK)
        begin = clock()
        end = begin + seconds
        sent = 0
        while clock() < end:
            await write(chunk)
            sent += len(chunk)
        await stream.finish()
        counted(await stream.read_to_end(), sent)
        return Sent(sent, clock() - begin)

    def facts(self) -> list[str]:
        path = self._connection.path
        return [
            f"netcom {version('netcom')}, release build, defaults, discovery off",
            Asyncio.title,
            "one stream: ByteStream.write; requests: Connection.request",
            f"{path.link} link, {path.kind} path",
        ]


@asynccontextmanager
async def connect(contact: str) -> AsyncIterator[Netcom]:
    async with Node.create(role=NodeRole.CLIENT, discovery="off") as node:
        async with node.connect(contact) as connection:
            yield Netcom(connection)


BULK = b"b"
"""What the server's stream is for."""

if __name__ == "__main__":
    main(connect, Asyncio())
