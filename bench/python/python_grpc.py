"""gRPC by grpcio's asyncio interface."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

import grpc
from loops import Asyncio
from measure import CHUNK, Sent, counted, main


class Grpc:
    """A connected client. Messages go as they are, without Protobuf."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._count = channel.stream_unary("/bench.Echo/Count")
        self.request = channel.unary_unary("/bench.Echo/Echo")
        self.request_among = self.request

    async def bulk(self, chunk: bytes, seconds: float) -> Sent:
        clock = time.perf_counter
        call = self._count()
        begin = clock()
        end = begin + seconds
        sent = 0
        while clock() < end:
            await call.write(chunk)
            sent += len(chunk)
        await call.done_writing()
        counted(await call, sent)
        return Sent(sent, clock() - begin)

    def facts(self) -> list[str]:
        return [
            f"grpcio {version('grpcio')}, grpc.aio; server: tonic",
            Asyncio.title,
            "TLS by BoringSSL, server authentication; suites are the library's choice",
            "one channel, callables made once, messages without Protobuf",
            f"requests: unary calls; one stream: a client-streaming call, messages of "
            f"{CHUNK >> 10} KiB by write()",
        ]


@asynccontextmanager
async def connect(contact: str) -> AsyncIterator[Grpc]:
    port, certificate = json.loads(contact)
    credentials = grpc.ssl_channel_credentials(certificate.encode())
    options = [("grpc.ssl_target_name_override", NAME)]
    address = f"127.0.0.1:{port}"
    async with grpc.aio.secure_channel(address, credentials, options) as channel:
        await channel.channel_ready()
        yield Grpc(channel)


NAME = "localhost"
"""Of the server's certificate."""

if __name__ == "__main__":
    main(connect, Asyncio())
