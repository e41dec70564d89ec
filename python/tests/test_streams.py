"""Streams between two nodes of one process."""

import asyncio
import contextlib
import ctypes

import pytest

import netcom
from netcom import ByteStream, MessageStream, StreamError, XStream


async def accept(server):
    """The first stream of the first connection a peer opens."""
    async for connection in server.incoming():
        async for stream in connection.incoming_streams():
            return stream


async def test_bytes_go_both_ways_and_end(pair):
    server, connection = pair
    async with connection.bytes_stream() as ours:
        await ours.write(b"FILE_DATA_CHUNK")
        theirs = await accept(server)
        assert isinstance(theirs, ByteStream)
        assert await theirs.read(4096) == b"FILE_DATA_CHUNK"
        await theirs.write(b"got it")
        await theirs.finish()
        assert await ours.read(4096) == b"got it"
        assert await ours.read(4096) == b""
    assert await theirs.read() == b""


async def test_a_stream_carries_more_than_fits_any_buffer(pair):
    server, connection = pair
    chunk = bytes(1 << 20)
    ours = await connection.bytes_stream()

    async def write():
        for _ in range(64):
            await ours.write(chunk)
        await ours.finish()

    writing = asyncio.create_task(write())
    theirs = await accept(server)
    total = 0
    async for received in theirs:
        total += len(received)
    await writing
    assert total == 64 << 20


async def test_messages_stay_whole_and_in_order(pair):
    server, connection = pair
    ours = await connection.msg_stream()
    sent = [b"%d" % n * (n % 300) for n in range(1000)]

    async def write():
        for message in sent:
            await ours.write(message)
        await ours.finish()

    writing = asyncio.create_task(write())
    theirs = await accept(server)
    assert isinstance(theirs, MessageStream)
    assert [await theirs.read() for _ in range(10)] == sent[:10]
    assert [message async for message in theirs] == sent[10:]
    assert await theirs.read() is None
    await writing


async def sent_and_accepted(server, connection, messages):
    """The far end of a stream on which messages were sent, and which was finished."""
    async with connection.msg_stream() as ours:
        for message in messages:
            await ours.write(message)
    return await accept(server)


async def test_what_an_iteration_that_ends_has_not_given_is_there_for_the_next_reader(pair):
    sent = [b"%d" % n for n in range(10)]
    theirs = await sent_and_accepted(*pair, sent)
    async for message in theirs:
        assert message == sent[0]
        break
    assert await theirs.read() == sent[1]
    assert await theirs.read(view=True) == sent[2]

    async def fail():
        async for message in theirs:
            raise RuntimeError(message)

    with pytest.raises(RuntimeError, match="3"):
        await fail()
    assert await theirs.read_batch(2) == sent[4:6]
    async for message in theirs.views():
        assert message == sent[6]
        break
    assert [message async for message in theirs] == sent[7:]
    assert await theirs.read() is None
    assert await theirs.read_batch() == []


async def test_an_iteration_that_is_cancelled_loses_no_message(pair):
    sent = [b"%d" % n for n in range(10)]
    theirs = await sent_and_accepted(*pair, sent)
    took, has_three = [], asyncio.Event()

    async def take():
        async for message in theirs:
            took.append(message)
            if len(took) == 3:
                has_three.set()
                await asyncio.Event().wait()

    taking = asyncio.create_task(take())
    await has_three.wait()
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    assert took + [message async for message in theirs] == sent


async def test_messages_come_in_batches_of_what_is_there(pair):
    sent = [b"%d" % n for n in range(100)]
    theirs = await sent_and_accepted(*pair, sent)
    received = []
    while batch := await theirs.read_batch(7):
        assert len(batch) <= 7
        assert all(type(message) is bytes for message in batch)
        received += batch
    assert received == sent


def at_once(awaitable):
    """What a call gives at its first step: without its loop."""
    with pytest.raises(StopIteration) as ended:
        next(awaitable.__await__())
    return ended.value.value


async def test_messages_that_are_here_are_read_without_a_turn_of_the_loop(pair):
    sent = [b"%d" % n for n in range(10)]
    theirs = await sent_and_accepted(*pair, sent)
    assert at_once(theirs.read()) == sent[0]
    assert at_once(theirs.read(view=True)) == sent[1]
    assert at_once(theirs.read_batch(2)) == sent[2:4]
    assert at_once(theirs.read_batch()) == sent[4:]
    assert at_once(theirs.read()) is None


async def test_bytes_are_written_and_read_without_a_turn_of_the_loop(pair):
    server, connection = pair
    async with connection.bytes_stream() as ours:
        assert at_once(ours.write(b"x" * 100)) is None
    theirs = await accept(server)
    assert at_once(theirs.read(10)) == b"x" * 10
    assert at_once(theirs.read()) == b"x" * 90
    assert at_once(theirs.read()) == b""


async def test_batches_are_of_views_where_that_is_asked_for(pair):
    sent = [b"%d" % n for n in range(100)]
    theirs = await sent_and_accepted(*pair, sent)
    batch = await theirs.read_batch(view=True)
    assert batch
    assert all(isinstance(message, netcom.Payload) for message in batch)
    assert batch == sent[: len(batch)]


@pytest.mark.parametrize("read", ["read_to_end", "views"])
async def test_views_are_read_only_and_of_the_same_bytes(pair, read):
    server, connection = pair
    async with connection.bytes_stream() as ours:
        await ours.write(b"x" * 5000)
    theirs = await accept(server)
    if read == "views":
        chunks = [chunk async for chunk in theirs.views()]
    else:
        chunks = [await theirs.read_to_end(view=True)]
    assert all(memoryview(chunk).readonly for chunk in chunks)
    assert b"".join(chunks) == b"x" * 5000


def address(payload):
    """Where in memory a payload's bytes are."""
    buffer = (ctypes.c_void_p * 16)()  # A `Py_buffer`, which begins with it, and some room.
    ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(payload), buffer, 0)
    start = buffer[0]
    ctypes.pythonapi.PyBuffer_Release(buffer)
    return start


async def test_views_are_parts_of_what_was_received_and_no_copies(pair):
    server, connection = pair
    async with connection.bytes_stream() as ours:
        await ours.write(b"x" * 100)
    theirs = await accept(server)
    first, second = [await theirs.read(10, view=True) for _ in range(2)]
    assert address(second) == address(first) + len(first)


async def test_a_stream_that_was_given_up_gives_nothing_more(pair):
    server, connection = pair
    ours = await connection.msg_stream()
    for message in (b"first", b"second"):
        await ours.write(message)
    theirs = await accept(server)
    async for message in theirs:
        assert message == b"first"
        break
    await theirs.reset()
    with pytest.raises(EOFError):
        await theirs.read()


async def test_a_message_that_is_too_long_is_refused_and_the_stream_goes_on(pair):
    server, connection = pair
    ours = await connection.msg_stream()
    with pytest.raises(netcom.PayloadTooLarge):
        await ours.write(bytes(17 << 20))
    await ours.write(b"short")
    theirs = await accept(server)
    assert await theirs.read() == b"short"


async def test_errors_pass_blocked_data(pair):
    server, connection = pair
    ours = await connection.x_stream()
    await ours.write(b"begin")
    theirs = await accept(server)
    assert isinstance(theirs, XStream)

    async def fill():
        while True:
            await theirs.write(bytes(1 << 20))

    filling = asyncio.create_task(fill())
    await theirs.send_error("low_disk", "the disk is nearly full", {"free": "3 MB"})
    async for error in ours.errors():
        assert error == StreamError("low_disk", "the disk is nearly full", {"free": "3 MB"})
        break
    filling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await filling


async def test_a_read_that_is_cancelled_loses_nothing(pair):
    server, connection = pair
    ours = await connection.msg_stream()
    await ours.write(b"first")
    theirs = await accept(server)
    assert await theirs.read() == b"first"
    for _ in range(100):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await theirs.read()
    await ours.write(b"second")
    assert await theirs.read() == b"second"


async def waits(writing, connection):
    """Whether a write waits for its reader, and not only for what is on its way."""
    for _ in range(20):
        await connection.ping()
        if writing.done():
            return False
    return True


@pytest.mark.parametrize("length", [1000, 10_000])
async def test_a_waiting_write_that_is_cancelled_has_sent_its_message_or_nothing(pair, length):
    server, connection = pair
    ours = await connection.msg_stream()
    tried, sent = [], set()

    def write():
        tried.append(b"%08d" % len(tried) * (length // 8))
        return tried[-1], asyncio.create_task(ours.write(tried[-1]))

    async def give_up(message, writing):
        writing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await writing
            sent.add(message)

    message, writing = write()
    while not await waits(writing, connection):
        await writing
        sent.add(message)
        message, writing = write()
    behind = write()
    assert await waits(behind[1], connection)
    await give_up(*behind)
    await give_up(message, writing)
    after = write()
    assert await waits(after[1], connection)
    await give_up(*after)
    assert len(tried) - len(sent) == 3

    async def read():
        return [message async for message in await accept(server)]

    reading = asyncio.create_task(read())
    last, writing = write()
    await writing
    await ours.finish()
    received = await reading
    assert received == [message for message in tried if message in received]
    assert sent <= set(received)
    assert received[-1] == last


async def test_an_awaited_call_is_not_awaited_again(pair):
    _, connection = pair
    ping = connection.ping()
    assert await ping >= 0
    with pytest.raises(RuntimeError, match="awaited before"):
        await ping


async def test_a_connection_tells_what_it_has_counted(pair):
    server, connection = pair
    before = connection.stats
    stream = await connection.bytes_stream()
    await stream.write(bytes(100_000))
    theirs = await accept(server)
    await theirs.write(bytes(50_000))
    await theirs.finish()
    assert len(await stream.read_to_end()) == 50_000
    stats = connection.stats
    assert stats.state == "live"
    assert stats.streams == before.streams + 1
    assert stats.streams_opened == before.streams_opened + 1
    assert stats.bytes_sent - before.bytes_sent >= 100_000
    assert stats.bytes_received - before.bytes_received == 50_000
    assert (stats.bytes_repeated, stats.datagrams_dropped) == (0, 0)
    await connection.ping()
    assert 0 < connection.stats.rtt < 10
    assert "bytes sent" in repr(stats)
    with pytest.raises(AttributeError):
        stats.streams = 0
    await connection.close()
    assert connection.stats.state == "closed"
