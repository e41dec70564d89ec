"""What makes no sense is refused by a precise exception, and nothing else happens."""

import asyncio

import pytest

import netcom
from netcom import BadArgument, ConnectionLost, Identity, NetComError, NetID, Node
from netcom.directory import sign_document


async def accept(server):
    """The first stream of the first connection a peer opens."""
    async for connection in server.incoming():
        async for stream in connection.incoming_streams():
            return stream


async def refused(kind, call, *arguments, **settings):
    """What a call raises, at once or when it is awaited."""
    async with asyncio.timeout(20):
        with pytest.raises(kind) as raised:
            await call(*arguments, **settings)
    return raised.value


def is_told_what_to_do(error):
    return isinstance(error, NetComError) and error.code and error.hint


NUMBERS = {
    "read": (0, -1, 10**30),
    "read_batch": (0, -1, 10**30),
    "read_to_end": (-1, 10**30),
    "reset": (-1, 1 << 32, 10**30),
}


@pytest.mark.parametrize(
    ("method", "number"), [(method, number) for method in NUMBERS for number in NUMBERS[method]]
)
async def test_a_number_out_of_range_is_a_bad_argument_and_the_stream_goes_on(pair, method, number):
    server, connection = pair
    ours = await (connection.msg_stream if "batch" in method else connection.bytes_stream)()
    await ours.write(b"still here")
    theirs = await accept(server)
    error = await refused(BadArgument, getattr(theirs, method), number)
    assert error.code == "bad_argument"
    assert is_told_what_to_do(error)
    assert await theirs.read() == b"still here"


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1, -0.001, 10**400])
async def test_what_is_no_length_of_time_is_a_bad_argument(pair, seconds):
    server, connection = pair
    for call in (
        lambda: connection.request(b"?", timeout=seconds),
        lambda: server.connect(connection.peer_id, timeout=seconds),
        lambda: server.drain(seconds),
        lambda: Node.create(resume_seconds=seconds),
    ):
        error = await refused(BadArgument, call)
        assert is_told_what_to_do(error)
    assert await connection.ping() >= 0


@pytest.mark.parametrize("seconds", [1e9, 1e18])
async def test_a_time_beyond_all_clocks_is_as_good_as_for_ever(settings, pair, seconds):
    server, _ = pair

    @server.on_request
    async def answer(request):
        return request.body

    async with (
        Node.create(config=settings, resume_seconds=seconds) as node,
        node.connect(server.netid, timeout=seconds, failover=True) as connection,
    ):
        assert await connection.request(b"?", timeout=seconds) == b"?"


@pytest.mark.parametrize("number", [-1, 1 << 70])
async def test_other_numbers_out_of_range_are_bad_arguments_too(pair, tmp_path, number):
    server, connection = pair
    identity = Identity(tmp_path / "owner")
    identity.create()
    request = Identity(tmp_path / "other").enroll()
    alice = NetID.generate()
    for call in (
        lambda: server.commander.close_session(number),
        lambda: server.commander.close_link(0, number),
        lambda: server.commander.limit_peer(connection.peer_id, number),
        lambda: identity.admit(request, days=number),
        lambda: sign_document(alice, "alice.netcom", days=number),
    ):
        with pytest.raises(BadArgument) as error:
            call()
        assert is_told_what_to_do(error.value)
    with pytest.raises(BadArgument, match="nothing would ever go"):
        server.commander.limit_peer(connection.peer_id, 0)
    assert is_told_what_to_do(await refused(BadArgument, connection.request, b"?", max_answer=-1))
    assert is_told_what_to_do(await refused(BadArgument, connection.close, number))
    assert await connection.ping() >= 0


WRONG = {
    "write": (None, 7, "text", object(), [1, 2]),
    "read": ("1", None, 1.5),
    "read_to_end": ("1", 1.5),
    "reset": ("1", None, 1.5),
}


@pytest.mark.parametrize(
    ("method", "argument"),
    [(method, argument) for method in WRONG for argument in WRONG[method]],
    ids=str,
)
async def test_a_wrong_type_is_a_type_error_and_the_stream_goes_on(pair, method, argument):
    server, connection = pair
    ours = await connection.bytes_stream()
    await refused(TypeError, getattr(ours, method), argument)
    await ours.write(b"still here")
    assert await (await accept(server)).read() == b"still here"


@pytest.mark.parametrize("argument", [None, 7, object(), b"bytes"], ids=str)
async def test_whom_of_a_wrong_type_is_a_type_error(pair, argument):
    server, connection = pair
    for call in (server.connect, server.discover_netid, server.discover_peer_id):
        await refused(TypeError, call, argument)
    with pytest.raises(TypeError):
        NetID.from_string(argument)
    with pytest.raises(TypeError):
        server.allow([argument])
    await refused(TypeError, connection.request, b"?", timeout="soon")
    await refused(TypeError, connection.request, "text")
    await refused(TypeError, connection.x_stream, 7)
    assert await connection.ping() >= 0


CLOSED = {
    "connect": lambda node, other: node.connect(other.ticket),
    "connect_to_netid": lambda node, other: node.connect_to_netid(other.netid),
    "connect_to_peer": lambda node, other: node.connect_to_peer(other.peer_id),
    "discover_netid": lambda node, other: node.discover_netid(other.netid),
    "discover_peer_id": lambda node, other: node.discover_peer_id(other.peer_id),
}


@pytest.mark.parametrize("method", CLOSED)
async def test_a_closed_node_reaches_nobody_and_says_so(settings, method):
    async with Node.create(netid=NetID.generate(), config=settings) as other:
        node = await Node.create(config=settings)
        await node.close()
        error = await refused(ConnectionLost, CLOSED[method], node, other)
        assert error.code == "closed"
        assert not error.retryable


async def test_a_closed_node_is_closed_drained_and_looked_at_without_an_error(settings):
    node = await Node.create(config=settings)
    peer_id = node.peer_id
    await node.close()
    await node.close()
    await node.drain()
    assert node.peer_id == peer_id
    assert [connection async for connection in node.incoming()] == []
    assert [event async for event in node.events()] == []
    commander = node.commander
    assert (commander.peers(), commander.links(), commander.streams()) == ([], [], [])


async def test_a_closed_node_takes_handlers_and_rules_of_which_nothing_comes(settings):
    node = await Node.create(config=settings)
    await node.close()

    @node.on_request
    async def answer(request):
        raise AssertionError("nobody asks")

    service = node.serve("small/1")
    assert service(answer) is answer
    service.withdraw()
    assert node.serve_streams("small/1")(answer) is answer
    node.allow([node.peer_id])
    node.allow(None)
    assert node.commander.sessions() == []


async def test_a_closed_connection_takes_nothing_more(pair):
    _, connection = pair
    await connection.close()
    await connection.close()
    for call in (connection.bytes_stream, connection.msg_stream, connection.x_stream):
        error = await refused(ConnectionLost, call)
        assert is_told_what_to_do(error)
    await refused(ConnectionLost, connection.request, b"?")
    async with asyncio.timeout(20):
        assert await connection.ping() is None
        assert [stream async for stream in connection.incoming_streams()] == []


@pytest.mark.parametrize("kind", ["bytes_stream", "msg_stream", "x_stream"])
async def test_a_stream_that_was_reset_takes_and_gives_nothing_more(pair, kind):
    server, connection = pair
    ours = await getattr(connection, kind)()
    await ours.write(b"before")
    theirs = await accept(server)
    assert await theirs.read() == b"before"
    await ours.reset(7)
    for call in (lambda: ours.write(b"after"), ours.read, ours.finish):
        error = await refused(EOFError, call)
        assert isinstance(error, netcom.StreamEnded)
    await ours.reset(7)
    async with asyncio.timeout(20), ours:
        pass
    error = await refused(ConnectionLost, theirs.read)
    assert error.code == "reset"
    assert "7" in str(error)
    assert await connection.ping() >= 0


async def test_a_stream_that_was_finished_takes_no_errors_either(pair):
    _, connection = pair
    ours = await connection.x_stream()
    await ours.finish()
    error = await refused(netcom.StreamEnded, ours.send_error, "late", "after the end")
    assert error.code == "finished"
    assert await connection.ping() >= 0


async def test_an_error_may_follow_a_reset_and_say_why(pair):
    server, connection = pair
    ours = await connection.x_stream()
    await ours.write(b"begin")
    theirs = await accept(server)
    assert await theirs.read() == b"begin"
    await ours.reset(7)
    async with asyncio.timeout(20):
        await ours.send_error("low_disk", "the disk is full")
        assert (await anext(theirs.errors())).code == "low_disk"
    await refused(ConnectionLost, theirs.read)


async def test_a_request_above_sixteen_mebibytes_is_refused_and_the_connection_goes_on(pair):
    server, connection = pair
    seen = []

    @server.on_request
    async def answer(request):
        seen.append(len(request.body))
        return b"fine"

    error = await refused(netcom.RemoteError, connection.request, bytes((16 << 20) + 1))
    assert error.code == "body_too_large"
    assert await connection.request(bytes(16 << 20)) == b"fine"
    assert seen == [16 << 20]


@pytest.mark.parametrize("empty", [b"", bytearray(), memoryview(b"")], ids=repr)
async def test_nothing_is_a_payload_too(pair, empty):
    server, connection = pair

    @server.on_request
    async def answer(request):
        assert (request.body, bytes(request.view)) == (b"", b"")
        return b""

    assert await connection.request(empty) == b""
    async with connection.msg_stream() as messages:
        await messages.write(empty)
    visitor = await anext(server.incoming())
    theirs = await anext(visitor.incoming_streams())
    assert await theirs.read() == b""
    assert await theirs.read() is None
    async with connection.bytes_stream() as stream:
        await stream.write(empty)
        await stream.write(b"not empty")
    theirs = await anext(visitor.incoming_streams())
    assert await theirs.read() == b"not empty"


@pytest.mark.parametrize("kind", ["bytes_stream", "msg_stream"])
async def test_a_payload_that_is_changed_during_the_call_goes_as_it_was(pair, kind):
    server, connection = pair
    before = b"before" * 1000
    data = bytearray(before)
    async with getattr(connection, kind)() as ours:
        writing = asyncio.create_task(ours.write(data))
        sending = ours.write(data)
        data[:] = b"after!" * 1000
        await sending
        await writing
    received = [data async for data in await accept(server)]
    assert b"".join(received) == 2 * before


@pytest.mark.parametrize("kind", ["bytes_stream", "msg_stream"])
async def test_a_payload_that_is_changed_while_its_write_waits_goes_as_it_was(pair, kind):
    server, connection = pair
    before = b"before" * 500_000
    data = bytearray(before)
    ours = await getattr(connection, kind)()
    writing = asyncio.create_task(ours.write(data))
    theirs = await accept(server)
    await connection.ping()
    assert not writing.done(), "it is longer than what a stream takes that nobody reads"
    data[:] = b"after!" * 500_000

    async def read():
        return [data async for data in theirs]

    reading = asyncio.create_task(read())
    await writing
    await ours.finish()
    assert b"".join(await reading) == before


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        ({"colour": "green"}, "resume_seconds"),
        ({"links": "many"}, "links="),
        ({"identity": NetID.from_string(str(NetID.generate()))}, "NetID.generate"),
        ({"metadata": {"": "kitchen"}}, "metadata"),
        ({"directories": {"netcom": ["https://127.0.0.1"]}}, "https"),
        ({"role": "boss"}, "NodeRole.SERVER"),
        ({"data_dir": "\0"}, "data_dir="),
    ],
    ids=lambda it: next(iter(it)) if isinstance(it, dict) else "",
)
async def test_a_setting_that_makes_no_sense_is_refused_with_what_would(settings, hint):
    error = await refused(BadArgument, Node.create, **settings)
    assert hint in error.hint


def test_secrets_and_texts_that_are_none_are_bad_arguments(tmp_path):
    identity = Identity(tmp_path)
    for call in (
        lambda: NetID.from_secret(b"short"),
        lambda: NetID.from_string(str(NetID.generate())).export_secret(),
        lambda: identity.accept("n1"),
        lambda: identity.admit("n1"),
    ):
        with pytest.raises(BadArgument) as error:
            call()
        assert is_told_what_to_do(error.value)


@pytest.mark.parametrize(
    "name",
    [
        *("", "a b", "\x00", "ali\x07ce.example", "x" * 10_000, f"{'x' * 64}.example"),
        *("alice..example", "example.org..", "p\u0430ypal.com", "\u202eexample.org"),
        *("\ud800", "alice\ud800", "\udfffalice.example"),
    ],
    ids=ascii,
)
async def test_a_name_that_is_none_is_refused_before_anybody_is_asked(pair, name):
    server, _ = pair
    for call in (
        server.connect,
        server.connect_to_netid,
        server.connect_to_peer,
        server.discover_netid,
        server.discover_peer_id,
    ):
        error = await refused(BadArgument, call, name)
        assert error.code == "bad_name"
        assert is_told_what_to_do(error)
    for constructor in (NetID.from_string, NetID.from_domain):
        with pytest.raises(BadArgument) as refusal:
            constructor(name)
        assert refusal.value.code == "bad_name"
        assert is_told_what_to_do(refusal.value)


async def test_what_names_a_node_is_no_entity_and_what_names_an_entity_is_no_node(pair):
    server, connection = pair
    before = [session.id for session in server.commander.sessions()]
    node = connection.peer_id
    entity = NetID.generate()
    for whom in (server.ticket, str(server.addresses[0]), str(node)):
        error = await refused(BadArgument, server.connect_to_netid, whom)
        assert error.code == "bad_name"
        assert is_told_what_to_do(error)
    for whom in (str(entity), "alice.netcom", "example.org"):
        error = await refused(BadArgument, server.connect_to_peer, whom)
        assert error.code == "bad_name"
        assert is_told_what_to_do(error)
    await refused(TypeError, server.connect_to_netid, node)
    for whom in (entity, NetID.from_domain("example.org")):
        await refused(TypeError, server.connect_to_peer, whom)
    assert [session.id for session in server.commander.sessions()] == before
    assert await connection.ping() >= 0


async def test_what_is_no_function_is_no_handler_and_the_one_before_goes_on(pair):
    server, connection = pair

    @server.on_request
    async def answer(request):
        return b"answered"

    @server.serve("small/1")
    async def serve(request):
        return b"served"

    @server.serve_streams("upper/1")
    async def upper(stream, visitor):
        await stream.write((await stream.read()).upper())

    for take in (
        server.on_request,
        server.serve("small/1"),
        server.serve("new/1"),
        server.serve_streams("upper/1"),
        server.serve_streams("new/2"),
    ):
        with pytest.raises(TypeError, match="async function"):
            take(7)
    assert await connection.request(b"?") == b"answered"
    assert await connection.request(b"?", service="small/1") == b"served"
    async with connection.x_stream("upper/1") as stream:
        await stream.write(b"cat")
        assert await stream.read() == b"CAT"
    await refused(netcom.NotFound, connection.request, b"?", service="new/1")
