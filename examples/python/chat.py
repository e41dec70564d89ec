"""A chat for two or more people: one opens a room, the others join it.

Lines of the standard input are said, and what others say is printed. Everybody chooses a name; the
part in brackets is the beginning of the key that the room has seen proven. A guest leaves at the
end of the input, or when the room closes. The room closes at the end of its input, or when the
last guest has left.
"""

import argparse
import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator

from netcom import Connection, MessageStream, NetID, Node

MAX_LINE = 4096  # bytes
MAX_GUESTS = 64
MAX_WAITING = 256  # lines for a guest who reads slowly; who is further behind has to leave
SLOW = 10.0  # seconds a guest has for a name, and for the last lines


async def open_room(name: str) -> None:
    guests: dict[MessageStream, asyncio.Queue[bytes]] = {}
    visits: set[asyncio.Task[None]] = set()
    is_empty = asyncio.Event()

    def tell(line: str, but: MessageStream | None = None) -> None:
        for guest, lines in guests.items():
            if guest is not but and not lines.full():
                lines.put_nowait(line.encode())

    def tell_all(line: str, but: MessageStream) -> None:
        print(line, flush=True)
        tell(line, but)

    async def welcome(connection: Connection) -> None:
        async for stream in connection.incoming_streams():
            if not isinstance(stream, MessageStream) or len(guests) >= MAX_GUESTS:
                await stream.reset()
                continue
            with contextlib.suppress(OSError, EOFError):
                async with asyncio.timeout(SLOW):
                    chosen = shown(await stream.read() or b"")[:40]
                await host(stream, f"{chosen} ({str(connection.netid)[:12]})")

    async def host(stream: MessageStream, who: str) -> None:
        lines = guests[stream] = asyncio.Queue(MAX_WAITING)
        passing_on = asyncio.create_task(pass_on(lines, stream))
        tell_all(f"* {who} is here", stream)
        try:
            async for line in stream:
                tell_all(f"{who}: {shown(line)}", stream)
            await lines.join()
            await stream.finish()
        finally:
            passing_on.cancel()
            del guests[stream]
            tell_all(f"* {who} left", stream)
            if not guests:
                is_empty.set()

    async def take_guests(node: Node) -> None:
        async for connection in node.incoming():
            visit = asyncio.create_task(welcome(connection))
            visits.add(visit)
            visit.add_done_callback(visits.discard)

    async def speak() -> None:
        async for line in typed():
            tell(f"{name}: {line}")

    async with Node.create(netid=NetID.generate()) as node:
        print(f"join by: {node.ticket}", flush=True)
        taking, speaking = asyncio.create_task(take_guests(node)), asyncio.create_task(speak())
        leaving = asyncio.create_task(is_empty.wait())
        await asyncio.wait((speaking, leaving), return_when=asyncio.FIRST_COMPLETED)
        with contextlib.suppress(OSError, EOFError):
            async with asyncio.timeout(SLOW):
                for guest, lines in list(guests.items()):
                    await lines.join()
                    await guest.finish()
        for task in (taking, speaking, leaving, *visits):
            task.cancel()


async def pass_on(lines: asyncio.Queue[bytes], stream: MessageStream) -> None:
    with contextlib.suppress(OSError, EOFError):
        while True:
            await stream.write(await lines.get())
            lines.task_done()


async def join(to: str, name: str) -> None:
    async with (
        Node.create(netid=NetID.generate()) as node,
        node.connect(to) as connection,
        connection.msg_stream() as stream,
    ):
        await stream.write(name.encode())
        speaking = asyncio.create_task(speak_to(stream))
        try:
            async for line in stream:
                print(shown(line), flush=True)
        finally:
            speaking.cancel()


async def speak_to(stream: MessageStream) -> None:
    with contextlib.suppress(OSError, EOFError):
        async for line in typed():
            await stream.write(line.encode())
        await stream.finish()  # the room then ends its side, too


async def typed() -> AsyncIterator[str]:
    """Lines of the standard input, without a thread that would wait for one more at the end."""
    loop, rest, block = asyncio.get_running_loop(), b"", b"\n"
    while block:
        readable = asyncio.Event()
        try:
            loop.add_reader(0, readable.set)
            await readable.wait()
        except PermissionError:
            pass  # a file: it can always be read
        finally:
            loop.remove_reader(0)
        block = os.read(0, MAX_LINE)
        *lines, rest = (rest + (block or b"\n")).split(b"\n")
        if len(rest) >= MAX_LINE:
            lines, rest = [*lines, rest], b""
        for line in lines:
            if text := shown(line):
                yield text


def shown(line: bytes) -> str:
    """Text of one line at most, without what would steer a terminal."""
    text = line[:MAX_LINE].decode(errors="replace")
    return "".join(c if c.isprintable() else " " for c in text).strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    opening = commands.add_parser("open", help="open a room and print its ticket")
    joining = commands.add_parser("join", help="join a room")
    joining.add_argument("to", metavar="TO", help="the ticket that the room printed")
    for command in (opening, joining):
        command.add_argument("--name", default="somebody", help="what the others see")
    args = parser.parse_args()
    try:
        asyncio.run(open_room(args.name) if args.command == "open" else join(args.to, args.name))
    except KeyboardInterrupt:
        pass
    except (OSError, EOFError, ValueError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
