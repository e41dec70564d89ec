"""A service that answers requests in JSON, and a caller.

A request is {"action": …} with what the action needs; the answer is JSON, too. Both sides are
known by keys. With --allow only those entities are let in.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from netcom import (
    AccessDenied,
    HandlerError,
    NetComError,
    NetID,
    Node,
    NodeRole,
    RemoteError,
    Request,
)

MAX_REQUEST = 64 << 10  # bytes
MAX_ANSWER = 1 << 20
DENIED = 5  # exit code of a call that was not let in, as of the netcom command


def add(request: dict[str, Any]) -> Any:
    numbers = request.get("numbers")
    if not isinstance(numbers, list) or not all(type(it) in (int, float) for it in numbers):
        raise HandlerError("bad_request", "numbers must be a list of numbers")
    return sum(numbers)


def count_words(request: dict[str, Any]) -> Any:
    text = request.get("text")
    if not isinstance(text, str):
        raise HandlerError("bad_request", "text must be a text")
    return len(text.split())


ACTIONS: dict[str, Callable[[dict[str, Any]], Any]] = {"add": add, "count_words": count_words}


async def serve(key: NetID, allow: list[NetID]) -> None:
    async def answer(request: Request) -> bytes:
        if len(request.body) > MAX_REQUEST:
            raise HandlerError("too_large", f"a request has at most {MAX_REQUEST} bytes")
        try:
            asked = json.loads(request.body)
        except (ValueError, RecursionError):
            raise HandlerError("bad_request", "that is not JSON") from None
        action = ACTIONS.get(str(asked.get("action"))) if isinstance(asked, dict) else None
        if action is None:
            raise HandlerError("no_such_action", "no such action", known=", ".join(ACTIONS))
        return json.dumps({"result": action(asked)}).encode()

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Node.create(netid=key, role=NodeRole.SERVER) as node:
        node.allow(allow or None)
        node.on_request(answer)
        print(f"serving as: {key}\nticket: {node.ticket}", flush=True)
        await stop.wait()
        await node.drain(within=5)


async def call(to: str, key: NetID, body: str, timeout: float) -> Any:
    async with Node.create(netid=key) as node, node.connect(to, timeout=timeout) as connection:
        answer = connection.request(body.encode(), timeout=timeout, max_answer=MAX_ANSWER)
        return json.loads(await answer)


def own_key(path: Path) -> NetID:
    """The secret of this entity, made the first time."""
    if not path.exists():
        with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(NetID.generate().export_secret())
    return NetID.from_secret(path.read_bytes())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    server = commands.add_parser("serve", help="answer requests")
    server.add_argument(
        "--allow",
        type=NetID.from_string,
        action="append",
        default=[],
        metavar="NETID",
        help="answer this entity; can be given again (everybody)",
    )
    caller = commands.add_parser("call", help="make one request and print the answer")
    caller.add_argument("to", metavar="TO", help="the NetID or ticket of the service")
    caller.add_argument("body", metavar="JSON", help="""as '{"action": "add", "numbers": [1]}'""")
    caller.add_argument(
        "--timeout", type=float, default=10, metavar="SECONDS", help="for each step (10)"
    )
    identity = commands.add_parser("id", help="print the own NetID, for others to allow")
    for name, command in (("server", server), ("caller", caller), ("caller", identity)):
        command.add_argument(
            "--key",
            type=Path,
            default=f"{name}.key",
            metavar="FILE",
            help=f"the own secret; made if there is none ({name}.key)",
        )
    args = parser.parse_args()
    try:
        key = own_key(args.key)
        if args.command == "serve":
            asyncio.run(serve(key, args.allow))
        elif args.command == "call":
            print(json.dumps(asyncio.run(call(args.to, key, args.body, args.timeout))))
        else:
            print(key)
    except AccessDenied as error:
        print(f"{error.code}: {error}", file=sys.stderr)
        sys.exit(DENIED)
    except RemoteError as error:
        sys.exit(" ".join([f"{error.code}: {error}", *error.context.values()]))
    except (NetComError, OSError, ValueError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
