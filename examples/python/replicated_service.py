"""A service of one entity on several nodes, and a caller that goes on when one of them dies.

Make a key once, then start any number of nodes with it, each in a process or on a machine of its
own. The caller names the entity alone: it is led to one of the nodes, and to another one if that
is gone. What was asked of a dead node is asked again, so a request must do no harm if it is made
twice.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from netcom import Connection, HandlerError, NetID, Node, NodeRole, Request

ATTEMPTS = 5
# A node that dies without a word is waited for, since the network may have been cut and may come
# back: for a minute, if a request is not given less time. When its time is over and no link works,
# it ends with a ConnectionTimeout, which is a ConnectionError and a TimeoutError; with a plain
# TimeoutError if the node still answers, or died only just now. With failover, requests move to
# another node after two seconds without a link.
SHORT = 2.0


async def serve(key: NetID) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Node.create(netid=key, role=NodeRole.SERVER) as node:

        @node.on_request
        async def square(request: Request) -> bytes:
            if len(request.body) > 20 or not request.body.isdigit():
                raise HandlerError("bad_request", "a number of at most 20 digits is needed")
            return json.dumps([int(request.body) ** 2, str(node.peer_id)]).encode()

        print(f"ready: {node.peer_id} for {key}", flush=True)
        await stop.wait()


async def call(to: str, count: int, pause: float, failover: bool) -> None:
    async with Node.create() as node:
        connection = await node.connect_to_netid(to, failover=failover)
        for number in range(1, count + 1):
            if failover:
                answer = await connection.request(b"%d" % number)
            else:
                answer, connection = await ask(node, connection, to, b"%d" % number)
            square, peer = json.loads(answer)
            print(f"{number} squared is {square}, says {peer}", flush=True)
            await asyncio.sleep(pause)


async def ask(
    node: Node, connection: Connection, to: str, question: bytes
) -> tuple[bytes, Connection]:
    """The answer, and the connection that brought it."""
    for _ in range(ATTEMPTS - 1):
        try:
            return await connection.request(question, timeout=SHORT), connection
        except (ConnectionError, TimeoutError) as error:
            print(f"{connection.peer_id} is gone: {error}", file=sys.stderr, flush=True)
            connection = await node.connect_to_netid(to)
    return await connection.request(question, timeout=SHORT), connection


def make_key(path: Path) -> NetID:
    key = NetID.generate()
    with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(key.export_secret())
    return key


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("key", help="make the key of a service and print its NetID")
    serving = commands.add_parser("serve", help="run a node of the service")
    for command in (making, serving):
        command.add_argument("key", type=Path, metavar="FILE", help="the service's secret")
    calling = commands.add_parser("call", help="ask the service for the squares of 1, 2, …")
    calling.add_argument("to", metavar="NETID", help="the NetID of the service")
    calling.add_argument("--count", type=int, default=10, help="how many times (10)")
    calling.add_argument(
        "--pause",
        type=float,
        default=1,
        metavar="SECONDS",
        help="between one request and the next (1)",
    )
    calling.add_argument(
        "--failover",
        action="store_true",
        help="let requests move by themselves, without code for it here",
    )
    args = parser.parse_args()
    try:
        if args.command == "key":
            print(make_key(args.key))
        elif args.command == "serve":
            asyncio.run(serve(NetID.from_secret(args.key.read_bytes())))
        else:
            asyncio.run(call(args.to, args.count, args.pause, args.failover))
    except KeyboardInterrupt:
        pass
    except (OSError, ValueError, RuntimeError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
