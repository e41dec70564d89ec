"""The examples as people run them: each in a process of its own, and with real nodes."""

import asyncio
import hashlib
import json
import os
import re
import signal
import socket
import struct
import sys
from pathlib import Path

import pytest

from netcom import AccessDenied, NetID, Node, RemoteError

EXAMPLES = Path(__file__).parents[2] / "examples/python"
NAMES = sorted(path.name for path in EXAMPLES.glob("*.py"))


class Program:
    """A running example."""

    def __init__(self, process):
        self.process = process

    async def line(self, timeout=20):
        """The next line it prints; empty at its end."""
        async with asyncio.timeout(timeout):
            return (await self.process.stdout.readline()).decode().rstrip("\n")

    async def told(self):
        """What the next line says after its first colon, as in `ticket: …`."""
        return (await self.line()).partition(": ")[2]

    async def complaint(self, word, timeout=20):
        """The next line of its standard error that has the word."""
        async with asyncio.timeout(timeout):
            while line := (await self.process.stderr.readline()).decode():
                if word in line:
                    return line
        raise AssertionError(f"it ended and said nothing of {word!r}")

    def say(self, text):
        self.process.stdin.write(text.encode())

    async def end(self, timeout=20):
        """Its exit code and what was left of its output, once nothing more is said to it."""
        self.process.stdin.close()
        async with asyncio.timeout(timeout):
            out, err = await self.process.communicate()
        return self.process.returncode, out.decode(), err.decode()


@pytest.fixture
async def start(tmp_path):
    """Starts examples, and ends those that are still there."""
    folder = tmp_path / "where_programs_run"
    folder.mkdir()
    settings = {"NETCOM_DISCOVERY": "host", "NETCOM_REGISTRY_DIR": str(tmp_path / "registry")}
    processes = []

    async def start(name, *arguments):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-W", "error", EXAMPLES / name, *map(str, arguments)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=folder,
            env={**os.environ, **settings, "HOME": str(folder), "PYTHONTRACEMALLOC": "0"},
        )
        processes.append(process)
        return Program(process)

    start.folder = folder
    yield start
    for process in processes:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.parametrize("name", NAMES)
async def test_an_example_explains_itself(name, start):
    code, out, err = await (await start(name, "--help")).end()
    assert (code, err) == (0, "")
    found = re.search(r"{([\w,]+)}", out)
    commands = found.group(1).split(",") if found else []
    for command in commands:
        code, out, err = await (await start(name, command, "--help")).end()
        assert (code, err) == (0, ""), command
        assert out.startswith(f"usage: {name} {command} ")
    row = next(row for row in (EXAMPLES / "README.md").read_text().splitlines() if name in row)
    assert [command for command in commands if f"{name} {command}" not in row] == []


# The exchange of files.


@pytest.fixture
async def inbox(start, tmp_path):
    """A receiver of files, the folder it receives into, and a connection to it by its own key."""
    folder, key = tmp_path / "inbox", tmp_path / "devices.key"
    receiver = await start("file_exchange.py", "receive", folder, "--key", key, "--limit", 5 << 20)
    ticket = await receiver.told()
    netid = NetID.from_secret(key.read_bytes())
    async with Node.create(netid=netid, discovery="off") as node:
        async with node.connect(ticket) as connection:
            yield receiver, folder, ticket, connection


async def offer(connection, name, size):
    """A stream on which a file was offered, and the answer."""
    stream = await connection.msg_stream()
    await stream.write(json.dumps({"name": name, "size": size}).encode())
    return stream, json.loads(await stream.read())


async def test_files_arrive_as_they_were_sent(start, inbox, tmp_path):
    _, folder, ticket, _ = inbox
    contents = {"empty": b"", "long film.mkv": os.urandom((3 << 20) + 17), "ä": b"1"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    paths = [tmp_path / name for name in contents]
    key = tmp_path / "devices.key"
    sender = await start("file_exchange.py", "send", *paths, ticket, "--key", key)
    code, out, _ = await sender.end()
    assert code == 0
    for name, content in contents.items():
        assert f"sent {name}, sha256 {hashlib.sha256(content).hexdigest()}\n" in out
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == contents


async def test_a_receiver_is_found_by_the_netid_of_the_devices(start, inbox, tmp_path):
    (tmp_path / "note").write_bytes(b"by name")
    key = tmp_path / "devices.key"
    netid = NetID.from_secret(key.read_bytes())
    sender = await start("file_exchange.py", "send", tmp_path / "note", netid, "--key", key)
    assert (await sender.end())[0] == 0
    assert (inbox[1] / "note").read_bytes() == b"by name"


@pytest.mark.parametrize(
    "name",
    [
        *("../out", "/out", "..", ".", "", ".hidden", "a/b", "a\\b", "C:b", "\x1b[2J", "x" * 256),
        *("\0", "\udcff", 7, None, ["a"]),
    ],
    ids=ascii,
)
async def test_a_name_that_is_no_plain_name_is_refused(inbox, name, tmp_path):
    _, _, _, connection = inbox
    before = sorted(tmp_path.rglob("*"))
    _, answer = await offer(connection, name, 3)
    assert "name" in answer["error"] or "encode" in answer["error"]
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("size", [-1, (5 << 20) + 1, 10**30])
async def test_a_file_that_is_too_long_is_refused_before_it_is_sent(inbox, size):
    _, folder, _, connection = inbox
    _, answer = await offer(connection, "film", size)
    assert "at most 5242880" in answer["error"]
    assert list(folder.iterdir()) == []


async def test_half_a_file_never_has_its_name_and_does_not_stay(inbox):
    receiver, folder, _, connection = inbox
    stream, answer = await offer(connection, "film", 1000)
    assert answer == {"go": True}
    await stream.write(b"x" * 500)
    assert [path.name[:6] for path in folder.iterdir()] == [".part-"]
    await stream.reset()
    await receiver.complaint("refused")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("block", [b"x" * 999, b"x" * 1001])
async def test_other_bytes_than_promised_are_no_file(inbox, block):
    _, folder, _, connection = inbox
    stream, _ = await offer(connection, "film", 1000)
    await stream.write(block)
    await stream.finish()
    assert "promised" in json.loads(await stream.read())["error"]
    assert list(folder.iterdir()) == []


async def test_a_file_whose_sum_is_wrong_is_no_file(inbox):
    _, folder, _, connection = inbox
    stream, _ = await offer(connection, "film", 3)
    await stream.write(b"abc")
    await stream.write(json.dumps({"sha256": hashlib.sha256(b"abd").hexdigest()}).encode())
    assert "did not arrive as it was sent" in json.loads(await stream.read())["error"]
    assert list(folder.iterdir()) == []


async def test_a_file_that_is_there_is_not_written_over(start, inbox, tmp_path):
    _, folder, ticket, _ = inbox
    (folder / "note").write_bytes(b"old")
    (tmp_path / "note").write_bytes(b"new")
    key = tmp_path / "devices.key"
    sender = await start("file_exchange.py", "send", tmp_path / "note", ticket, "--key", key)
    code, _, err = await sender.end()
    assert code == 1
    assert "note is there already" in err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"note": b"old"}


async def test_a_stranger_sends_nothing_until_allowed(start, inbox, tmp_path):
    _, folder, ticket, _ = inbox
    (tmp_path / "note").write_bytes(b"hello")
    bob = tmp_path / "bob.key"
    sender = await start("file_exchange.py", "send", tmp_path / "note", ticket, "--key", bob)
    assert (await sender.end())[0] == 1
    assert list(folder.iterdir()) == []
    netid = NetID.from_secret(bob.read_bytes())
    options = ("--key", tmp_path / "devices.key", "--allow", netid)
    receiver = await start("file_exchange.py", "receive", folder, *options)
    ticket = await receiver.told()
    sender = await start("file_exchange.py", "send", tmp_path / "note", ticket, "--key", bob)
    assert (await sender.end())[0] == 0
    assert await receiver.line() == "received note"
    assert (folder / "note").read_bytes() == b"hello"


# The chat.


@pytest.fixture
async def room(start):
    """Alice's room, and what makes guests of it."""
    alice = await start("chat.py", "open", "--name", "alice")
    ticket = await alice.told()

    async def enter(name):
        guest = await start("chat.py", "join", ticket, "--name", name)
        assert re.fullmatch(rf"\* {name} \(n1\w{{10}}\) is here", await alice.line())
        return guest

    return alice, enter


async def test_two_people_talk_and_it_ends_when_one_leaves(room):
    alice, enter = room
    bob = await enter("bob")
    bob.say("hello\n")
    assert re.fullmatch(r"bob \(n1\w{10}\): hello", await alice.line())
    alice.say("hello, bob\nhow are you?\n")
    assert await bob.line() == "alice: hello, bob"
    assert await bob.line() == "alice: how are you?"
    bob.say("good")  # without an end of line
    assert await bob.end() == (0, "", "")
    assert (await alice.line()).endswith("): good")
    assert (await alice.line()).endswith(") left")
    async with asyncio.timeout(20):
        assert await alice.process.wait() == 0  # although its input is still open


async def test_of_three_each_hears_the_other_two(room):
    alice, enter = room
    bob = await enter("bob")
    carol = await enter("carol")
    assert "carol" in await bob.line()
    bob.say("hello\n")
    assert "hello" in await alice.line()
    assert "hello" in await carol.line()
    carol.say("and me\n")
    assert re.fullmatch(r"carol \(n1\w{10}\): and me", await bob.line())
    assert await carol.end() == (0, "", "")
    bob.say("two are left\n")
    assert "and me" in await alice.line()
    assert "carol" in await alice.line()
    assert "two are left" in await alice.line()


async def test_when_the_room_closes_the_last_lines_arrive_and_guests_leave(room):
    alice, enter = room
    bob = await enter("bob")
    alice.say("".join(f"{number}\n" for number in range(200)))
    code, _, err = await alice.end()
    assert (code, err) == (0, "")
    async with asyncio.timeout(20):
        heard = (await bob.process.stdout.read()).decode()
        assert await bob.process.wait() == 0
    assert heard == "".join(f"alice: {number}\n" for number in range(200))


async def test_what_would_steer_a_terminal_is_not_printed(room):
    alice, enter = room
    bob = await enter("bob")
    bob.say("\x1b]0;mine\x07\x1b[2Jred\x9b\u202e\n")
    line = await alice.line()
    assert line.isprintable()
    assert "red" in line


async def test_a_name_and_a_line_have_a_bound(room, start):
    alice, enter = room
    bob = await enter("bob")
    bob.say("x" * 9000 + "\n")
    lines = [await alice.line() for _ in range(3)]
    assert [len(line.partition(": ")[2]) for line in lines] == [4096, 4096, 808]


# The service.


async def serve(start, *options):
    """A running service, its NetID and its ticket."""
    server = await start("microservice.py", "serve", *options)
    return server, await server.told(), await server.told()


async def call(start, to, body, *options):
    return await (await start("microservice.py", "call", to, json.dumps(body), *options)).end()


async def test_a_call_is_answered_and_the_service_ends_when_told(start):
    server, netid, ticket = await serve(start)
    add = {"action": "add", "numbers": [1, 2, 3.5]}
    assert await call(start, netid, add) == (0, '{"result": 6.5}\n', "")
    count = {"action": "count_words", "text": "one two three"}
    assert await call(start, ticket, count) == (0, '{"result": 3}\n', "")
    server.process.send_signal(signal.SIGTERM)
    assert await server.end() == (0, "", "")


async def test_who_is_allowed_is_answered_and_others_are_told_that_they_are_not(start, settings):
    _, alice, _ = await (await start("microservice.py", "id", "--key", "alice.key")).end()
    alice = alice.strip()
    _, netid, ticket = await serve(start, "--allow", alice)
    body = {"action": "count_words", "text": "hello"}
    assert (await call(start, netid, body, "--key", "alice.key"))[:2] == (0, '{"result": 1}\n')
    code, out, err = await call(start, netid, body, "--key", "bob.key")
    assert (code, out) == (5, "")
    assert err.startswith("denied: ")
    # Its own name in a request helps nobody.
    async with Node.create(netid=NetID.generate(), config=settings) as node:
        async with node.connect(ticket) as connection:
            with pytest.raises(AccessDenied) as refusal:
                await connection.request(json.dumps({**body, "netid": str(alice)}).encode())
    assert refusal.value.code == "denied"


async def test_what_cannot_be_answered_is_an_error_and_the_service_goes_on(start, settings):
    _, _, ticket = await serve(start)
    wrong = {
        b"{": "bad_request",
        b"[" * 60_000: "bad_request",
        b"[]": "no_such_action",
        b'{"action": {}}': "no_such_action",
        b'{"action": "remove"}': "no_such_action",
        b'{"action": "add", "numbers": ["1"]}': "bad_request",
        b'{"action": "count_words"}': "bad_request",
        b" " * 70_000: "too_large",
    }
    async with Node.create(config=settings) as node, node.connect(ticket) as connection:
        for body, code in wrong.items():
            with pytest.raises(RemoteError) as refusal:
                await connection.request(body)
            assert refusal.value.code == code, body[:40]
        fine = b'{"action": "count_words", "text": "still here"}'
        assert json.loads(await connection.request(fine)) == {"result": 2}


# The service on several nodes.


@pytest.fixture
async def entity(start):
    """The NetID of a service, and its nodes by their PeerIds."""
    code, netid, _ = await (await start("replicated_service.py", "key", "service.key")).end()
    assert code == 0
    nodes = {}
    for _ in range(3):
        node = await start("replicated_service.py", "serve", "service.key")
        nodes[(await node.told()).split()[0]] = node
    return netid.strip(), nodes


async def answers(caller):
    """What the caller prints: number, square, and who answered."""
    while line := await caller.line(timeout=100):
        number, square, peer = re.fullmatch(r"(\d+) squared is (\d+), says (\w+)", line).groups()
        yield int(number), int(square), peer


async def goes_on(caller, nodes, end):
    """Ends the node in use twice, and checks that no answer is missing."""
    asked, used = [], []
    async for number, square, peer in answers(caller):
        assert square == number**2
        asked.append(number)
        if peer not in used:
            used.append(peer)
            if len(used) < 3:
                nodes[peer].process.send_signal(end)
                async with asyncio.timeout(20):
                    await nodes[peer].process.wait()
        assert peer == used[-1]
        if len(used) == 3:
            break
    else:
        raise AssertionError(f"the caller gave up: {(await caller.end())[2]}")
    assert asked == list(range(1, len(asked) + 1))
    assert set(used) == set(nodes)


CALLING = ("--count", "1000", "--pause", "0.01")


async def test_when_the_node_in_use_is_killed_the_caller_connects_again_and_goes_on(start, entity):
    netid, nodes = entity
    caller = await start("replicated_service.py", "call", netid, *CALLING)
    await goes_on(caller, nodes, signal.SIGKILL)


async def test_with_failover_requests_move_without_code_for_it(start, entity):
    netid, nodes = entity
    caller = await start("replicated_service.py", "call", netid, "--failover", *CALLING)
    await goes_on(caller, nodes, signal.SIGKILL)


async def test_a_caller_of_whom_nobody_speaks_for_ends_with_an_error(start):
    caller = await start("replicated_service.py", "call", NetID.generate())
    code, out, err = await caller.end()
    assert (code, out) == (1, "")
    assert "not found" in err


# The tunnel.


@pytest.fixture
async def tunnel(start):
    """Makes a tunnel to a TCP server, which is a function, and gives the port of its near end."""
    servers = []

    async def tunnel(serve, *options):
        async def finished(reader, writer):
            await serve(reader, writer)
            writer.close()

        servers.append(await asyncio.start_server(finished, "127.0.0.1", 0))
        return await forward(servers[-1].sockets[0].getsockname()[1], *options)

    async def forward(port, *options):
        exposing = await start("tcp_tunnel.py", "expose", port)
        ticket = await exposing.told()
        forwarding = await start("tcp_tunnel.py", "forward", 0, ticket, *options)
        address, _, near = (await forwarding.line()).removeprefix("forwarding ").partition(":")
        assert address == "127.0.0.1"
        return int(near)

    tunnel.forward = forward
    yield tunnel
    for server in servers:
        server.close()
        await server.wait_closed()


async def connected(port):
    return await asyncio.open_connection("127.0.0.1", port)


async def test_a_tcp_program_is_reached_through_the_tunnel_by_many_at_once(tunnel):
    async def echo(reader, writer):
        while block := await reader.read(65536):
            writer.write(block)
            await writer.drain()

    port = await tunnel(echo)

    async def exchange(length):
        reader, writer = await connected(port)
        sent = os.urandom(length)

        async def write():
            writer.write(sent)
            await writer.drain()
            writer.write_eof()

        writing = asyncio.create_task(write())
        received = await reader.read()
        await writing
        writer.close()
        return received == sent

    async with asyncio.timeout(60):
        lengths = [0, 1, 65536, 1_000_003, 1_000_003, 5_000_000]
        assert all(await asyncio.gather(*map(exchange, lengths)))


async def test_who_has_ended_what_it_sends_is_still_answered(tunnel):
    async def answer_at_the_end(reader, writer):
        writer.write(b"all: " + await reader.read())
        await writer.drain()

    reader, writer = await connected(await tunnel(answer_at_the_end))
    writer.write(b"question")
    writer.write_eof()
    async with asyncio.timeout(20):
        assert await reader.read() == b"all: question"
    writer.close()


async def test_who_has_been_told_the_end_can_still_send(tunnel):
    received = asyncio.get_running_loop().create_future()

    async def end_first(reader, writer):
        writer.write(b"welcome")
        writer.write_eof()
        received.set_result(await reader.read())

    reader, writer = await connected(await tunnel(end_first))
    async with asyncio.timeout(20):
        assert await reader.read() == b"welcome"
        writer.write(b"thanks")
        writer.write_eof()
        assert await received == b"thanks"
    writer.close()


async def test_a_connection_that_breaks_at_one_end_breaks_at_the_other(tunnel):
    async def break_off(reader, writer):
        await reader.readexactly(5)
        at_once = struct.pack("ii", 1, 0)
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        writer.transport.abort()

    reader, writer = await connected(await tunnel(break_off))
    writer.write(b"hello")
    with pytest.raises(ConnectionResetError):
        async with asyncio.timeout(20):
            await reader.read()
    writer.close()


async def test_where_nobody_listens_or_a_stranger_asks_the_connection_is_reset(tunnel):
    async def never(reader, writer):
        raise AssertionError("a stranger came through")

    unused = await asyncio.start_server(never, "127.0.0.1", 0)
    nobody = unused.sockets[0].getsockname()[1]
    unused.close()
    await unused.wait_closed()
    for port in (await tunnel.forward(nobody), await tunnel(never, "--key", "stranger.key")):
        reader, writer = await connected(port)
        writer.write(b"hello")
        with pytest.raises(ConnectionResetError):
            async with asyncio.timeout(20):
                await reader.read()
        writer.close()


async def test_the_near_end_is_open_on_loopback_alone(tunnel):
    async def never(reader, writer):
        raise AssertionError("it was reached by another address")

    port = await tunnel(never)
    # Whoever listens on all addresses of the host is reached by this one, too.
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.2", port)
