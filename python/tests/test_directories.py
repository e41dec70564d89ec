"""Directories: names that lead to entities, by the example's server over HTTPS on loopback."""

import atexit
import json
import ssl
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from netcom import BadArgument, NetID, Node, NodeRole
from netcom.directory import read_document, read_entry, sign_document, sign_entry
from netcom.errors import NameRefused, NetComError, NotFound, PeerUnreachable

SERVER = Path(__file__).parents[2] / "examples/python/directory_server.py"
# An authority of the tests, and a certificate for 127.0.0.1 that it vouches for, made each time.
_folder = tempfile.TemporaryDirectory()
atexit.register(_folder.cleanup)
AUTHORITY, CERTIFICATE = Path(_folder.name, "authority.pem"), Path(_folder.name, "server.pem")
_authority = trustme.CA()
_authority.cert_pem.write_to_path(AUTHORITY)
_authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(CERTIFICATE)
VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "docs/protocol/vectors/names.json").read_text()
)["entries"]


class Server:
    """The example, as a process."""

    def __init__(self, store: Path) -> None:
        files = ["--store", store, "--certificate", CERTIFICATE, "--secret", CERTIFICATE]
        self._process = subprocess.Popen(
            [sys.executable, SERVER, *files], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self._process.stdout
        self.url, self.key = self._process.stdout.readline().decode().split()

    @property
    def setting(self) -> dict[str, tuple[str, str, str]]:
        return {"netcom": (self.url, self.key, str(AUTHORITY))}

    def ask(self, name: str, body: str | None = None) -> tuple[int, str]:
        trust = ssl.create_default_context(cafile=str(AUTHORITY))
        data = body.encode() if body is not None else None
        request = urllib.request.Request(f"{self.url}/v1/names/{name}", data)
        try:
            with urllib.request.urlopen(request, timeout=10, context=trust) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)
        if self._process.stdout:
            self._process.stdout.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = Server(tmp_path / "names.json")
    yield running
    running.stop()


async def test_a_node_is_reached_by_its_name_in_a_directory(
    server: Server, settings: dict[str, Any]
) -> None:
    alice = NetID.generate()
    status, _ = server.ask("alice.netcom", sign_document(alice, "alice.netcom"))
    assert status == 200
    async with (
        Node.create(netid=alice, role=NodeRole.SERVER, config=settings),
        Node.create(directories=server.setting, config=settings) as node,
    ):
        for whom in ("alice.netcom", NetID.from_string("Alice.NetCom.")):
            async with node.connect(whom) as connection:
                assert connection.netid == alice
        with pytest.raises(NotFound) as unknown:
            await node.connect("bob.netcom")
        assert unknown.value.code == "name_not_in_directory"


async def test_other_suffixes_are_names_of_directories_where_they_are_configured(
    server: Server, settings: dict[str, Any]
) -> None:
    directories = {"corp": server.setting["netcom"]}
    async with Node.create(directories=directories, config=settings) as node:
        with pytest.raises(NotFound) as unknown:
            await node.connect("bob.corp")
        assert unknown.value.code == "name_not_in_directory"
        with pytest.raises(NotFound) as unserved:
            await node.connect("bob.netcom")
        assert unserved.value.code == "name_no_directory"
        assert "[naming.directories]" in str(unserved.value)
        with pytest.raises(ValueError):
            await node.connect("bob.test")


async def test_a_directory_with_another_key_or_that_nobody_vouches_for_is_refused(
    server: Server, settings: dict[str, Any]
) -> None:
    server.ask("alice.netcom", sign_document(NetID.generate(), "alice.netcom"))
    for setting in (
        (server.url, str(NetID.generate()), str(AUTHORITY)),
        (server.url, server.key),
    ):
        async with Node.create(directories={"netcom": setting}, config=settings) as node:
            with pytest.raises(NameRefused) as refused:
                await node.connect("alice.netcom")
            assert refused.value.code == "name_bad_directory"
            assert refused.value.hint
    server.stop()
    async with Node.create(directories=server.setting, config=settings) as node:
        with pytest.raises(PeerUnreachable) as silent:
            await node.connect("alice.netcom")
        assert silent.value.code == "name_directory_silent"
        assert silent.value.retryable


def test_names_stay_with_who_had_them_first_also_after_a_restart(tmp_path: Path) -> None:
    alice, mallory = NetID.generate(), NetID.generate()
    server = Server(tmp_path / "names.json")
    key = server.key
    old = sign_document(alice, "alice.netcom", sequence=1)
    new = sign_document(alice, "alice.netcom")
    assert server.ask("alice.netcom", new)[0] == 200
    server.stop()
    server = Server(tmp_path / "names.json")
    try:
        assert server.key == key
        for refused in (sign_document(mallory, "alice.netcom"), old):
            assert server.ask("alice.netcom", refused)[0] == 409
        status, answer = server.ask("alice.netcom")
        assert status == 200
        assert read_entry(key, "alice.netcom", answer).netid == alice
        rotated = NetID.generate()
        last = json.loads(sign_document(alice, "alice.netcom", successor=rotated))
        first = json.loads(sign_document(rotated, "alice.netcom"))
        first["earlier"] = [json.loads(old)["document"]]
        assert server.ask("alice.netcom", json.dumps(first))[0] == 409
        first["earlier"] = [last["document"]]
        assert server.ask("alice.netcom", json.dumps(first))[0] == 200
        assert server.ask("alice.netcom", new)[0] == 409
        answer = server.ask("alice.netcom")[1]
        assert read_entry(key, "alice.netcom", answer).netid == rotated
        for name, body in (
            ("bob.netcom", new),
            ("alice.netcom", new[:-9]),
            ("alice.netcom", ""),
            ("example.org", sign_document(alice, "example.org")),
        ):
            assert server.ask(name, body)[0] == 400
        for unknown in ("bob.netcom", "", "../names.json"):
            assert server.ask(unknown)[0] == 404
    finally:
        server.stop()


@pytest.mark.parametrize(
    "directories",
    [
        {"netcom": ("http://127.0.0.1", "n1")},
        {"netcom": ("https://127.0.0.1", "n1")},
        {"netcom": ("https://127.0.0.1", "alice")},
        {"netcom": ("https://127.0.0.1",)},
        {"": ("https://127.0.0.1", VECTORS[0]["directory"])},
        {"netcom": ("https://alice.netcom", VECTORS[0]["directory"])},
        {"netcom": ("https://127.0.0.1", VECTORS[0]["directory"], __file__)},
    ],
)
def test_directories_that_are_none_are_refused(directories: Any, settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Node.create(directories=directories, config=settings)


@pytest.mark.parametrize("row", VECTORS, ids=range(len(VECTORS)))
def test_an_entry_means_what_the_vectors_say(row: dict[str, Any]) -> None:
    def read() -> str:
        return str(read_entry(row["directory"], row["name"], row["answer"], at=row["now"]).netid)

    if "netid" in row:
        assert read() == row["netid"]
    else:
        with pytest.raises(BadArgument) as refusal:
            read()
        assert row["why"]
        assert row["why"] in refusal.value.message


def test_what_is_signed_needs_the_secret_and_names_that_are_listed() -> None:
    alice, directory = NetID.generate(), NetID.generate()
    document = sign_document(alice, "example.org", "Alice.netcom", days=2)
    read = read_document(document)
    assert (read.netid, read.names) == (alice, ["example.org", "alice.netcom"])
    assert read.expires == read.sequence + 2 * 24 * 3600, "its number is the time"
    assert read_document(sign_document(alice, "alice.netcom", sequence=7)).sequence == 7
    public = NetID.from_string(str(directory))
    for call in (
        lambda: sign_document(NetID.from_string(str(alice)), "alice.netcom"),
        lambda: sign_document(alice, ""),
        lambda: read_document(sign_document(alice, "alice.netcom", days=400)),
        lambda: sign_entry(public, "alice.netcom", document),
        lambda: sign_entry(directory, "bob.netcom", document),
        lambda: sign_entry(directory, "alice.netcom", document, seconds=8 * 24 * 3600),
        lambda: sign_entry(directory, "alice.netcom", "{}"),
        lambda: read_document("{}"),
    ):
        with pytest.raises((ValueError, NetComError)):
            call()
