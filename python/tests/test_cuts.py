"""What a connection does when the network under it is cut."""

import asyncio
import contextlib
import random
import subprocess
import sys
import textwrap

import pytest

import netcom
from netcom import Node, NodeRole


class Wire:
    """A way to a TCP port through which the tests cut what goes over it."""

    def __init__(self, port):
        self._port = port
        self._carried = []
        self._server = None

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self.cut()

    def cut(self):
        """Drops every connection, and takes no further one."""
        self._server.close()
        self.drop()

    def drop(self):
        """Drops every connection, and tells how many; the next one is carried."""
        dropped, self._carried = self._carried, []
        for ends in dropped:
            _abort(ends)
        return len(dropped)

    async def _carry(self, reader, writer):
        # From the beginning on: it may be dropped before it has its other end.
        ends = [writer]
        self._carried.append(ends)
        try:
            with contextlib.suppress(ConnectionError):
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
                ends.append(far_writer)
                await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        finally:
            _abort(ends)
            if ends in self._carried:
                self._carried.remove(ends)


async def _pump(reader, writer):
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()


def _abort(ends):
    for writer in ends:
        writer.transport.abort()


@contextlib.asynccontextmanager
async def reached_by_wire(**settings):
    """A node, and a connection to it that goes over a wire and nowhere else."""
    async with Node.create(discovery="off", listen=["/ip4/127.0.0.1/tcp/0"], **settings) as server:
        [address] = [str(address) for address in server.addresses]
        _, _, _, _, port, *_ = address.split("/")
        async with (
            Wire(int(port)) as wire,
            Node.create(discovery="off", role=NodeRole.CLIENT, **settings) as node,
            node.connect(f"/ip4/127.0.0.1/tcp/{wire.port}/p2p/{server.peer_id}") as connection,
        ):
            yield server, node, connection, wire


async def accept(server):
    """The first stream of the first connection a peer opens."""
    async for connection in server.incoming():
        async for stream in connection.incoming_streams():
            return stream


async def until(events, kind):
    """Waits for an event of a kind."""
    async with asyncio.timeout(30):
        async for event in events:
            if event.kind == kind:
                return


async def test_after_a_cut_the_connection_comes_back_and_streams_and_requests_go_on():
    async with reached_by_wire() as (server, node, connection, wire):
        began, go = asyncio.Event(), asyncio.Event()

        @server.on_request
        async def answer(request):
            began.set()
            await go.wait()
            return request.body

        ours = await connection.bytes_stream()
        await ours.write(b"before")
        theirs = await accept(server)
        assert await theirs.read() == b"before"
        asking = asyncio.create_task(connection.request(b"asked before"))
        await began.wait()

        events = node.events()
        assert wire.drop() > 0
        await until(events, "detached")
        await ours.write(b"while it was away")
        await until(events, "resumed")
        go.set()
        assert await asking == b"asked before"
        assert await theirs.read() == b"while it was away"
        await theirs.write(b"and back")
        assert await ours.read() == b"and back"
        assert connection.stats.state == "live"


async def test_bulk_arrives_once_and_in_order_over_many_cuts():
    async with reached_by_wire() as (server, _, connection, wire):
        ours = await connection.bytes_stream()
        source, sent, received, cuts = random.Random(0), bytearray(), bytearray(), 0

        async def write():
            while cuts < 8:
                sent.extend(source.randbytes(100_000))
                await ours.write(sent[-100_000:])
            await ours.finish()

        writing = asyncio.create_task(write())
        theirs, next_cut = await accept(server), 1 << 20
        async for chunk in theirs:
            received += chunk
            # What came before a cut is read after it, too, while there is no connection to drop.
            if len(received) >= next_cut and wire.drop():
                cuts += 1
                next_cut = len(received) + (1 << 20)
        await writing
        assert received == sent


NODE = textwrap.dedent(
    """
    import asyncio, sys
    from netcom import Node

    async def main():
        async with Node.create(discovery="off", listen=[sys.argv[1]]) as node:

            @node.on_request
            async def answer(request):
                return request.body

            print(node.ticket, flush=True)
            await asyncio.Event().wait()

    asyncio.run(main())
    """
)


@pytest.mark.parametrize("where", ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"])
async def test_a_request_to_a_node_that_was_killed_ends_as_a_connection_error(where):
    program = [sys.executable, "-c", NODE, where]
    process = await asyncio.create_subprocess_exec(*program, stdout=subprocess.PIPE)
    try:
        ticket = (await process.stdout.readline()).decode().strip()
        async with (
            Node.create(discovery="off", role=NodeRole.CLIENT) as node,
            node.connect(ticket) as connection,
        ):
            assert await connection.request(b"?") == b"?"
            process.kill()
            await process.wait()
            # As document 000 catches it, with a timeout that is over before the resume window is.
            with pytest.raises(ConnectionError) as lost:
                await connection.request(b"?", timeout=2)
            assert isinstance(lost.value, (netcom.ConnectionTimeout, TimeoutError))
            assert lost.value.code == "no_link"
            assert "connect again" in lost.value.hint
            assert connection.path.link is None or connection.links()[0].is_suspect
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_beyond_the_resume_window_streams_and_requests_end_with_an_error():
    async with reached_by_wire(resume_seconds=0.05) as (server, node, connection, wire):
        ours = await connection.bytes_stream()
        await ours.write(b"before")
        theirs = await accept(server)
        assert await theirs.read() == b"before"

        wire.cut()
        for stream in (ours, theirs):
            async with asyncio.timeout(30):
                with pytest.raises(netcom.ConnectionLost) as lost:
                    await stream.read()
            assert isinstance(lost.value, ConnectionError)
            assert lost.value.code == "session_ended"
        with pytest.raises(ConnectionError):
            await ours.write(b"more")
        with pytest.raises(ConnectionError) as lost:
            await connection.request(b"?")
        assert lost.value.hint == "connect again"
        assert connection.stats.state == "closed"

        async with node.connect(server.ticket) as again:
            assert await again.ping() >= 0
