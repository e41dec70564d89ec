"""A directory: gives and takes names over HTTPS, first come first served.

    python directory_server.py --certificate cert.pem --secret key.pem --store names.json

It prints its url and key, for ``Node.create(directories={"netcom": (url, key, certificate)})``.
``GET /v1/names/NAME`` gives the name's signed entry; ``POST`` takes what ``netcom id publish NAME``
prints, a document that lists the name. The name stays with the entity that signed it, also when
that rotates its key.
"""

import argparse
import json
import os
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from netcom import NetID
from netcom.directory import read_document, sign_entry

PATH, LONGEST, MOST_NAMES = "/v1/names/", 16 * 1024, 100_000


class Directory:
    """The names, and the key that signs them, in a file that nobody else can read."""

    def __init__(self, store: Path, suffix: str = "netcom") -> None:
        self._store, self._lock = store, threading.Lock()
        self._suffix = f".{suffix}"
        state = json.loads(store.read_text()) if store.exists() else {"names": {}}
        secret = state.get("secret")
        self.key = NetID.from_secret(bytes.fromhex(secret)) if secret else NetID.generate()
        self._names: dict[str, dict[str, Any]] = state["names"]
        self._save()

    def give(self, path: str) -> tuple[int, str]:
        name = path.removeprefix(PATH)
        try:
            return 200, sign_entry(self.key, name, self._names[name]["document"])
        except (KeyError, ValueError):  # nobody has it, or the document has expired
            return 404, ""

    def take(self, path: str, text: str) -> tuple[int, str]:
        name, new = path.removeprefix(PATH), read_document(text)
        if name not in new.names or not name.endswith(self._suffix):
            return 400, "the document does not list that name\n"
        entry = {"owner": str(new.netid), "sequence": new.sequence, "document": text}
        with self._lock:
            old = self._names.get(name, entry)
            is_full = old is entry and len(self._names) >= MOST_NAMES
            if is_full or not new.replaces(old["owner"], old["sequence"]):
                return 409, "somebody has the name, or its document is newer, or all is full\n"
            self._names[name] = entry
            self._save()
        return 200, ""

    def _save(self) -> None:
        state = {"secret": self.key.export_secret().hex(), "names": self._names}
        new = self._store.with_suffix(".new")
        new.write_text(json.dumps(state))
        new.replace(self._store)


class Handler(BaseHTTPRequestHandler):
    directory: Directory
    timeout = 10

    def do_GET(self) -> None:
        self._answer(*self.directory.give(self.path))

    def do_POST(self) -> None:
        try:
            length = max(0, min(int(self.headers.get("content-length", "0")), LONGEST))
            self._answer(*self.directory.take(self.path, self.rfile.read(length).decode()))
        except ValueError as error:
            self._answer(400, f"{error}\n")

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A directory of names, over HTTPS.")
    parser.add_argument("--port", type=int, default=0)
    for option in ("--store", "--certificate", "--secret"):
        parser.add_argument(option, type=Path, required=True)
    given = parser.parse_args()
    os.umask(0o077)  # nobody else reads the store
    Handler.directory = Directory(given.store)
    server = ThreadingHTTPServer(("127.0.0.1", given.port), Handler)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(given.certificate, given.secret)
    # Each handshake is in its own thread and has its timeout, so that nobody waits for another.
    server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    print(f"https://127.0.0.1:{server.server_port} {Handler.directory.key}", flush=True)
    server.serve_forever()
