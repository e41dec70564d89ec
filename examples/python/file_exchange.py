"""Sends files from one device to another, directly and without a server.

Both devices hold the same key file, so they speak for the same entity, and only such are let in;
--allow lets the devices of somebody else in, too. A file gets its name once its size and its
SHA-256 are right: what is half there is never seen under that name.
"""

import argparse
import asyncio
import contextlib
import hashlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import IO, Any

from netcom import Connection, MessageStream, NetID, Node

BLOCK = 1 << 20
SILENCE = 60.0  # seconds after which the other side is given up
AT_ONCE = 8  # files received at the same time; others wait


async def receive(folder: Path, key: NetID, allow: list[NetID], limit: int) -> None:
    room = asyncio.Semaphore(AT_ONCE)

    async def take(stream: MessageStream) -> None:
        async with room:
            try:
                print(f"received {await receive_file(stream, folder, limit)}", flush=True)
            except (OSError, EOFError, ValueError, LookupError, TypeError) as error:
                print(f"refused: {error}", file=sys.stderr, flush=True)
                with contextlib.suppress(OSError, EOFError):
                    await stream.write(json.dumps({"error": str(error)}).encode())
                    await stream.finish()
                await stream.reset()

    async def take_all(connection: Connection) -> None:
        async for stream in connection.incoming_streams():
            if isinstance(stream, MessageStream):
                tasks.create_task(take(stream))
            else:
                await stream.reset()

    async with Node.create(netid=key) as node, asyncio.TaskGroup() as tasks:
        node.allow([key, *allow])
        print(f"send to: {node.ticket}", flush=True)
        async for connection in node.incoming():
            tasks.create_task(take_all(connection))


async def receive_file(stream: MessageStream, folder: Path, limit: int) -> str:
    """Takes one file and gives its name. If it fails, nothing of it stays."""
    offer = await read(stream)
    name, size = plain_name(offer["name"]), int(offer["size"])
    if not 0 <= size <= limit:
        raise ValueError(f"{name} has {size} bytes, and at most {limit} are taken")
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".part-") as part:
        await stream.write(b'{"go": true}')
        digest = await receive_blocks(stream, part.file, size)
        if (await read(stream))["sha256"] != digest:
            raise ValueError(f"{name} did not arrive as it was sent")
        await asyncio.to_thread(os.fsync, part.fileno())
        try:
            os.link(part.name, folder / name)  # unlike a rename, never over what is there
        except FileExistsError:
            raise ValueError(f"{name} is there already") from None
    await stream.write(json.dumps({"sha256": digest}).encode())
    await stream.finish()
    return name


async def receive_blocks(stream: MessageStream, file: IO[bytes], size: int) -> str:
    digest, count = hashlib.sha256(), 0
    while count < size:
        async with asyncio.timeout(SILENCE):
            block = await stream.read()
        if not block or count + len(block) > size:
            raise ValueError(f"{size} bytes were promised and others sent")
        digest.update(block)
        await asyncio.to_thread(file.write, block)
        count += len(block)
    file.flush()
    return digest.hexdigest()


def plain_name(name: Any) -> str:
    """A name that cannot leave the folder, is not hidden, and shows as what it is."""
    if not isinstance(name, str) or not name.isprintable() or name.startswith("."):
        raise ValueError("that is no plain name of a file")
    if not 0 < len(name.encode()) <= 255 or set(name) & set("/\\:"):
        raise ValueError("that is no plain name of a file")
    return name


async def read(stream: MessageStream) -> dict[str, Any]:
    """The next message that is not a block of a file."""
    async with asyncio.timeout(SILENCE):
        message = json.loads(await stream.read() or b"null")
    if not isinstance(message, dict):
        raise ValueError("the other side does not speak as this program does")
    if "error" in message:
        raise ValueError(f"the other side says: {message['error']!r}")
    return message


async def send(files: list[Path], to: str, key: NetID) -> None:
    async with Node.create(netid=key) as node, node.connect(to) as connection:
        for path in files:
            async with connection.msg_stream() as stream:
                digest = await send_file(stream, path)
            print(f"sent {path.name}, sha256 {digest}", flush=True)


async def send_file(stream: MessageStream, path: Path) -> str:
    with path.open("rb") as file:
        size, sent, digest = os.fstat(file.fileno()).st_size, 0, hashlib.sha256()
        await stream.write(json.dumps({"name": path.name, "size": size}).encode())
        await read(stream)
        while block := await asyncio.to_thread(file.read, BLOCK):
            digest.update(block)
            await stream.write(block)
            sent += len(block)
            if sys.stderr.isatty():
                print(f"\r{path.name}: {sent} of {size} bytes", end="", file=sys.stderr)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    await stream.write(json.dumps({"sha256": digest.hexdigest()}).encode())
    if (await read(stream))["sha256"] != digest.hexdigest():
        raise ValueError(f"{path.name} did not arrive as it was sent")
    return digest.hexdigest()


def shared_key(path: Path) -> NetID:
    """The secret of all of the user's devices, made on the first one."""
    if not path.exists():
        with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(NetID.generate().export_secret())
    return NetID.from_secret(path.read_bytes())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    receiver = commands.add_parser("receive", help="print a ticket and take files into a folder")
    receiver.add_argument("folder", type=Path, metavar="DIR")
    receiver.add_argument(
        "--allow",
        type=NetID.from_string,
        action="append",
        default=[],
        metavar="NETID",
        help="let this entity send, too",
    )
    receiver.add_argument(
        "--limit",
        type=int,
        default=10 << 30,
        metavar="BYTES",
        help="take no file longer than this (10 GiB)",
    )
    sender = commands.add_parser("send", help="send files to who receives")
    sender.add_argument("files", type=Path, nargs="+", metavar="FILE")
    sender.add_argument("to", metavar="TO", help="the ticket or NetID of the receiver")
    for command in (receiver, sender):
        command.add_argument(
            "--key",
            type=Path,
            default=Path.home() / ".file-exchange.key",
            help="the secret all devices share; made if there is none",
        )
    args = parser.parse_args()
    try:
        key = shared_key(args.key)
        print(f"this device speaks for {key}", file=sys.stderr)
        if args.command == "receive":
            args.folder.mkdir(parents=True, exist_ok=True)
            asyncio.run(receive(args.folder, key, args.allow, args.limit))
        else:
            asyncio.run(send(args.files, args.to, key))
    except KeyboardInterrupt:
        pass
    except (OSError, EOFError, ValueError, LookupError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
