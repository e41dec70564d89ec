"""Loops, threads, forks and the end of the interpreter."""

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
import threading
import warnings

import pytest

from netcom import NetID, Node, NodeRole, _native


def run(program, **environment):
    """Runs a program in a process of its own."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        env={**os.environ, "NETCOM_DISCOVERY": "host", **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_two_loops_in_two_threads_work_at_once(settings):
    alice = NetID.generate()
    ready, done = threading.Barrier(2), threading.Event()
    answers = []

    async def serve():
        async with Node.create(netid=alice, role=NodeRole.SERVER, config=settings) as server:

            @server.on_request
            async def answer(request):
                return request.body + b"!"

            ready.wait()
            await asyncio.to_thread(done.wait)

    async def ask():
        ready.wait()
        try:
            async with Node.create(config=settings) as node:
                connection = await node.connect_to_netid(alice)
                answers.extend([await connection.request(b"%d" % n) for n in range(100)])
        finally:
            done.set()

    threads = [threading.Thread(target=asyncio.run, args=(main(),)) for main in (serve, ask)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [b"%d!" % n for n in range(100)]


def test_a_node_may_be_used_by_one_loop_after_another(settings):
    node = asyncio.run(_opened(settings))
    asyncio.run(node.close())


async def _opened(settings):
    return await Node.create(config=settings)


def test_a_loop_that_is_closed_with_calls_under_way_leaves_the_node_to_the_next(tmp_path):
    ended = run(
        """
        import asyncio
        from netcom import MessageStream, Node

        async def begin():
            server, node = await Node.create(), await Node.create()
            begun = asyncio.Event()

            @server.on_request
            async def answer(request):
                begun.set()
                await asyncio.Event().wait()

            connection = await node.connect(server.ticket)
            stream = await connection.x_stream()
            calls = [
                asyncio.create_task(connection.request(b"first")),
                asyncio.create_task(stream.read()),
            ]
            await begun.wait()
            assert not any(call.done() for call in calls)
            return server, node, connection, calls

        async def go_on(server, node, connection):
            @server.on_request
            async def answer(request):
                return request.body

            async with asyncio.timeout(20):
                assert await connection.request(b"second") == b"second"
                async with connection.msg_stream() as ours:
                    await ours.write(b"hello")
                visitor = await anext(server.incoming())
                async for theirs in visitor.incoming_streams():
                    if isinstance(theirs, MessageStream):
                        break
                assert await theirs.read() == b"hello"
                await node.close()
                await server.close()

        loop = asyncio.new_event_loop()
        server, node, connection, calls = loop.run_until_complete(begin())
        loop.close()
        asyncio.run(go_on(server, node, connection))
        print("went on")
        """,
        NETCOM_REGISTRY_DIR=str(tmp_path),
    )
    assert ended.stdout == "went on\n", ended.stderr
    assert ended.returncode == 0, ended.stderr


def test_a_node_that_is_left_open_is_warned_of(settings):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        node = asyncio.run(_opened(settings))
        del node
        gc.collect()
    told = [str(it.message) for it in caught if issubclass(it.category, ResourceWarning)]
    assert any("unclosed <netcom.Node 12D3KooW" in message for message in told)


def test_a_loop_that_watches_no_descriptors_is_told_in_another_way(settings):
    class Loop(asyncio.SelectorEventLoop):
        def add_reader(self, *_):
            raise NotImplementedError

    async def main():
        async with Node.create(config=settings) as server, Node.create(config=settings) as node:

            @server.on_request
            async def answer(request):
                return request.body

            connection = await node.connect(server.ticket)
            return await asyncio.gather(*(connection.request(b"%d" % n) for n in range(100)))

    with asyncio.Runner(loop_factory=Loop) as runner:
        assert runner.run(main()) == [b"%d" % n for n in range(100)]


def test_outside_of_asyncio_a_call_says_so_and_can_be_made_later():
    operation = _native.Node.create({"discovery": "off"})
    with pytest.raises(RuntimeError, match="asyncio"):
        operation.send(None)

    async def later():
        await (await operation).close()

    asyncio.run(later())


def test_a_forked_child_is_told_and_the_parent_goes_on(tmp_path):
    ended = run(
        """
        import asyncio, os
        from netcom import Node

        async def main():
            async with Node.create() as node:
                child = os.fork()
                if child == 0:
                    try:
                        node.peer_id
                    except RuntimeError as error:
                        os._exit(0 if "fork" in str(error) else 1)
                    os._exit(2)
                _, status = os.waitpid(child, 0)
                assert os.waitstatus_to_exitcode(status) == 0, status
                async with Node.create() as other:
                    connection = await other.connect(node.ticket)
                    assert await connection.ping() >= 0

        asyncio.run(main())
        """,
        NETCOM_REGISTRY_DIR=str(tmp_path),
    )
    assert ended.returncode == 0, ended.stderr


def test_a_forked_child_is_refused_at_once_and_what_the_parent_began_is_answered(tmp_path):
    ended = run(
        """
        import asyncio, gc, os, signal
        from netcom import Node

        def is_refused(call):
            try:
                call()
            except RuntimeError as error:
                return "fork" in str(error)
            return False

        async def main():
            server, node = await Node.create(), await Node.create()
            begun, released = asyncio.Event(), asyncio.Event()

            @server.on_request
            async def answer(request):
                begun.set()
                await released.wait()
                return request.body

            ticket = server.ticket
            connection = await node.connect(ticket)
            stream = await connection.bytes_stream()
            pending = connection.request(b"parent")
            asking = asyncio.create_task(pending)
            await begun.wait()
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                code = 1
                try:
                    calls = [
                        lambda: connection.request(b"child"),
                        lambda: stream.write(b"child"),
                        lambda: stream.read(),
                        lambda: stream.finish(),
                        lambda: node.connect(ticket),
                        lambda: connection.ping(),
                        lambda: pending.send(None),
                    ]
                    code = 0 if all([is_refused(call) for call in calls]) else 2
                    del server, node, connection, stream, pending, asking, calls
                    gc.collect()
                finally:
                    os._exit(code)
            _, status = os.waitpid(child, 0)
            assert os.waitstatus_to_exitcode(status) == 0, status
            released.set()
            assert await asking == b"parent"
            await stream.write(b"parent")
            await stream.finish()
            await node.close()
            await server.close()

        asyncio.run(main())
        """,
        NETCOM_REGISTRY_DIR=str(tmp_path),
    )
    assert ended.returncode == 0, ended.stderr


def test_a_forked_child_can_make_nodes_of_its_own(tmp_path):
    ended = run(
        """
        import asyncio, os
        from netcom import Node

        async def main():
            async with Node.create() as node:
                async with Node.create() as other:
                    connection = await other.connect(node.ticket)
                    assert await connection.ping() >= 0

        asyncio.run(main())
        child = os.fork()
        if child == 0:
            asyncio.run(main())
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0, status
        """,
        NETCOM_REGISTRY_DIR=str(tmp_path),
    )
    assert ended.returncode == 0, ended.stderr


def test_the_interpreter_ends_with_live_traffic(tmp_path):
    ended = run(
        """
        import asyncio, os, sys
        from netcom import Node

        async def main():
            server, node = await Node.create(), await Node.create()

            @server.on_request
            async def answer(request):
                return request.body

            connection = await node.connect(server.ticket)
            answered = asyncio.Semaphore(0)
            async def ask():
                while True:
                    await connection.request(b"?" * 5000)
                    answered.release()
            tasks = [asyncio.create_task(ask()) for _ in range(50)]
            for _ in range(1000):
                await answered.acquire()
            print("live", flush=True)
            sys.exit(7)

        import warnings
        warnings.simplefilter("ignore")
        asyncio.run(main())
        """,
        NETCOM_REGISTRY_DIR=str(tmp_path),
    )
    assert ended.stdout == "live\n"
    assert ended.returncode == 7, ended.stderr
