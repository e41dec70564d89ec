"""Named services, who may use them, and what a node tells of itself."""

import asyncio

import pytest

import netcom
from netcom import HandlerError, NetID, Node, NodeRole


async def first(events, kind):
    """The next event of a kind."""
    async with asyncio.timeout(30):
        async for event in events:
            if event.kind == kind:
                return event


async def test_a_service_is_chosen_by_its_name(settings):
    shop = NetID.generate()
    async with (
        Node.create(netid=shop, config=settings) as plain,
        Node.create(netid=shop, config=settings) as pictures,
        Node.create(config=settings) as customer,
    ):

        @pictures.serve("thumbnails/1")
        async def thumbnail(request):
            return b"small " + request.body

        @plain.on_request
        async def other(request):
            return b"?"

        async with asyncio.timeout(30):
            while True:
                nodes = await customer.discover_netid(shop)
                if any(
                    "thumbnails" in name for node in nodes.values() for name in node["services"]
                ):
                    break
        async with customer.connect_to_netid(shop, service="thumbnails") as connection:
            assert connection.peer_id == pictures.peer_id
            assert await connection.request(b"cat", service="thumbnails/1") == b"small cat"
            with pytest.raises(netcom.NotFound):
                await connection.request(b"cat", service="thumbnails/2")


async def test_a_service_admits_whom_it_names(settings):
    owner, guest = NetID.generate(), NetID.generate()
    async with (
        Node.create(netid=owner, config=settings) as server,
        Node.create(netid=guest, config=settings) as known,
        Node.create(config=settings) as stranger,
    ):

        @server.serve("diary/1", allow=[guest])
        async def read(request):
            return b"dear diary"

        async with known.connect_to_netid(owner) as connection:
            assert await connection.request(b"", service="diary/1") == b"dear diary"
        async with stranger.connect_to_netid(owner) as connection:
            with pytest.raises(PermissionError):
                await connection.request(b"", service="diary/1")
        server.allow([guest])
        async with stranger.connect_to_netid(owner) as connection:
            with pytest.raises(PermissionError):
                await connection.request(b"")


async def test_everyone_may_again_once_that_is_said(pair):
    server, connection = pair

    @server.on_request
    async def answer(request):
        return b"come in"

    server.allow([])
    with pytest.raises(PermissionError) as denied:
        await connection.request(b"?")
    assert "node.allow" in denied.value.hint
    server.allow(None)
    assert await connection.request(b"?") == b"come in"


async def test_a_node_that_drains_ends_what_is_under_way_and_takes_nothing_new(settings):
    began, go = asyncio.Event(), asyncio.Event()
    async with Node.create(config=settings) as server, Node.create(config=settings) as node:

        @server.on_request
        async def answer(request):
            if request.body == b"new":
                return b"just in time"
            began.set()
            await go.wait()
            return b"done"

        connection = await node.connect(server.ticket)
        asking = asyncio.create_task(connection.request(b"?"))
        await began.wait()
        events = server.events()
        draining = asyncio.create_task(server.drain(within=30))
        await first(events, "draining")
        assert not draining.done()

        async def ask_until_refused():
            # What is on its way when it is said is still taken.
            async with asyncio.timeout(30):
                while await connection.request(b"new"):
                    pass

        with pytest.raises(ConnectionError):
            await ask_until_refused()
        go.set()
        assert await asking == b"done"
        await draining


async def test_one_node_of_an_entity_is_reached_by_its_own_name(settings):
    shop = NetID.generate()
    async with (
        Node.create(netid=shop, config=settings) as one,
        Node.create(netid=shop, config=settings) as other,
        Node.create(config=settings) as node,
    ):
        for server in (one, other):
            async with node.connect_to_peer(server.peer_id, timeout=20) as connection:
                assert connection.peer_id == server.peer_id
                assert connection.netid is None


async def test_a_service_that_is_withdrawn_is_served_no_more_and_may_be_again(pair):
    server, connection = pair

    async def answer(request):
        return b"small"

    service = server.serve("thumbnails/1")
    assert service(answer) is answer
    with pytest.raises(netcom.BadArgument, match="already"):
        server.serve("thumbnails/1")(answer)
    assert await connection.request(b"", service="thumbnails/1") == b"small"
    service.withdraw()
    with pytest.raises(netcom.NotFound):
        await connection.request(b"", service="thumbnails/1")
    server.serve("thumbnails/1")(answer)
    assert await connection.request(b"", service="thumbnails/1") == b"small"


async def test_streams_of_a_service_are_served_each_by_a_task(pair):
    server, connection = pair

    @server.serve_streams("upper/1")
    async def upper(stream, visitor):
        assert visitor.peer_id != server.peer_id
        while data := await stream.read():
            if data == b"fail":
                raise HandlerError("bad_word", "this word cannot be said", word="fail")
            await stream.write(data.upper())

    async with connection.x_stream("upper/1") as stream:
        await stream.write(b"cat")
        assert await stream.read() == b"CAT"
        await stream.finish()
        assert await stream.read() == b""

    stream = await connection.x_stream("upper/1")
    await stream.write(b"fail")
    errors = [error async for error in stream.errors()]
    assert [(error.code, error.context) for error in errors] == [("bad_word", {"word": "fail"})]


@pytest.mark.parametrize("name", ["", "thumbnails", "/1", "a/", "a\n/1", "x" * 300 + "/1"])
async def test_what_is_no_name_of_a_service_is_refused(settings, name):
    async with Node.create(config=settings) as node:
        with pytest.raises(netcom.BadArgument):
            node.serve(name)(lambda request: request)


async def test_who_may_is_named_by_a_key(settings):
    async with Node.create(config=settings) as node:
        with pytest.raises(netcom.BadArgument):
            node.allow(["example.org"])
        with pytest.raises(TypeError):
            node.allow([1])


async def test_a_node_tells_what_happens(settings):
    alice = NetID.generate()
    async with Node.create(netid=alice, role=NodeRole.SERVER, config=settings) as server:
        events = server.events()
        node = await Node.create(config=settings)
        connection = await node.connect_to_netid(alice)
        connected = await first(events, "connected")
        assert (connected.peer_id, connected.is_inbound) == (node.peer_id, True)
        await connection.close(7, "done")
        ended = await first(events, "disconnected")
        assert (ended.peer_id, ended.is_by_peer, ended.reason) == (node.peer_id, True, "done")
        await node.close()
        await server.close()
        assert (await first(events, "closed")).kind == "closed"
        assert [event async for event in events] == []


async def test_links_are_seen_with_their_role_and_why_they_have_it(settings):
    alice = NetID.generate()
    async with (
        Node.create(netid=alice, role=NodeRole.SERVER, config=settings),
        Node.create(config=settings) as node,
    ):
        events = node.events()
        async with node.connect_to_netid(alice, links="standby") as connection:
            up = [await first(events, "link_up") for _ in range(2)]
            assert {event.transport for event in up} == {"tcp", "quic"}
            assert await connection.ping() is not None
            links = {link.role: link for link in connection.links()}
            assert links.keys() == {"active", "standby"}
            active, standby = links["active"], links["standby"]
            assert active.is_active
            assert active.is_dialer
            assert active.bytes_sent > 0
            assert "link in use works" in standby.reason
            assert standby.reason in repr(standby)
            path = connection.path
            assert (path.link, path.remote, path.local) == (
                active.kind,
                active.remote,
                active.local,
            )
            assert path.standby == 1
            node.commander.close_link(active.session, active.id)
            assert (await first(events, "link_down")).link == active.id


async def test_a_policy_of_links_is_one_that_there_is(settings):
    for policy in ("auto", "single", "standby", "stripe", "mirror"):
        await (await Node.create(links=policy, config=settings)).close()
    with pytest.raises(netcom.BadArgument, match="auto, single"):
        await Node.create(links="many", config=settings)
    async with Node.create(config=settings) as node:
        with pytest.raises(netcom.BadArgument, match="auto, single"):
            await node.connect_to_netid(NetID.generate(), links="many")


async def test_the_commander_sees_what_there_is_and_ends_it(pair):
    server, connection = pair
    stream = await connection.bytes_stream()
    await stream.write(b"x" * 1000)
    assert await connection.ping() is not None, "the server knows of the session, too"
    commander = server.commander
    [peer] = commander.peers()
    [session] = commander.sessions()
    [link, *_] = commander.links()
    assert peer.peer_id == session.peer_id == link.peer_id
    assert session.state == "live"
    assert link.kind in ("tcp", "quic")
    assert commander.panics() == 0
    assert connection.xauth.peer_id == server.peer_id
    assert server.netid in connection.xauth.netids
    assert not commander.close_session(session.id + 1000)
    limits, counters = commander.limits(), commander.counters()
    assert (limits.resume_seconds, limits.sessions_per_peer) == (60, 4)
    assert (counters.panics, counters.handshakes_failed) == (0, 0)
    assert counters.links_accepted >= 1
    assert session.bytes_per_second is None
    assert commander.limit_peer(peer.peer_id, 1_000_000) == 1
    [session] = commander.sessions()
    assert session.bytes_per_second == 1_000_000
    assert commander.limit_peer(peer.peer_id, None) == 1
    assert commander.limit_peer(server.peer_id, 1) == 0
    assert commander.close_peer(peer.peer_id, "enough") == 1
    with pytest.raises(ConnectionError):
        await stream.read()
