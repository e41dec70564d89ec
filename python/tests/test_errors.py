"""Errors are of netcom's base and of the builtin that people catch, and say what to do."""

import asyncio
import fcntl
import pickle
import re
from pathlib import Path

import pytest

import netcom
from netcom import Identity, NetID, Node, PeerId, errors

REPOSITORY = Path(__file__).parents[2]


def codes_of_the_core():
    """The stable names in every `fn code` of the crates' errors, as their sources say them."""
    codes = set()
    for source in REPOSITORY.glob("crates/*/src/**/*.rs"):
        # The command has errors of its own, which no program in Python meets.
        if "netcom-cli" not in source.parts:
            text = source.read_text()
            for body in re.findall(r"fn code\(&self\) -> &'static str \{(.*?)\n    \}", text, re.S):
                codes.update(re.findall(r'"(\w+)"', body))
    return codes


def codes_of_the_package():
    """The codes that the package gives by itself."""
    sources = [source.read_text() for source in (REPOSITORY / "python/netcom").glob("*.py")]
    codes = {code for text in sources for code in re.findall(r'code="(\w+)"', text)}
    return codes - {"error"}


def test_every_code_has_a_class_and_no_class_is_of_a_code_that_is_gone():
    codes = codes_of_the_core()
    assert {"timeout", "key_newer", "data_dir_in_use", "name_bogus", "bad_name"} <= codes
    assert codes | codes_of_the_package() == set(errors._CLASSES)


@pytest.mark.parametrize("kind", sorted(set(errors._CLASSES.values()), key=lambda it: it.__name__))
def test_every_class_is_also_a_builtin_that_people_catch(kind):
    assert kind.__name__ in errors.__all__
    assert getattr(netcom, kind.__name__) is kind
    error = kind("what", code="some_code", hint="do this", retryable=True)
    assert isinstance(error, netcom.NetComError)
    assert isinstance(error, (OSError, ValueError, LookupError, EOFError, RuntimeError))
    assert (error.code, error.hint, error.retryable) == ("some_code", "do this", True)
    assert str(error) == "what\nhint: do this"


def test_files_of_keys_fail_as_files_do(tmp_path):
    identity = Identity(tmp_path / "alice")
    identity.create()
    with pytest.raises(FileExistsError) as there:
        identity.create()
    assert isinstance(there.value, netcom.KeyFileError)
    request = Identity(tmp_path / "bob").enroll()
    with pytest.raises(FileNotFoundError) as missing:
        Identity(tmp_path / "carol").admit(request)
    assert missing.value.code == "no_identity"
    for key in (tmp_path / "alice").rglob("*.key"):
        key.chmod(0o644)
    with pytest.raises(PermissionError) as shown:
        identity.admit(request)
    assert isinstance(shown.value, netcom.KeyFileDenied)


def test_a_file_that_another_process_has_is_worth_another_try(tmp_path):
    alice = Identity(tmp_path / "alice")
    alice.create()
    request = Identity(tmp_path / "bob").enroll()
    with (tmp_path / "alice/devices.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(netcom.KeyFileError) as busy:
            alice.admit(request)
        assert busy.value.code == "file_busy"
        assert busy.value.retryable
    assert alice.admit(request)


async def test_a_data_directory_that_is_open_to_others_is_a_permission_error(settings, tmp_path):
    async with Node.create(data_dir=tmp_path / "data", config=settings):
        pass
    (tmp_path / "data").chmod(0o777)
    with pytest.raises(PermissionError) as shown:
        await Node.create(data_dir=tmp_path / "data", config=settings)
    assert isinstance(shown.value, netcom.DataDirError)
    assert "chmod" in shown.value.hint


async def test_who_is_not_there_is_not_found_and_no_connection(settings):
    async with Node.create(config=settings) as node:
        with pytest.raises(ConnectionError) as missing:
            await node.connect_to_netid(NetID.generate(), timeout=1)
        with pytest.raises(LookupError):
            await node.discover_netid(NetID.generate())
    assert isinstance(missing.value, netcom.NotFound)
    assert missing.value.code == "not_found"
    assert missing.value.hint in str(missing.value)


async def test_a_node_that_goes_away_is_a_connection_error(settings):
    async with Node.create(config=settings) as node:
        server = await Node.create(config=settings)
        began = asyncio.Event()

        @server.on_request
        async def answer(request):
            began.set()
            await asyncio.Event().wait()

        connection = await node.connect(server.ticket)
        asking = asyncio.create_task(connection.request(b"critical_operation"))
        await began.wait()
        await server.close()
        with pytest.raises(ConnectionError):
            await asking
        with pytest.raises(ConnectionError):
            await connection.request(b"critical_operation")


async def test_writing_after_the_end_is_an_end_of_file(pair):
    _, connection = pair
    stream = await connection.bytes_stream()
    await stream.write(b"all")
    await stream.finish()
    with pytest.raises(EOFError):
        await stream.write(b"more")


async def test_an_answer_that_is_too_long_is_a_value_error(pair):
    server, connection = pair

    @server.on_request
    async def answer(request):
        return bytes(10_000)

    with pytest.raises(ValueError, match="longer than 100 bytes"):
        await connection.request(b"?", max_answer=100)


@pytest.mark.parametrize(
    "name",
    ["", "printer.local", "n1qqq", "a b", "\x00", "x" * 10_000, "alice..netcom"],
)
def test_what_names_nobody_is_a_value_error(name):
    with pytest.raises(netcom.BadArgument):
        NetID.from_string(name)
    with pytest.raises(netcom.BadArgument):
        NetID.from_domain(name)


def test_a_secret_is_never_shown_and_never_pickled():
    alice = NetID.generate()
    secret = alice.export_secret()
    assert NetID.from_secret(secret) == alice
    assert len(secret) == 32
    for shown in (str(alice), repr(alice)):
        assert secret.hex() not in shown
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(alice)


def test_names_are_compared_by_what_they_name():
    alice = NetID.generate()
    assert NetID.from_string(str(alice)) == alice
    assert len({alice, NetID.from_string(str(alice)), NetID.generate()}) == 2
    assert not NetID.from_string(str(alice)).has_secret
    with pytest.raises(netcom.BadArgument):
        NetID.from_string(str(alice)).export_secret()
    with pytest.raises(netcom.BadArgument):
        PeerId("QmNobody")


async def test_a_node_does_not_speak_for_an_entity_whose_secret_it_lacks(settings, tmp_path):
    alice = NetID.from_string(str(NetID.generate()))
    with pytest.raises(PermissionError, match="neither its key nor a proof"):
        await Node.create(netid=alice, data_dir=tmp_path / "data", config=settings)


async def test_wrong_settings_are_named(settings):
    with pytest.raises(netcom.BadArgument, match="colour") as refused:
        await Node.create(colour="green", config=settings)
    assert "data_dir" in refused.value.hint
    with pytest.raises(netcom.BadArgument):
        await Node.create(local=True, cloud=True, config=settings)
    with pytest.raises(netcom.BadArgument, match="everywhere"):
        await Node.create(discovery="everywhere")
    with pytest.raises(TypeError, match="role"):
        Node.create(config={"role": "server"})
    async with Node.create(config=settings) as node:
        with pytest.raises(TypeError):
            await node.connect(42)
        with pytest.raises(netcom.BadArgument, match="length of time"):
            await node.connect(node.ticket, timeout=-1)


async def test_what_helps_is_said_in_words_of_python(settings):
    assert errors._HINTS.keys() <= errors._CLASSES.keys()
    assert not [hint for hint in errors._HINTS.values() if "--" in hint or "netcom " in hint]
    async with Node.create(config=settings) as node:
        with pytest.raises(netcom.BadArgument) as itself:
            await node.connect(node.ticket)
        assert itself.value.code == "self_dial"
        assert "Node.create(identity=" in itself.value.hint
        with pytest.raises(netcom.NotFound) as unnamed:
            await node.connect("alice")
        assert unnamed.value.code == "no_petnames"
        assert "Node.create(data_dir=" in unnamed.value.hint


async def test_what_was_not_found_may_be_found_later_and_who_is_closed_will_find_nothing(settings):
    node = await Node.create(config=settings)
    with pytest.raises(netcom.NotFound) as missing:
        await node.discover_netid(NetID.generate())
    assert missing.value.retryable
    await node.close()
    with pytest.raises(netcom.ConnectionLost) as closed:
        await node.discover_netid(NetID.generate())
    assert not closed.value.retryable
