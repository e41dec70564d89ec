"""What goes wrong, each with a stable ``code``, a ``hint`` and whether it is ``retryable``.

Every class is a :class:`NetComError` and also the builtin that people catch:

>>> issubclass(PeerUnreachable, ConnectionError)
True
>>> issubclass(RequestTimeout, TimeoutError)
True
>>> issubclass(ConnectionTimeout, RequestTimeout) and issubclass(ConnectionTimeout, ConnectionError)
True
>>> issubclass(KeyFileMissing, KeyFileError) and issubclass(KeyFileMissing, FileNotFoundError)
True
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = [
    "AccessDenied",
    "BadArgument",
    "ConnectionLost",
    "ConnectionTimeout",
    "DataDirDenied",
    "DataDirError",
    "KeyFileDenied",
    "KeyFileError",
    "KeyFileExists",
    "KeyFileMissing",
    "NameRefused",
    "NetComError",
    "NodeError",
    "NotFound",
    "PayloadTooLarge",
    "PeerUnreachable",
    "RemoteError",
    "RequestTimeout",
    "StreamEnded",
    "WrongProcess",
]


class NetComError(Exception):
    """The base of all errors of netcom."""

    code: str
    """A stable name of what went wrong."""
    hint: str | None
    """What may help."""
    retryable: bool
    """Whether doing the same again can work and repeats nothing."""

    def __init__(
        self,
        message: str,
        *,
        code: str = "error",
        hint: str | None = None,
        retryable: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.hint = hint
        self.retryable = retryable

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message


class NodeError(NetComError, OSError):
    """A node cannot be made or cannot listen."""


class DataDirError(NodeError):
    """A data directory, or what it remembers, cannot be used."""


class DataDirDenied(DataDirError, PermissionError):
    """A data directory is another user's, or open to others."""


class KeyFileError(NodeError):
    """A key, or a proof in place of one, cannot be read or kept."""


class KeyFileMissing(KeyFileError, FileNotFoundError):
    """There is no such key, or no identity in the data directory."""


class KeyFileExists(KeyFileError, FileExistsError):
    """There is a key already, and it is not replaced."""


class KeyFileDenied(KeyFileError, PermissionError):
    """A file of keys is another user's, open to others, or under another passphrase."""


class BadArgument(NetComError, ValueError):
    """An argument makes no sense, or a text names nobody."""


class PeerUnreachable(NetComError, ConnectionError):
    """No node of those named could be reached."""


class NotFound(PeerUnreachable, LookupError):
    """Nobody of that name was found; the message says where was looked."""


class NameRefused(PeerUnreachable):
    """Something speaks against what is said of the name: the message says what, and who can mend
    it."""


class AccessDenied(NetComError, PermissionError):
    """The peer does not admit this node."""


class RequestTimeout(NetComError, TimeoutError):
    """No answer came in time."""


class ConnectionTimeout(RequestTimeout, ConnectionError):
    """No answer came in time, and no link to the peer worked when the time was over: its node is
    gone, or the network between is cut. Whether a request was seen is not known, unless the error
    is ``retryable``; connecting can be tried again in any case."""


class ConnectionLost(NetComError, ConnectionResetError):
    """The connection ended, or the peer gave the stream up."""


class StreamEnded(NetComError, EOFError):
    """The stream was finished before."""


class WrongProcess(NetComError, RuntimeError):
    """This was made before the process forked: its threads stayed in the parent."""


class PayloadTooLarge(NetComError, ValueError):
    """A message or an answer is longer than allowed."""


class RemoteError(NetComError, RuntimeError):
    """The peer's handler failed, and says how."""

    context: Mapping[str, str]
    """Facts the handler added."""

    def __init__(
        self,
        message: str,
        *,
        code: str = "remote",
        hint: str | None = None,
        retryable: bool = False,
        context: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, code=code, hint=hint, retryable=retryable)
        self.context = dict(context or {})


_CLASSES: dict[str, type[NetComError]] = {
    "answer_too_large": PayloadTooLarge,
    "answer_too_long": PayloadTooLarge,
    "bad_argument": BadArgument,
    "bad_document": BadArgument,
    "bad_name": BadArgument,
    "bad_netid": BadArgument,
    "bad_representation": BadArgument,
    "bad_request": BadArgument,
    "bad_scope": BadArgument,
    "certificate": NodeError,
    "client_listens": BadArgument,
    "closed": ConnectionLost,
    "config": BadArgument,
    "data_dir_damaged": DataDirError,
    "data_dir_foreign": DataDirDenied,
    "data_dir_in_use": DataDirError,
    "data_dir_io": DataDirError,
    "data_dir_newer": DataDirError,
    "data_dir_open_to_others": DataDirDenied,
    "data_dir_unknown": DataDirError,
    "delegation_refused": AccessDenied,
    "denied": AccessDenied,
    "event_log": NodeError,
    "file_busy": KeyFileError,
    "file_exists": KeyFileExists,
    "file_foreign": KeyFileDenied,
    "file_io": KeyFileError,
    "file_missing": KeyFileMissing,
    "file_open_to_others": KeyFileDenied,
    "file_too_long": KeyFileError,
    "finished": StreamEnded,
    "full": PeerUnreachable,
    "identity_exists": KeyFileExists,
    "key_corrupted": KeyFileError,
    "key_log": NodeError,
    "key_newer": KeyFileError,
    "key_truncated": KeyFileError,
    "key_wrong_purpose": KeyFileError,
    "listen": NodeError,
    "local_and_cloud": BadArgument,
    "malformed": ConnectionLost,
    "memory": KeyFileError,
    "metrics_open": NodeError,
    "metrics_socket": NodeError,
    "name_bad_answer": NameRefused,
    "name_bad_directory": NameRefused,
    "name_bogus": NameRefused,
    "name_busy": PeerUnreachable,
    "name_changed": NameRefused,
    "name_different": NameRefused,
    "name_directory_silent": PeerUnreachable,
    "name_no_directory": NotFound,
    "name_not_claimed": NameRefused,
    "name_not_in_directory": NotFound,
    "name_offline": NotFound,
    "name_pin": DataDirError,
    "name_replaced": NameRefused,
    "name_replayed": NameRefused,
    "name_suffix_alone": NotFound,
    "name_unknown": NotFound,
    "name_unproven": NameRefused,
    "name_unsupported": NotFound,
    "no_data_dir": BadArgument,
    "no_identity": KeyFileMissing,
    "no_link": ConnectionTimeout,
    "no_other_node": NotFound,
    "no_petnames": NotFound,
    "no_proof": AccessDenied,
    "no_room": PayloadTooLarge,
    "no_such_service": NotFound,
    "not_a_file": KeyFileError,
    "not_an_entity": BadArgument,
    "not_found": NotFound,
    "not_represented": AccessDenied,
    "other_entity": BadArgument,
    "overloaded": PeerUnreachable,
    "passphrase_missing": KeyFileDenied,
    "passphrase_wrong": KeyFileDenied,
    "proof_missing": KeyFileError,
    "proof_older": KeyFileExists,
    "proof_refused": AccessDenied,
    "protocol_too_long": BadArgument,
    "random": NodeError,
    "refused": PeerUnreachable,
    "remote": RemoteError,
    "reset": ConnectionLost,
    "self_dial": BadArgument,
    "session_ended": ConnectionLost,
    "stopped": StreamEnded,
    "timeout": RequestTimeout,
    "too_large": PayloadTooLarge,
    "too_many_devices": KeyFileError,
    "unknown_device": BadArgument,
    "unknown_petname": NotFound,
    "unknown_protocol": NotFound,
    "unreachable": PeerUnreachable,
    "wrong_peer": PeerUnreachable,
    "wrong_process": WrongProcess,
}
"""Of every code of the core, and of those that only this package has."""


_HINTS: dict[str, str] = {
    "data_dir_foreign": "name another data directory: Node.create(data_dir=…)",
    "data_dir_newer": "name another data directory: Node.create(data_dir=…)",
    "delegation_refused": "admit it where the key is, or with fewer delegations= here",
    "denied": "ask the peer's owner for node.allow([…]) with this node's NetID or PeerId",
    "identity_exists": "accept(proof, replace=True) if the proof there is to go",
    "name_unsupported": "use a NetID, a ticket or a petname",
    "no_identity": "Identity(…).create() makes one, accept(proof) takes a proof",
    "no_petnames": "Node.create(data_dir=…)",
    "proof_older": "accept(proof, replace=True) if the older one is meant",
    "proof_refused": "Identity(…).enroll(…) on this machine, and admit(…) where the key is",
    "self_dial": "ask from a node of its own identity: Node.create(identity=NetID.generate())",
    "unreachable": "check that the node runs; if it has moved, ask for a new ticket",
}
"""What helps in Python, where the core speaks of its command."""


def _make(
    message: str,
    code: str,
    hint: str | None,
    retryable: bool,
    remote: str | None,
    context: Mapping[str, str],
) -> NetComError:
    """Makes the exception for an error of the core."""
    if remote is not None:
        return RemoteError(message, code=remote, hint=hint, retryable=retryable, context=context)
    # What has no hint has none here, too.
    hint = hint and _HINTS.get(code, hint)
    return _CLASSES.get(code, NetComError)(message, code=code, hint=hint, retryable=retryable)
