"""The code of document 000 (goals of the project) runs as it is written.

The blocks are taken from a copy of the document. What a block leaves undefined is defined before
it: imports, and the keys and names of whom it talks to. Who is talked to answers from here:
handlers are given to the document's own nodes between two of its statements, and others run in a
process of their own.
"""

import ast
import asyncio
import hashlib
import inspect
import json
import re
import sys
from pathlib import Path

import pytest

from netcom import BadArgument, Identity, NetID, Node, NodeRole

DOCUMENT = Path(__file__).parent / "document.md"
TEXT = DOCUMENT.read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
PEER = Path(__file__).parent / "document_peer.py"


def block(first_line):
    """The block that begins so."""
    [found] = [block for block in BLOCKS if block.startswith(first_line)]
    return found


async def run(code, names, between=None):
    """Runs a block statement by statement, and `between` before each."""
    for statement in ast.parse(code).body:
        if between is not None:
            await between(ast.unparse(statement), names)
        module = ast.Module([statement], type_ignores=[])
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        result = eval(compile(module, "document 000", "exec", flags), names)
        if inspect.isawaitable(result):
            await result


def answer_from(node):
    """Answers as the entities of the document would."""

    @node.on_request
    async def answer(request):
        return b"answer to " + request.body


async def serve_all(_, names):
    for node in list(names.values()):
        if isinstance(node, Node) and node not in names["_served"]:
            names["_served"].append(node)
            if node.netid is not None:
                answer_from(node)


@pytest.fixture
async def prelude(tmp_path, monkeypatch):
    """The names that blocks leave undefined, on a host of its own."""
    monkeypatch.setenv("NETCOM_DISCOVERY", "host")
    monkeypatch.setenv("NETCOM_REGISTRY_DIR", str(tmp_path / "registry"))
    monkeypatch.setenv("NETCOM_DATA_DIR", str(tmp_path / "data"))
    names = {"json": json, "NetID": NetID, "Node": Node, "NodeRole": NodeRole, "_served": []}
    yield names
    for node in {id(node): node for node in [*names.values(), *names["_served"]]}.values():
        if isinstance(node, Node):
            await node.close()


@pytest.fixture
async def peer(tmp_path):
    """Starts nodes of an entity, each in a process of its own, and gives their NetID."""
    processes = []

    async def start(data_dir):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, PEER, data_dir), stdout=asyncio.subprocess.PIPE
        )
        processes.append(process)
        async with asyncio.timeout(30):
            return NetID.from_string((await process.stdout.readline()).decode().strip())

    yield start
    for process in processes:
        process.kill()
        await process.wait()


def is_named(tmp_path, name):
    """Makes the data directory that of an entity, to which a domain leads."""
    netid = Identity(tmp_path / "data").create()
    (tmp_path / "data/config.toml").write_text(f'[naming.static]\n"{name}" = "{netid}"\n')
    return netid


def test_the_document_is_quoted_as_it_was_given():
    digest = hashlib.sha256(DOCUMENT.read_bytes()).hexdigest()
    assert digest == "bcdb2c657f730f0861ed6abb3557b7be55e84806f84b51a94bdcd75115b012b2"


def test_every_block_of_the_document_is_run():
    run = re.findall(r'run\(block\("(.*?)"\)', Path(__file__).read_text())
    assert len(BLOCKS) == len(run) == 7
    assert all(any(block.startswith(line) for line in run) for block in BLOCKS)


async def test_methods_of_a_connection(prelude, peer, tmp_path):
    names = prelude | {"alice_netid": await peer(tmp_path / "alice"), "node": await Node.create()}
    prelude["node"] = names["node"]
    await run(block("# Подключение к сущности по NetID"), names)
    assert names["response"] == b"answer to " + names["request_data"]
    assert names["received_data"] == b"FILE_DATA_CHUNK"
    assert json.loads(names["message"]) == {"type": "chat_message", "text": "Hello!"}


async def test_methods_of_discovery(prelude, peer, tmp_path):
    entity = await peer(tmp_path / "cats")
    names = prelude | {"funnycats_netid": entity, "node": await Node.create()}
    prelude["node"] = names["node"]
    [names["target_peer_id"]] = await names["node"].discover_netid(entity)
    await run(block("# Discover peer_id"), names)
    assert names["addresses"]
    assert all(str(a).endswith(f"/p2p/{names['target_peer_id']}") for a in names["addresses"])
    [(peer_id, info)] = names["active_nodes"].items()
    assert peer_id == names["target_peer_id"]
    assert set(names["addresses"]) == set(info["addresses"])
    assert dict(info["metadata"]) == {}


async def test_the_complete_example(prelude, peer, tmp_path):
    names = prelude | {"funnycats_netid": await peer(tmp_path / "cats")}
    await run(block("async def complete_service_interaction():"), names)
    created = []

    # The function keeps its node to itself.
    async def create(*arguments, **settings):
        created.append(await Node.create(*arguments, **settings))
        return created[-1]

    names["Node"] = type("Node", (), {"create": staticmethod(create)})
    connection = await names["complete_service_interaction"]()
    assert connection.netid == names["funnycats_netid"]
    assert await connection.request(b"still there?") == b"answer to still there?"
    for node in created:
        await node.close()


async def test_a_user_with_several_devices(prelude):
    await run(block("# Alice имеет ноутбук, телефон и планшет"), prelude, serve_all)
    devices = [prelude[f"{name}_node"] for name in ("laptop", "phone", "tablet")]
    assert prelude["connection"].peer_id in [node.peer_id for node in devices]
    assert prelude["status"] == b'answer to {"action": "get_status"}'


async def test_a_public_service_on_several_nodes(prelude, tmp_path, capsys):
    is_named(tmp_path, "funnycats.com")

    def servers():
        """Each of them runs on, and serves, when the next one starts."""
        for name in ("Server1", "Server2", "Server3"):
            yield name
            prelude["_served"].append(prelude["node"])
            answer_from(prelude["node"])

    prelude["servers"] = servers()
    await run(block("# Сервис funnycats.com развернут на 3 серверах"), prelude, serve_all)
    assert prelude["video_data"] == b'answer to {"action": "get_cat_video", "id": "123"}'
    peers = {node.peer_id for node in prelude["_served"] if node.netid is not None}
    assert len(peers) == 3
    assert prelude["service_conn"].peer_id in peers
    told = capsys.readouterr().out
    assert all(str(peer) in told for peer in peers)


async def test_a_company_goes_on_when_the_node_in_use_fails(prelude, peer, tmp_path):
    company = is_named(tmp_path, "mycompany.com")

    async def fail(statement, names):
        await serve_all(statement, names)
        if statement.startswith("try:"):
            assert names["connection"].peer_id == names["local_node"].peer_id
            assert await peer(tmp_path / "data") == company
            await names["local_node"].close()

    await run(block("# Компания с локальными серверами и облачными узлами"), prelude, fail)
    assert prelude["response"] == b"answer to critical_operation"
    assert prelude["connection"].peer_id != prelude["local_node"].peer_id
    # Whoever runs is found. In the cloud only global addresses are told, and a host has none.
    local, cloud = prelude["local_node"].peer_id, prelude["cloud_node"].peer_id
    assert set(prelude["all_nodes"]) == {local, cloud}
    assert prelude["all_nodes"][local]["addresses"]
    assert prelude["all_nodes"][cloud]["addresses"] == []


async def test_the_ideal_workflow(prelude, peer, tmp_path):
    alice = await peer(tmp_path / "alice")
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "data/config.toml").write_text(f'[naming.static]\n"alice.netcom" = "{alice}"\n')
    await run(block("# Разработчик знает только это:"), prelude)
    assert prelude["connection"].netid == alice
    assert prelude["node"].netid == prelude["my_netid"]


async def test_the_settings_may_fix_a_name_under_a_suffix_of_their_own(prelude, peer, tmp_path):
    alice = await peer(tmp_path / "alice")
    (tmp_path / "data").mkdir(mode=0o700)
    directory = f'corp = {{ url = "https://127.0.0.1:1", key = "{NetID.generate()}" }}'
    text = f'[naming.directories]\n{directory}\n[naming.static]\n"alice.corp" = "{alice}"\n'
    (tmp_path / "data/config.toml").write_text(text)
    async with Node.create() as node, node.connect("alice.corp") as connection:
        assert connection.netid == alice
    (tmp_path / "data/config.toml").write_bytes(b"\xff")
    with pytest.raises(ValueError, match=r"config\.toml"):
        await Node.create()


async def test_whoever_has_no_proof_is_told_how_to_get_one(prelude, tmp_path):
    funnycats = NetID.generate()
    (tmp_path / "data").mkdir(mode=0o700)
    text = f'[naming.static]\n"funnycats.com" = "{funnycats}"\n'
    (tmp_path / "data/config.toml").write_text(text)
    netid = NetID.from_domain("funnycats.com")
    with pytest.raises(PermissionError) as refusal:
        await Node.create(netid=netid, role=NodeRole.SERVER)
    assert refusal.value.code == "no_proof"
    assert "netcom id enroll" in refusal.value.hint


async def test_a_server_gets_its_proof_without_the_key(prelude, tmp_path, monkeypatch):
    owner, server = Identity(tmp_path / "owner"), Identity(tmp_path / "data")
    netid = owner.create()
    assert server.netid is None
    proof = owner.admit(server.enroll(netid, label="Server1"), days=30)
    assert server.accept(proof) == netid
    async with Node.create(netid=netid, role=NodeRole.SERVER) as node:
        assert node.netid == netid
        answer_from(node)
        async with Node.create() as user, user.connect_to_netid(netid) as connection:
            assert await connection.request(b"?") == b"answer to ?"
    with pytest.raises(PermissionError):
        Identity(tmp_path / "other").accept(proof)
    for wrong in ("", "n1", proof[:-5], proof.upper()):
        with pytest.raises(BadArgument):
            server.accept(wrong)
