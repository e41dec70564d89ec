"""
The native half of netcom. Import `netcom` instead.
"""

from _typeshed import SupportsGetItem
from os import PathLike
from typing import Any, SupportsFloat, SupportsIndex, final
from typing_extensions import disjoint_base

__all__ = ["ByteStream", "Commander", "Connection", "Counters", "Document", "Events", "Identity", "Incoming", "IncomingStreams", "Limits", "LinkInfo", "MessageStream", "Multiaddr", "NetID", "Node", "Operation", "Path", "Payload", "PeerId", "PeerInfo", "Reply", "Request", "ServiceHandle", "SessionInfo", "Stats", "StreamInfo", "XAuth", "XStream", "after_fork", "read_document", "read_entry", "sign_document", "sign_entry"]

@disjoint_base
class ByteStream:
    """
    A stream of bytes in both directions.
    """
    def finish(self, /) -> Operation: ...
    def next_error(self, /) -> Operation:
        """
        The error's code, message and context; `None` once there will be no more.
        """
    def read(self, /, max: SupportsIndex, view: bool) -> Operation:
        """
        Nothing at the end.
        """
    def read_to_end(self, /, limit: SupportsIndex, view: bool) -> Operation: ...
    def reset(self, /, code: SupportsIndex) -> Operation: ...
    def write(self, /, data: Any) -> Operation: ...

@final
class Commander:
    """
    Looks at what a node has, and ends parts of it.

    ```python
    >>> commander = node.commander
    >>> [peer.peer_id for peer in commander.peers()] == [server.peer_id]
    True
    >>> [session.state for session in commander.sessions()]
    ['live']
    >>> commander.limit_peer(server.peer_id, 1_000_000)
    1

    ```
    """
    def close_link(self, /, session: SupportsIndex, link: SupportsIndex) -> bool:
        """
        Ends one link in order; its session goes on with others, or dials anew. False if there is
        none of those numbers.
        """
    def close_peer(self, /, peer_id: PeerId, reason: str = "") -> int:
        """
        Ends all sessions with a peer, and tells how many.
        """
    def close_session(self, /, id: SupportsIndex, reason: str = "") -> bool:
        """
        Ends a session: what was finished arrives first. False if there is none of that number.
        """
    def counters(self, /) -> Counters:
        """
        What was counted since the node was made.
        """
    def limit_peer(self, /, peer_id: PeerId, bytes_per_second: SupportsIndex | None) -> int:
        """
        Limits how fast the node sends to a peer, from now on and in each session there is with it;
        `None` for as fast as it can. Tells how many sessions.
        """
    def limits(self, /) -> Limits:
        """
        What the node and its peers may use.
        """
    def links(self, /) -> list[LinkInfo]:
        """
        The links of all sessions.
        """
    def panics(self, /) -> int:
        """
        Panics that were caught. Each is a bug and ended one request, stream or session alone.
        """
    def peers(self, /) -> list[PeerInfo]:
        """
        The peers with which there are sessions.
        """
    def sessions(self, /) -> list[SessionInfo]:
        """
        The sessions.
        """
    def streams(self, /) -> list[StreamInfo]:
        """
        The streams that this side holds.
        """

@final
class Connection:
    """
    A connection to a node.
    """
    def bytes_stream(self, /) -> Operation: ...
    def close(self, /, code: SupportsIndex, reason: str) -> Operation: ...
    def incoming_streams(self, /) -> IncomingStreams: ...
    def links(self, /) -> list[LinkInfo]: ...
    def msg_stream(self, /) -> Operation: ...
    def netid(self, /) -> NetID | None: ...
    def path(self, /) -> Path: ...
    def peer_id(self, /) -> PeerId: ...
    def ping(self, /) -> Operation: ...
    def request(self, /, body: Any, timeout: SupportsFloat | SupportsIndex | None, service: str | None, max_answer: SupportsIndex | None, view: bool) -> Operation: ...
    def stats(self, /) -> Stats: ...
    def x_stream(self, /, service: str | None) -> Operation: ...
    def xauth(self, /) -> XAuth: ...

@final
class Counters:
    """
    What a node has counted since it was made.
    """
    @property
    def half_open(self, /) -> int:
        """
        Handshakes under way.
        """
    @property
    def handshakes_crowded_out(self, /) -> int:
        """
        Handshakes that had to make room for others.
        """
    @property
    def handshakes_failed(self, /) -> int:
        """
        Handshakes that failed: a bad certificate, no common algorithm.
        """
    @property
    def handshakes_unfinished(self, /) -> int:
        """
        Connections that ended or went silent before a whole handshake.
        """
    @property
    def links_accepted(self, /) -> int:
        """
        Links that were accepted and authenticated.
        """
    @property
    def panics(self, /) -> int:
        """
        Panics that were caught. Each is a bug and ended one request, stream or session alone.
        """

@final
class Document:
    """
    What an entity says about itself, checked.
    """
    @property
    def expires(self, /) -> int:
        """
        Seconds since 1970; invalid from this second on.
        """
    @property
    def names(self, /) -> list[str]:
        """
        The names that lead to the entity, the primary one first.
        """
    @property
    def netid(self, /) -> NetID:
        """
        Who signed it.
        """
    def replaces(self, /, netid: Any, sequence: SupportsIndex) -> bool:
        """
        Whether it takes the place of what `netid` said with the number `sequence`: the same key
        says it with that number or a higher one, or one that the key before named its successor.
        """
    @property
    def sequence(self, /) -> int:
        """
        Later documents have higher ones.
        """

@final
class Events:
    """
    The events of a node, from the moment on at which it was asked for them.
    """
    def next(self, /) -> Operation:
        """
        The next event as its kind and its facts; `None` when the node is gone.
        """

@final
class Identity:
    """
    Who a data directory is, and whom it lets in. The calls read and write files.

    ```python
    >>> owner, server = Identity(folder / "owner"), Identity(folder / "server")
    >>> alice = owner.create()
    >>> server.accept(owner.admit(server.enroll(alice))) == alice
    True

    ```
    """
    def __new__(cls, /, data_dir: str | PathLike[str]) -> Identity:
        """
        Opens a data directory, which is made if it is not there.
        """
    def accept(self, /, proof: str, replace: bool = False) -> NetID:
        """
        Takes the answer of `admit`.
        """
    def admit(self, /, request: str, days: SupportsIndex = ..., delegations: SupportsIndex = ...) -> str:
        """
        Answers the text of `enroll` with one that is a proof, for so many days (90), by which so
        many further ones may be let in, each by the one before (1).
        """
    def create(self, /) -> NetID:
        """
        Makes the key that is the identity; there must be none.
        """
    def enroll(self, /, netid: Any | None = None, label: str = "") -> str:
        """
        A text that asks to let this directory's nodes speak for an entity.
        """
    @property
    def netid(self, /) -> NetID | None:
        """
        For whom nodes of this directory speak, by a key or by a proof.
        """

@final
class Incoming:
    """
    The connections that peers open.
    """
    def next(self, /) -> Operation:
        """
        The next connection; `None` once the node is closed.
        """

@final
class IncomingStreams:
    """
    The streams the peer opens.
    """
    def next(self, /) -> Operation:
        """
        The next stream's kind and itself; `None` once there will be no more.
        """

@final
class Limits:
    """
    What a node and its peers may use.
    """
    @property
    def memory(self, /) -> int | None:
        """
        Bytes of memory that all sessions may take together; `None` for a quarter of the machine's.
        """
    @property
    def resume_seconds(self, /) -> float:
        """
        Seconds that a session without a link waits for one.
        """
    @property
    def sessions(self, /) -> int:
        """
        Sessions in all.
        """
    @property
    def sessions_per_peer(self, /) -> int:
        """
        Sessions of one peer.
        """
    @property
    def streams_per_session(self, /) -> int:
        """
        Streams that a peer may have open at once.
        """

@final
class LinkInfo:
    """
    A link of a session.

    ```python
    >>> [link.role for link in connection.links()]
    ['active']

    ```
    """
    def __repr__(self, /) -> str: ...
    @property
    def age(self, /) -> float:
        """
        Seconds there has been this link.
        """
    @property
    def bytes_in_flight(self, /) -> int:
        """
        Bytes of streams sent and not acknowledged.
        """
    @property
    def bytes_received(self, /) -> int:
        """
        Bytes of streams received.
        """
    @property
    def bytes_resent(self, /) -> int:
        """
        Bytes of streams sent on it that went to another link too, because it did not answer.
        """
    @property
    def bytes_sent(self, /) -> int:
        """
        Bytes of frames sent.
        """
    @property
    def id(self, /) -> int:
        """
        Its number in the session.
        """
    @property
    def is_active(self, /) -> bool:
        """
        Whether it carries the session's data; others stand by.
        """
    @property
    def is_dialer(self, /) -> bool:
        """
        Whether this side dialled.
        """
    @property
    def is_suspect(self, /) -> bool:
        """
        Whether what was sent on it has had no answer for so long that another link takes over.
        """
    @property
    def kind(self, /) -> str:
        """
        `tcp` or `quic`.
        """
    @property
    def least_rtt(self, /) -> float | None:
        """
        Seconds of the shortest round trip seen.
        """
    @property
    def local(self, /) -> Multiaddr | None:
        """
        This side's address.
        """
    @property
    def packets_lost(self, /) -> int | None:
        """
        Packets of those that were lost and so sent again.
        """
    @property
    def packets_sent(self, /) -> int | None:
        """
        Packets sent, where the transport counts them: QUIC does.
        """
    @property
    def peer_id(self, /) -> PeerId:
        """
        The other side.
        """
    @property
    def reason(self, /) -> str:
        """
        Why it has that role, as a sentence.
        """
    @property
    def remote(self, /) -> Multiaddr | None:
        """
        The other side's address.
        """
    @property
    def role(self, /) -> str:
        """
        `active`, `standby`, `suspect` or `pending`.
        """
    @property
    def rtt(self, /) -> float | None:
        """
        Seconds of a round trip, once known.
        """
    @property
    def session(self, /) -> int:
        """
        Its session's number at this node.
        """

@final
class MessageStream:
    """
    A stream of messages in both directions.
    """
    def finish(self, /) -> Operation: ...
    def read(self, /, view: bool) -> Operation:
        """
        `None` at the end.
        """
    def read_batch(self, /, max: SupportsIndex, view: bool) -> Operation:
        """
        All messages that are here, at least one and at most `max`; none at the end.
        """
    def reset(self, /, code: SupportsIndex) -> Operation: ...
    def write(self, /, message: Any) -> Operation: ...

@final
class Multiaddr:
    """
    An address of a node, as `/ip4/192.0.2.1/tcp/4001/p2p/…`.

    ```python
    >>> Multiaddr("/ip4/192.0.2.1/tcp/4001")
    Multiaddr('/ip4/192.0.2.1/tcp/4001')

    ```
    """
    def __eq__(self, value: object, /) -> bool: ...
    def __hash__(self, /) -> int: ...
    def __ne__(self, value: object, /) -> bool: ...
    def __new__(cls, /, text: str) -> Multiaddr: ...
    def __repr__(self, /) -> str: ...
    def __str__(self, /) -> str: ...

@final
class NetID:
    """
    A name of an entity: its key, or what leads to it. With its secret, a node may speak for it.

    ```python
    >>> alice = NetID.generate()
    >>> NetID.from_string(str(alice)) == alice
    True
    >>> alice.has_secret, NetID.from_string(str(alice)).has_secret
    (True, False)

    ```
    """
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self, /) -> int: ...
    def __reduce__(self, /) -> str: ...
    def __repr__(self, /) -> str: ...
    def __str__(self, /) -> str: ...
    def export_secret(self, /) -> bytes:
        """
        The 32 bytes whoever has can speak for the entity.
        """
    @staticmethod
    def from_domain(text: str) -> NetID:
        """
        Reads a domain, and nothing else. Asks nobody.
        """
    @staticmethod
    def from_secret(secret: bytes) -> NetID:
        """
        Reads a secret of `export_secret`.
        """
    @staticmethod
    def from_string(text: str) -> NetID:
        """
        Reads a key, a PeerId, a petname, a name in a directory or a domain. Asks nobody.
        """
    @staticmethod
    def generate() -> NetID:
        """
        Makes a key with its secret.
        """
    @property
    def has_secret(self, /) -> bool:
        """
        Whether the secret is known here.
        """

@final
class Node:
    """
    One running endpoint.
    """
    def addresses(self, /) -> list: ...
    def allow(self, /, allow: Any | None) -> None:
        """
        Sets who may use the node at all.
        """
    def close(self, /) -> Operation: ...
    def commander(self, /) -> Commander: ...
    def connect(self, /, whom: Any, kind: str | None, service: str | None, needs: dict | None, timeout: SupportsFloat | SupportsIndex | None, failover: bool, links: str | None) -> Operation: ...
    @staticmethod
    def create(settings: dict) -> Operation:
        """
        Makes a node from settings, all of which may be left out.
        """
    def discover_netid(self, /, netid: Any) -> Operation: ...
    def discover_peer_id(self, /, peer: Any) -> Operation: ...
    def drain(self, /, within: SupportsFloat | SupportsIndex) -> Operation: ...
    def events(self, /) -> Events: ...
    def incoming(self, /) -> Incoming: ...
    def netid(self, /) -> NetID | None: ...
    def on_request(self, /, start: Any) -> None:
        """
        Answers requests that name no service by `start`, on the running loop.
        """
    def peer_id(self, /) -> PeerId: ...
    def role(self, /) -> str: ...
    def serve(self, /, name: str, is_of_streams: bool, allow: Any | None, start: Any) -> ServiceHandle:
        """
        Serves `name/version` by `start`, on the running loop: streams, or requests.
        """
    def ticket(self, /) -> str: ...

@final
class Operation:
    """
    Something under way. Await it once; what is dropped is given up.
    """
    def __await__(self, /) -> Operation: ...
    def __iter__(self, /) -> Operation: ...
    def __next__(self, /) -> Any: ...
    def close(self, /) -> None:
        """
        Gives the operation up.
        """
    def send(self, /, _value: Any) -> Any: ...
    def throw(self, /, kind: Any, *rest) -> None:
        """
        Gives the operation up and raises what is thrown.
        """

@final
class Path:
    """
    How a peer is reached, and why so.

    ```python
    >>> connection.path.kind
    'local'
    >>> connection.path.link in ("tcp", "quic")
    True

    ```
    """
    def __repr__(self, /) -> str: ...
    def __str__(self, /) -> str: ...
    @property
    def kind(self, /) -> str:
        """
        `local`, `direct`, `relayed` or `waiting`.
        """
    @property
    def link(self, /) -> str | None:
        """
        `tcp` or `quic`; `None` while no link works.
        """
    @property
    def local(self, /) -> Multiaddr | None:
        """
        This side's address.
        """
    @property
    def reason(self, /) -> str:
        """
        Why this node and this way.
        """
    @property
    def remote(self, /) -> Multiaddr | None:
        """
        The peer's address.
        """
    @property
    def rtt(self, /) -> float | None:
        """
        Seconds of a round trip, once known.
        """
    @property
    def standby(self, /) -> int:
        """
        Links that stand by.
        """
    @property
    def text(self, /) -> str:
        """
        All of it in one line for a person: the kind, what carries it, the round trip, and why.
        """

@final
class Payload:
    """
    Received bytes, not copied: a read-only buffer. `bytes(payload)` copies them, and
    `memoryview(payload)` looks at them.

    ```python
    >>> answer = await connection.request(b"hello", view=True)
    >>> bytes(memoryview(answer)[:5])
    b'hello'

    ```
    """
    def __bytes__(self, /) -> bytes: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self, /) -> int:
        """
        The same as that of the `bytes` it is equal to.
        """
    def __len__(self, /) -> int: ...
    def __repr__(self, /) -> str: ...

@final
class PeerId:
    """
    A name of one node.

    ```python
    >>> PeerId(str(node.peer_id)) == node.peer_id
    True

    ```
    """
    def __eq__(self, value: object, /) -> bool: ...
    def __hash__(self, /) -> int: ...
    def __ne__(self, value: object, /) -> bool: ...
    def __new__(cls, /, text: str) -> PeerId: ...
    def __repr__(self, /) -> str: ...
    def __str__(self, /) -> str: ...

@final
class PeerInfo:
    """
    A peer with which there is a session.
    """
    @property
    def addresses(self, /) -> list[Multiaddr]:
        """
        Where it is known to be.
        """
    @property
    def bytes_received(self, /) -> int:
        """
        Bytes received from it.
        """
    @property
    def bytes_sent(self, /) -> int:
        """
        Bytes sent to it since this node was made.
        """
    @property
    def netids(self, /) -> list[NetID]:
        """
        The entities it proved to speak for.
        """
    @property
    def peer_id(self, /) -> PeerId:
        """
        Who it is.
        """
    @property
    def sessions(self, /) -> int:
        """
        Sessions with it.
        """

@final
class Reply:
    """
    Where a handler's answer goes.
    """
    def __call__(self, /, _task: Any) -> None:
        """
        Called when the handler's task is done: what was not answered by then will not be.
        """
    def fail(self, /, code: str, message: str, context: dict) -> None: ...
    def send(self, /, body: Any) -> None: ...

@final
class Request:
    """
    What a peer asks, and who it is.

    ```python
    >>> @server.on_request
    ... async def answer(request):
    ...     return request.body + b" of " + str(request.peer_id).encode()
    >>> await connection.request(b"cat") == b"cat of " + str(node.peer_id).encode()
    True

    ```
    """
    @property
    def body(self, /) -> bytes:
        """
        What was asked, as bytes that are copied each time.
        """
    @property
    def netids(self, /) -> list[NetID]:
        """
        The entities that node has proven to speak for.
        """
    @property
    def peer_id(self, /) -> PeerId:
        """
        The node that asks; it has proven to be that.
        """
    @property
    def view(self, /) -> Payload:
        """
        What was asked, not copied: a read-only buffer.
        """

@final
class ServiceHandle:
    """
    A service that a node serves, until it is withdrawn.
    """
    def withdraw(self, /) -> None:
        """
        Serves no new ones. Those under way go on.
        """

@final
class SessionInfo:
    """
    A session.
    """
    @property
    def bytes_per_second(self, /) -> int | None:
        """
        Bytes of stream data a second that this side may send; `None` for as fast as it can.
        """
    @property
    def bytes_received(self, /) -> int:
        """
        Bytes of streams received for the first time.
        """
    @property
    def bytes_repeated(self, /) -> int:
        """
        Bytes of streams received again, after links died.
        """
    @property
    def bytes_sent(self, /) -> int:
        """
        Bytes of frames sent, over all links.
        """
    @property
    def bytes_unacknowledged(self, /) -> int:
        """
        Bytes kept until the peer acknowledges them.
        """
    @property
    def connections(self, /) -> int:
        """
        Connections of this side that hold it.
        """
    @property
    def id(self, /) -> int:
        """
        Its number at this node.
        """
    @property
    def links(self, /) -> int:
        """
        Its links.
        """
    @property
    def peer_id(self, /) -> PeerId:
        """
        The other side.
        """
    @property
    def state(self, /) -> str:
        """
        `attaching`, `live`, `detached`, `closing` or `closed`.
        """
    @property
    def streams(self, /) -> int:
        """
        Streams that have not ended.
        """

@final
class Stats:
    """
    What was counted between two nodes, for all connections that share a session with the peer.

    ```python
    >>> before = connection.stats.streams_opened
    >>> answer = await connection.request(b"hello")
    >>> connection.stats.streams_opened - before
    1

    ```
    """
    def __repr__(self, /) -> str: ...
    @property
    def bytes_received(self, /) -> int:
        """
        Bytes of streams, requests and answers received for the first time.
        """
    @property
    def bytes_repeated(self, /) -> int:
        """
        Bytes of those that were received again, after links died.
        """
    @property
    def bytes_sent(self, /) -> int:
        """
        Bytes of frames sent, over all links; what the transports add is not counted.
        """
    @property
    def bytes_unacknowledged(self, /) -> int:
        """
        Bytes kept until the peer acknowledges them.
        """
    @property
    def datagrams_dropped(self, /) -> int:
        """
        Datagrams that were dropped, either way.
        """
    @property
    def rtt(self, /) -> float | None:
        """
        Seconds of a round trip, smoothed; `None` while no link works or none was measured.
        """
    @property
    def state(self, /) -> str:
        """
        `attaching`, `live`, `detached`, `closing` or `closed`.
        """
    @property
    def streams(self, /) -> int:
        """
        Streams that have not ended, requests among them.
        """
    @property
    def streams_opened(self, /) -> int:
        """
        Streams this side has opened, requests among them.
        """

@final
class StreamInfo:
    """
    A stream.
    """
    @property
    def bytes_acknowledged(self, /) -> int:
        """
        Bytes of those that arrived.
        """
    @property
    def bytes_written(self, /) -> int:
        """
        Bytes written by this side.
        """
    @property
    def id(self, /) -> int:
        """
        Its number in the session.
        """
    @property
    def is_local(self, /) -> bool:
        """
        Whether this side opened it.
        """
    @property
    def peer_id(self, /) -> PeerId:
        """
        The other side.
        """
    @property
    def protocol(self, /) -> str:
        """
        The protocol's name.
        """
    @property
    def session(self, /) -> int:
        """
        Its session's number at this node.
        """

@final
class XAuth:
    """
    What a peer has proven of itself.

    ```python
    >>> alice in connection.xauth.netids
    True

    ```
    """
    def __eq__(self, value: object, /) -> bool: ...
    def __ne__(self, value: object, /) -> bool: ...
    def __repr__(self, /) -> str: ...
    @property
    def netids(self, /) -> list[NetID]:
        """
        The entities it speaks for.
        """
    @property
    def peer_id(self, /) -> PeerId:
        """
        The node.
        """

@final
class XStream(ByteStream):
    """
    A stream of bytes with errors beside them, in both directions.
    """
    def send_error(self, /, code: str, message: str, context: dict) -> Operation: ...

def after_fork() -> None:
    """
    Called in the child of a fork, which begins without threads.
    """

def read_document(text: str) -> Document:
    """
    Checks what `sign_document` returned: the signature, and that it is valid now.
    """

def read_entry(directory: Any, name: str, answer: str, at: SupportsIndex | None) -> Document:
    """
    Checks what a directory gave for a name, as of a second since 1970, by default now.
    """

def sign_document(netid: NetID, names: SupportsGetItem[int, str], days: SupportsIndex, hints: SupportsGetItem[int, str], successor: Any | None, sequence: SupportsIndex | None) -> str:
    """
    Signs that names lead to the entity whose secret `netid` holds, for so many days, and returns
    the JSON that web servers and directories take. Its number is by default the time.
    """

def sign_entry(directory: NetID, name: str, document: str, seconds: SupportsIndex) -> str:
    """
    Signs, with the key of a directory, that a name leads to the entity of a document, for so many
    seconds, and returns the JSON that the directory's server gives for the name.
    """
