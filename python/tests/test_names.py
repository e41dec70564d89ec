"""Names of entities, by the vectors that the Rust half runs too."""

import json
from pathlib import Path
from typing import Any

import pytest

from netcom import BadArgument, NetComError, NetID, Node, NodeRole

VECTORS: dict[str, list[dict[str, str]]] = json.loads(
    (Path(__file__).parents[2] / "docs/protocol/vectors/names.json").read_text()
)


def test_there_are_enough_vectors() -> None:
    assert len(VECTORS["understood"]) + len(VECTORS["refused"]) >= 60


@pytest.mark.parametrize("row", VECTORS["understood"], ids=lambda row: ascii(row["text"])[:40])
def test_a_name_is_understood(row: dict[str, str]) -> None:
    name = NetID.from_string(row["text"])
    assert str(name) == row["name"]
    if row["kind"] in ("domain", "directory"):
        assert NetID.from_domain(row["text"]) == name
    else:
        with pytest.raises(ValueError):
            NetID.from_domain(row["text"])


@pytest.mark.parametrize("row", VECTORS["refused"], ids=lambda row: ascii(row["text"])[:40])
def test_what_is_no_name_is_refused_with_the_reason(row: dict[str, str]) -> None:
    assert row["why"]
    for constructor in (NetID.from_string, NetID.from_domain):
        with pytest.raises(BadArgument) as refusal:
            constructor(row["text"])
        assert refusal.value.code == "bad_name"
        assert refusal.value.hint
        # What has no dot is no domain, whatever else may be wrong with it.
        if constructor == NetID.from_string or "." in row["text"]:
            assert row["why"] in refusal.value.message


@pytest.mark.parametrize("wrong", [None, 1, b"alice", ["alice"]])
def test_what_is_no_text_is_refused_by_type(wrong: Any) -> None:
    for constructor in (NetID.from_string, NetID.from_domain):
        with pytest.raises(TypeError):
            constructor(wrong)


async def test_a_domain_with_a_key_of_its_own_is_asked_of_nobody(settings: dict[str, Any]) -> None:
    alice = NetID.generate()
    cats = NetID.from_domain("funnycats.com")
    async with (
        Node.create(netid=alice, role=NodeRole.SERVER, config=settings) as server,
        Node.create(names={"funnycats.com": alice}, config=settings) as node,
    ):
        async with node.connect_to_netid(cats) as connection:
            assert connection.netid == alice
        assert server.peer_id in await node.discover_netid(cats)
        with pytest.raises(NetComError) as refusal:
            await node.connect_to_netid(NetID.from_domain("example.org"))
        assert refusal.value.code == "name_offline"


@pytest.mark.parametrize("names", [{"alice": "n1"}, {"example.org": "alice"}, {"a.test": "n1"}])
async def test_names_that_are_none_are_refused(names: Any, settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Node.create(names=names, config=settings)
