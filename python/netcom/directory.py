"""What is signed for directories and by them, for whoever runs one or is listed in one.

An entity signs a document with its names; the directory signs that a name leads to the document,
and a node believes both:

    >>> from netcom import NetID
    >>> alice, directory = NetID.generate(), NetID.generate()
    >>> document = sign_document(alice, "alice.netcom")
    >>> answer = sign_entry(directory, "alice.netcom", document)
    >>> read_entry(directory, "alice.netcom", answer).netid == alice
    True

The contract of a directory's server is docs/protocol/names.md.
"""

from __future__ import annotations

from collections.abc import Iterable

from . import _native
from ._native import Document, Multiaddr, NetID

__all__ = ["Document", "read_document", "read_entry", "sign_document", "sign_entry"]


def sign_document(
    netid: NetID,
    *names: str,
    days: int = 90,
    hints: Iterable[Multiaddr | str] = (),
    successor: NetID | None = None,
    sequence: int | None = None,
) -> str:
    """Signs that names lead to ``netid``, which is here with its secret: at most one domain, which
    comes first, and names of directories. ``hints`` are addresses of its nodes. ``successor`` takes
    the place of ``netid``, which speaks for nobody from then on. ``sequence`` is the document's
    number, by default the seconds since 1970: it takes the place of those with lower ones.

    What it returns is what a directory takes, and what a domain serves. It knows nothing of proofs
    that were taken back and of keys before: for those, ``netcom id publish`` where that was done.
    """
    texts = [str(hint) for hint in hints]
    return _native.sign_document(netid, list(names), days, texts, successor, sequence)


def read_document(text: str) -> Document:
    """Checks what :func:`sign_document` returned: the signature, and that it is valid now."""
    return _native.read_document(text)


def sign_entry(directory: NetID, name: str, document: str, *, seconds: int = 24 * 3600) -> str:
    """Signs, with the key of a directory, that ``name`` leads to the entity of ``document``, which
    has to list the name, for so many seconds, a week at most.

    What it returns is what the directory's server gives for the name.
    """
    return _native.sign_entry(directory, name, document, seconds)


def read_entry(
    directory: NetID | str, name: str, answer: str, *, at: int | None = None
) -> Document:
    """Checks what a directory gave for a name, as a node does, ``at`` a second since 1970, by
    default now, and returns what the entity says."""
    return _native.read_entry(directory, name, answer, at)
