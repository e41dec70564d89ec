"""What the tests share."""

import pytest

from netcom import NetID, Node, NodeRole


@pytest.fixture
def settings(tmp_path):
    """Keeps nodes on this host, and among themselves."""
    return {"discovery": "host", "registry": str(tmp_path / "registry")}


@pytest.fixture
async def pair(settings):
    """A node of an entity's, and a connection to it."""
    alice = NetID.generate()
    async with (
        Node.create(netid=alice, role=NodeRole.SERVER, config=settings) as server,
        Node.create(config=settings) as node,
        node.connect_to_netid(alice) as connection,
    ):
        yield server, connection
