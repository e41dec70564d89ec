"""Requests between two nodes of one process."""

import asyncio
import gc
import sys
import warnings
import weakref

import pytest

import netcom
from netcom import HandlerError, Node


async def test_a_request_is_answered_by_the_handler(pair):
    server, connection = pair

    @server.on_request
    async def answer(request):
        return request.body[::-1]

    assert await connection.request(b"abc") == b"cba"


async def test_requests_do_not_wait_for_each_other(pair):
    server, connection = pair
    go = asyncio.Event()

    @server.on_request
    async def answer(request):
        if request.body == b"slow":
            await go.wait()
        return request.body

    slow = asyncio.create_task(connection.request(b"slow"))
    answers = await asyncio.gather(*(connection.request(b"%d" % n) for n in range(200)))
    assert answers == [b"%d" % n for n in range(200)]
    assert not slow.done()
    go.set()
    assert await slow == b"slow"


async def test_what_a_handler_raises_reaches_the_caller(pair):
    server, connection = pair

    @server.on_request
    async def answer(request):
        if request.body == b"told":
            raise HandlerError("no_such_cat", "there is no such cat", id="123")
        raise ValueError("unexpected")

    with pytest.raises(netcom.RemoteError) as told:
        await connection.request(b"told")
    assert (told.value.code, told.value.context) == ("no_such_cat", {"id": "123"})
    with pytest.raises(netcom.RemoteError, match="ValueError: unexpected"):
        await connection.request(b"other")


async def test_a_request_without_an_answer_times_out(pair):
    server, connection = pair

    @server.on_request
    async def answer(request):
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError) as late:
        await connection.request(b"?", timeout=0.05)
    assert late.value.code == "timeout"
    assert not isinstance(late.value, ConnectionError), "the node is there, and only slow"
    assert late.value.hint


async def test_a_cancelled_request_is_given_up_and_the_connection_goes_on(pair):
    server, connection = pair
    began = asyncio.Event()

    @server.on_request
    async def answer(request):
        if request.body == b"wait":
            began.set()
            await asyncio.Event().wait()
        return b"here"

    waiting = asyncio.create_task(connection.request(b"wait"))
    await began.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await connection.request(b"?") == b"here"


@pytest.mark.parametrize("how", ["cancelled", "timed out", "gone"])
async def test_a_handler_is_cancelled_when_its_caller_gives_up(settings, how):
    began, ended = asyncio.Event(), asyncio.Event()
    async with Node.create(config=settings) as server, Node.create(config=settings) as node:

        @server.on_request
        async def answer(request):
            began.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                ended.set()
                raise

        connection = await node.connect(server.ticket)
        timeout = 0.2 if how == "timed out" else None
        beginning = asyncio.create_task(began.wait())
        async with asyncio.timeout(30):
            # Again where so short a time was over before the handler began.
            while not began.is_set():
                asking = asyncio.create_task(connection.request(b"?", timeout=timeout))
                await asyncio.wait([asking, beginning], return_when=asyncio.FIRST_COMPLETED)
            if how == "cancelled":
                asking.cancel()
            elif how == "gone":
                await node.close()
            await ended.wait()
        with pytest.raises((asyncio.CancelledError, TimeoutError, ConnectionError)):
            await asking


async def test_a_cancelled_handler_is_kept_until_it_has_cleaned_up(pair):
    server, connection = pair
    began, cleaning, cleaned = asyncio.Event(), asyncio.Event(), asyncio.Event()
    releases = weakref.WeakSet()

    @server.on_request
    async def answer(request):
        released = asyncio.Event()
        releases.add(released)
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            cleaning.set()
            await released.wait()
            cleaned.set()

    asking = asyncio.create_task(connection.request(b"?"))
    async with asyncio.timeout(30):
        await began.wait()
        gc.collect()
        asking.cancel()
        await cleaning.wait()
        # The handler and what it waits for hold each other, and the test holds neither.
        gc.collect()
        [released] = releases
        released.set()
        await cleaned.wait()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_a_handler_that_cancels_itself_harms_nobody_else(pair):
    server, connection = pair

    @server.on_request
    async def answer(request):
        if request.body == b"stop":
            asyncio.current_task().cancel()
            await asyncio.sleep(0)
        return request.body

    with pytest.raises(netcom.RemoteError) as gone:
        await connection.request(b"stop")
    assert gone.value.code == "gone"
    assert await connection.request(b"go on") == b"go on"


async def test_handlers_may_be_at_their_end_when_their_task_is_made(pair):
    server, connection = pair
    loop = asyncio.get_running_loop()

    def at_once(loop, coroutine, **_):
        # As asyncio.eager_task_factory of Python 3.12 does for what never waits.
        with pytest.raises(StopIteration):
            coroutine.send(None)
        ended = loop.create_future()
        ended.set_result(None)
        return ended

    @server.on_request
    async def answer(request):
        return request.body

    loop.set_task_factory(at_once)
    try:
        assert await connection.request(b"?") == b"?"
    finally:
        loop.set_task_factory(None)


async def test_what_is_never_awaited_is_warned_of(pair):
    _, connection = pair
    for name in ("Connection.ping", "Connection.bytes_stream"):
        with pytest.warns(RuntimeWarning, match=f"{name} was never awaited"):
            getattr(connection, name.removeprefix("Connection."))()
        gc.collect()
    with pytest.warns(RuntimeWarning, match="bytes_stream was never awaited") as warned:
        connection.bytes_stream().__await__()
    assert len(warned) == 1
    with pytest.warns(RuntimeWarning, match="request was never awaited") as warned:
        with pytest.raises(ZeroDivisionError):
            print(connection.request(b"?"), 1 // 0)
    assert len(warned) == 1


async def test_what_was_awaited_closed_or_cancelled_is_not_warned_of(pair):
    _, connection = pair
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        assert await connection.ping() >= 0
        connection.ping().close()
        connection.bytes_stream().close()
        async with connection.bytes_stream():
            pass
        for never_begun in (connection.request(b"?"), connection.x_stream()):
            task = asyncio.create_task(never_begun)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        del never_begun, task
        gc.collect()
    assert warned == []


async def test_payloads_of_all_kinds_and_lengths_go_there_and_back(pair):
    server, connection = pair

    @server.on_request
    async def answer(request):
        return request.view

    for length in (0, 1, 1023, 1024, 100_000, 3_000_000):
        body = bytes(range(256)) * (length // 256 + 1)
        for kind in (bytes, bytearray, memoryview):
            assert await connection.request(kind(body[:length])) == body[:length]
    view = await connection.request(b"x" * 5000, view=True)
    assert memoryview(view).readonly
    assert bytes(view) == b"x" * 5000


async def test_bytes_are_borrowed_and_what_can_change_is_copied(pair):
    server, connection = pair
    body = bytes(5000)
    before = sys.getrefcount(body)
    request = connection.request(body)
    assert sys.getrefcount(body) > before
    request.close()

    @server.on_request
    async def answer(request):
        return request.view

    changing = bytearray(b"before" * 1000)
    request = connection.request(changing)
    changing[:] = b"after!" * 1000
    assert await request == b"before" * 1000


async def test_a_received_buffer_is_equal_to_its_bytes(pair):
    server, connection = pair

    @server.on_request
    async def answer(request):
        return request.body

    view = await connection.request(b"x" * 5000, view=True)
    assert view == b"x" * 5000
    assert hash(view) == hash(b"x" * 5000)
    assert len(view) == 5000


async def test_text_is_refused_before_anything_is_sent(pair):
    _, connection = pair

    with pytest.raises(TypeError, match="encode"):
        connection.request("text")
