"""What happens at a node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from ._native import Multiaddr, NetID, PeerId


@dataclass(frozen=True)
class NodeEvent:
    """Something that happened at a node; facts that its kind does not have are empty.

    >>> events = node.events()
    >>> await connection.close()
    >>> async for event in events:
    ...     if event.kind == "disconnected":
    ...         print(event.peer_id == server.peer_id, event.is_by_peer)
    ...         break
    True False
    """

    kind: str
    """``listening``, ``published``, ``addresses_changed`` (of this machine), ``connected``,
    ``detached`` (no link is left, and the node dials again), ``resumed``, ``link_up``,
    ``link_suspect`` (it does not answer), ``link_answers`` (again), ``link_down``,
    ``disconnected``, ``claim_refused``, ``draining``, ``closed`` or ``lagged``; later versions may
    tell more."""
    peer_id: PeerId | None = None
    """The peer."""
    netids: Sequence[NetID] = ()
    """The entities it proved to speak for, or claims to."""
    addresses: Sequence[Multiaddr] = ()
    """Where the node listens, or said it is, or where a link leads."""
    link: int | None = None
    """The number of a link in its session."""
    transport: str = ""
    """What carries a link: ``tcp`` or ``quic``."""
    is_inbound: bool = False
    """Whether the peer dialled."""
    is_by_peer: bool = False
    """Whether the peer ended the session."""
    code: str = ""
    """Why the session ended, or a link."""
    reason: str = ""
    """The same for a person."""
    gone: Sequence[IPv4Address | IPv6Address] = ()
    """Addresses this machine has no more, after ``addresses_changed``."""
    come: Sequence[IPv4Address | IPv6Address] = ()
    """Addresses it did not have before."""
    missed: int = 0
    """Events that were dropped because this listener was too slow."""
