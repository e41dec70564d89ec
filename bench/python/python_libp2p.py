"""py-libp2p over TCP, Noise and yamux, by its streams."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

import trio
from libp2p import new_host
from libp2p.abc import IHost, INetStream
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import info_from_p2p_addr
from measure import MESSAGE, Sent, counted, main
from multiaddr import Multiaddr


class Libp2p:
    """A connected client."""

    def __init__(self, host: IHost, server: ID) -> None:
        self._host = host
        self._server = server

    async def bulk(self, chunk: bytes, seconds: float) -> Sent:
        stream = await self._host.new_stream(self._server, [STREAMS])
        clock = time.perf_counter
        await stream.write(BULK)
        begin = clock()
        end = begin + seconds
        sent = 0
        while clock() < end:
            await stream.write(chunk)
            sent += len(chunk)
        await stream.close_write()
        counted(await _read(stream, 8), sent)
        return Sent(sent, clock() - begin)

    async def request(self, message: bytes) -> bytes:
        stream = await self._host.new_stream(self._server, [REQUESTS])
        await stream.write(message)
        answer = await _read(stream, MESSAGE)
        await stream.close()
        return answer

    request_among = request

    def facts(self) -> list[str]:
        return [
            f"py-libp2p {version('libp2p')}, trio {version('trio')}; server: rust-libp2p",
            "TCP, Noise, yamux, Ed25519 as by default; its yamux looks for credit every 10 ms",
            "one stream: write(); requests: new_stream() for each, on the protocol by which "
            "rust-libp2p has its requests in flight",
        ]


class Trio:
    """The loop that py-libp2p is written for."""

    def run(self, work: Callable[[], Awaitable[None]]) -> None:
        trio.run(work)

    async def at_once(self, works: list[Callable[[], Awaitable[None]]]) -> None:
        async with trio.open_nursery() as nursery:
            for work in works:
                nursery.start_soon(work)

    async def within(self, seconds: float, work: Callable[[], Awaitable[Any]]) -> Any:
        try:
            with trio.fail_after(seconds):
                return await work()
        except trio.TooSlowError:
            raise TimeoutError from None


@asynccontextmanager
async def connect(contact: str) -> AsyncIterator[Libp2p]:
    # The server answers no identify, which is told as an error each time it is asked.
    logging.getLogger("libp2p").setLevel(logging.CRITICAL)
    host = new_host()
    async with host.run(listen_addrs=[]):
        server = info_from_p2p_addr(Multiaddr(contact))
        await host.connect(server)
        yield Libp2p(host, server.peer_id)


async def _read(stream: INetStream, length: int) -> bytes:
    data = b""
    while len(data) < length:
        if not (read := await stream.read(length - len(data))):
            break
        data += read
    return data


STREAMS = TProtocol("/bench/1")
REQUESTS = TProtocol("/bench/request/1")
BULK = b"b"
"""What the server's stream is for."""

if __name__ == "__main__":
    main(connect, Trio())
