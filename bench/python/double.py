"""A client without a server, for the tests of what the clients share: it answers by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from loops import Asyncio
from measure import Sent, counted, main


class Double:
    """Answers rightly, wrongly or never, as the contact says."""

    def __init__(self, contact: str) -> None:
        self._contact = contact

    async def bulk(self, chunk: bytes, seconds: float) -> Sent:
        sent = 4 * len(chunk)
        counted((sent - (self._contact == "wrong")).to_bytes(8, "big"), sent)
        return Sent(sent, 0.001)

    async def request(self, message: bytes) -> bytes:
        await asyncio.sleep(3600 if self._contact == "never" else 0.001)
        return message[1:] if self._contact == "wrong" else message

    request_among = request

    def facts(self) -> list[str]:
        return [self._contact]


@asynccontextmanager
async def connect(contact: str) -> AsyncIterator[Double]:
    if contact == "nobody":
        raise ConnectionRefusedError("nobody is there")
    yield Double(contact)


if __name__ == "__main__":
    main(connect, Asyncio())
