"""Shows that an installed wheel works: a key is made, and a request is answered over loopback."""

import asyncio

from netcom import NetID, Node, NodeRole


async def main() -> None:
    alice = NetID.generate()
    loopback = ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"]
    async with (
        Node.create(netid=alice, discovery="off", listen=loopback) as server,
        Node.create(discovery="off", role=NodeRole.CLIENT) as node,
    ):

        @server.on_request
        async def answer(request):
            return b"hello, " + request.body

        async with node.connect(server.ticket) as connection:
            assert await connection.request(b"bob") == b"hello, bob"
            print(connection.path)


asyncio.run(main())
