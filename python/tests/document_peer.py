"""A node of an entity that the document talks to: answers requests and echoes streams."""

import asyncio
import contextlib
import sys

from netcom import Identity, Node, NodeRole


async def echo(stream):
    # Whoever leaves their stream alone harms no other.
    with contextlib.suppress(ConnectionError):
        while data := await stream.read():
            await stream.write(data)
        await stream.finish()


async def echo_all(connection):
    async with asyncio.TaskGroup() as tasks:
        async for stream in connection.incoming_streams():
            tasks.create_task(echo(stream))


async def main(data_dir):
    identity = Identity(data_dir)
    netid = identity.netid or identity.create()
    async with Node.create(netid=netid, role=NodeRole.SERVER, data_dir=data_dir) as node:

        @node.on_request
        async def answer(request):
            return b"answer to " + request.body

        print(netid, flush=True)
        async with asyncio.TaskGroup() as tasks:
            async for connection in node.incoming():
                tasks.create_task(echo_all(connection))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
