"""The examples in the package's docstrings.

Each is run with what the package's own docstring promises: a node, and its connection to a node of
an entity. They await at the top, as `python -m asyncio` lets people do.
"""

import ast
import asyncio
import doctest
import importlib
import inspect
import pkgutil

import pytest

import netcom
from netcom import NetID, Node, NodeRole

MODULES = ["netcom", *(f"netcom.{module.name}" for module in pkgutil.iter_modules(netcom.__path__))]
# Nobody calls it: it reads the user's own settings.
WITHOUT_API = {"netcom.settings"}


def examples():
    """The docstrings of all modules that have examples."""
    for name in MODULES:
        for test in doctest.DocTestFinder().find(importlib.import_module(name), name):
            if test.examples:
                yield test


EXAMPLES = list(examples())


async def accept(server):
    """The first stream of the next connection a peer opens."""
    async for connection in server.incoming():
        async for stream in connection.incoming_streams():
            return stream


@pytest.fixture
def loop():
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def names(loop, tmp_path, monkeypatch):
    """What examples begin with."""
    monkeypatch.setenv("NETCOM_DISCOVERY", "host")
    monkeypatch.setenv("NETCOM_REGISTRY_DIR", str(tmp_path / "registry"))
    alice = NetID.generate()

    async def begin():
        server = await Node.create(netid=alice, role=NodeRole.SERVER)

        @server.on_request
        async def answer(request):
            return request.body + b", or so I heard"

        node = await Node.create()
        connection = await node.connect_to_netid(alice)
        # What follows finds a link that works.
        assert await connection.ping() is not None
        return server, node, connection

    async def end():
        await node.close()
        await server.close()

    server, node, connection = loop.run(begin())
    public = {name: getattr(netcom, name) for name in netcom.__all__}
    yield public | {
        "accept": accept,
        "alice": alice,
        "connection": connection,
        "folder": tmp_path,
        "netcom": netcom,
        "node": node,
        "server": server,
    }
    loop.run(end())


@pytest.mark.parametrize("test", EXAMPLES, ids=lambda test: test.name)
def test_an_example_does_what_it_says(test, names, loop, monkeypatch):
    async def run_in_loop(code, names):
        result = eval(code, names)
        if inspect.isawaitable(result):
            await result

    def run(code, names):
        if "asyncio" in code.co_names:
            # It brings a loop of its own, as programs do.
            eval(code, names)
        else:
            loop.run(run_in_loop(code, names))

    monkeypatch.setattr(doctest, "exec", run, raising=False)
    test.globs.update(names)
    told = []
    runner = doctest.DocTestRunner()
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    failed, attempted = runner.run(test, compileflags=flags, out=told.append)
    assert failed == 0, "".join(told)
    assert attempted > 0


def test_each_module_with_an_api_has_examples():
    modules = {name for name in MODULES for test in EXAMPLES if owner(test) == name}
    assert modules == set(MODULES) - WITHOUT_API


def owner(test):
    """The module whose docstring it is."""
    fitting = [name for name in MODULES if f"{test.name}.".startswith(f"{name}.")]
    return max(fitting, key=len)


def test_each_class_of_the_api_has_an_example():
    names = {test.name for test in EXAMPLES}
    for name in set(netcom.__all__) - set(netcom.errors.__all__):
        kind = getattr(netcom, name)
        module = kind.__module__
        full = f"{module}.{kind.__name__}"
        assert any(f"{other}.".startswith(f"{full}.") for other in names), f"{name} has none"
