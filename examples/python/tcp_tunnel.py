"""Carries TCP connections from a port here to a port there, to whom and not to where.

Both ends hold the same key file, so they speak for the same entity, and only such are let in;
--allow lets the nodes of another entity in, too. Ports are those of the loopback addresses. When a
program ends what it sends, the one at the other end sees that end, and may still answer.
"""

import argparse
import asyncio
import contextlib
import os
import socket
import struct
import sys
from pathlib import Path

from netcom import ByteStream, Connection, NetID, Node

BLOCK = 64 << 10
MAX_CONNECTIONS = 256
LOOPBACK = "127.0.0.1"


async def expose(port: int, key: NetID, allow: list[NetID]) -> None:
    room = asyncio.Semaphore(MAX_CONNECTIONS)

    async def take(stream: ByteStream) -> None:
        async with room:
            try:
                reader, writer = await asyncio.open_connection(LOOPBACK, port)
            except OSError as error:
                print(f"nobody takes the connection: {error}", file=sys.stderr, flush=True)
                await stream.reset()
            else:
                await carry(stream, reader, writer)

    async def take_all(connection: Connection) -> None:
        async for stream in connection.incoming_streams():
            if isinstance(stream, ByteStream):
                tasks.create_task(take(stream))
            else:
                await stream.reset()

    async with Node.create(netid=key) as node, asyncio.TaskGroup() as tasks:
        node.allow([key, *allow])
        print(f"exposed by: {node.ticket}", flush=True)
        async for connection in node.incoming():
            tasks.create_task(take_all(connection))


async def forward(port: int, to: str, key: NetID) -> None:
    room = asyncio.Semaphore(MAX_CONNECTIONS)

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with room:
            try:
                stream = await (await node.connect(to)).bytes_stream()
            except OSError as error:
                print(f"no way to the other end: {error}", file=sys.stderr, flush=True)
                reset(writer)
            else:
                await carry(stream, reader, writer)

    async with Node.create(netid=key) as node:
        await (await node.connect(to)).ping()  # tells at once if it cannot be reached
        server = await asyncio.start_server(take, LOOPBACK, port)
        print(f"forwarding {LOOPBACK}:{server.sockets[0].getsockname()[1]}", flush=True)
        await server.serve_forever()


async def carry(
    stream: ByteStream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Carries bytes both ways until both have ended; if one way breaks, both do."""

    async def outward() -> None:
        while block := await reader.read(BLOCK):
            await stream.write(block)
        await stream.finish()

    async def inward() -> None:
        while block := await stream.read(BLOCK):
            writer.write(block)
            await writer.drain()
        writer.write_eof()

    try:
        async with asyncio.TaskGroup() as both:
            both.create_task(outward())
            both.create_task(inward())
    except* (OSError, EOFError):
        reset(writer)
        await stream.reset()
    finally:
        writer.close()


def reset(writer: asyncio.StreamWriter) -> None:
    """Breaks a connection off, so that the program does not take it for the end of the data."""
    now = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
    writer.transport.abort()


def shared_key(path: Path) -> NetID:
    """The secret that both ends have, made on the first one."""
    if not path.exists():
        with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(NetID.generate().export_secret())
    return NetID.from_secret(path.read_bytes())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    exposing = commands.add_parser("expose", help="let a port be reached")
    exposing.add_argument("port", type=int, metavar="PORT")
    exposing.add_argument(
        "--allow",
        type=NetID.from_string,
        action="append",
        default=[],
        metavar="NETID",
        help="let this entity in, too",
    )
    forwarding = commands.add_parser("forward", help="open a port that leads to the exposed one")
    forwarding.add_argument("port", type=int, metavar="LOCAL_PORT", help="0 for any")
    forwarding.add_argument("to", metavar="TO", help="the ticket or NetID of who exposes")
    for command in (exposing, forwarding):
        command.add_argument(
            "--key",
            type=Path,
            default=Path("tunnel.key"),
            metavar="FILE",
            help="the secret that both ends share; made if there is none",
        )
    args = parser.parse_args()
    try:
        key = shared_key(args.key)
        with contextlib.suppress(KeyboardInterrupt):
            if args.command == "expose":
                asyncio.run(expose(args.port, key, args.allow))
            else:
                asyncio.run(forward(args.port, args.to, key))
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
