"""Connections addressed by identity: name whom you talk to, never where they are.

    >>> import asyncio
    >>> from netcom import NetID, Node, NodeRole
    >>> async def main():
    ...     alice = NetID.generate()
    ...     async with Node.create(netid=alice, role=NodeRole.SERVER, discovery="host") as server:
    ...         @server.on_request
    ...         async def answer(request):
    ...             return b"hello, " + request.body
    ...         async with Node.create(discovery="host") as node:
    ...             connection = await node.connect_to_netid(alice)
    ...             return await connection.request(b"bob")
    >>> asyncio.run(main())
    b'hello, bob'

In the examples of what is below, ``node`` is a node, and ``connection`` its connection to
``server``, a node of the entity ``alice``; they await at the top, as ``python -m asyncio`` does.

Everything that opens something works with ``await`` and with ``async with``. Errors derive from
:class:`~netcom.errors.NetComError` and from the builtin that people catch, such as
:class:`ConnectionError`.
"""

import os as _os

from ._native import (
    Commander,
    Identity,
    LinkInfo,
    Multiaddr,
    NetID,
    Path,
    Payload,
    PeerId,
    Request,
    Stats,
    XAuth,
    after_fork as _after_fork,
)
from .connection import Connection
from .errors import (
    AccessDenied,
    BadArgument,
    ConnectionLost,
    ConnectionTimeout,
    DataDirDenied,
    DataDirError,
    KeyFileDenied,
    KeyFileError,
    KeyFileExists,
    KeyFileMissing,
    NameRefused,
    NetComError,
    NodeError,
    NotFound,
    PayloadTooLarge,
    PeerUnreachable,
    RemoteError,
    RequestTimeout,
    StreamEnded,
    WrongProcess,
)
from .events import NodeEvent
from .node import NetworkNode, Node, NodeRole
from .serving import HandlerError, RequestService, StreamService
from .streams import ByteStream, MessageStream, StreamError, XStream

__all__ = [
    "AccessDenied",
    "BadArgument",
    "ByteStream",
    "Commander",
    "Connection",
    "ConnectionLost",
    "ConnectionTimeout",
    "DataDirDenied",
    "DataDirError",
    "HandlerError",
    "Identity",
    "KeyFileDenied",
    "KeyFileError",
    "KeyFileExists",
    "KeyFileMissing",
    "LinkInfo",
    "MessageStream",
    "Multiaddr",
    "NameRefused",
    "NetComError",
    "NetID",
    "NetworkNode",
    "Node",
    "NodeError",
    "NodeEvent",
    "NodeRole",
    "NotFound",
    "Path",
    "Payload",
    "PayloadTooLarge",
    "PeerId",
    "PeerUnreachable",
    "RemoteError",
    "Request",
    "RequestService",
    "RequestTimeout",
    "Stats",
    "StreamEnded",
    "StreamError",
    "StreamService",
    "WrongProcess",
    "XAuth",
    "XStream",
]

if hasattr(_os, "register_at_fork"):
    _os.register_at_fork(after_in_child=_after_fork)
