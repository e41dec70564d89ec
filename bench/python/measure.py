"""The client's side of a round in Python: the same plan, checks and events as in Rust.

A peer's own file hands :func:`main` an async context manager that connects to the server, and the
event loop it runs on. What is found is said as lines of JSON on the standard output.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

CHUNK = 256 << 10
"""What a bulk writer hands in at once."""
MESSAGE = 64
"""The length of a message there and back."""
IN_FLIGHT = 100
"""Requests on their way at once."""
PATIENCE = 10.0
"""Seconds for whatever goes before a case and after it."""


@dataclass(frozen=True)
class Sent:
    """What was sent, and how long it took until the server had counted it."""

    count: int
    took: float


class Client(Protocol):
    """A peer's client, which is connected."""

    async def bulk(self, chunk: bytes, seconds: float) -> Sent:
        """Sends the chunk again and again for that long, and waits until the server has counted
        all bytes."""

    def request(self, message: bytes, /) -> Awaitable[bytes]:
        """Sends a message as the peer makes requests, and gives the answer."""

    def request_among(self, message: bytes, /) -> Awaitable[bytes]:
        """A request beside others."""

    def facts(self) -> list[str]:
        """What was chosen, and what was agreed with the server."""


class Loop(Protocol):
    """The event loop of a peer."""

    def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Runs the client."""

    async def at_once(self, works: list[Callable[[], Awaitable[None]]]) -> None:
        """Runs all to their end, or until one fails."""

    async def within(self, seconds: float, work: Callable[[], Awaitable[Any]]) -> Any:
        """Gives what the work gives, or raises :class:`TimeoutError`."""


Connect = Callable[[str], AbstractAsyncContextManager[Client]]


@dataclass(frozen=True)
class Plan:
    """How long each case takes, in seconds, and which there are."""

    warm_up: float
    bulk: float
    rate: float
    latency: float
    cases: list[str]

    @classmethod
    def read(cls, text: str) -> Plan:
        plan = json.loads(text)

        def seconds(name: str) -> float:
            return float(plan[name]["secs"] + plan[name]["nanos"] / 1e9)

        times = {name: seconds(name) for name in ("warm_up", "bulk", "rate", "latency")}
        return cls(**times, cases=plan["cases"])

    def patience_of(self, case: str) -> float:
        """More than a case can need that works."""
        lasting = {"bulk": self.bulk, "request": self.latency}.get(case, self.rate)
        return 3 * (self.warm_up + lasting) + PATIENCE


def main(connect: Connect, loop: Loop) -> None:
    """Measures the server that the command line names, as the benchmark starts its clients."""
    # Threads of a runtime, which may follow, are for clients that have one.
    _, _, contact, server, plan = sys.argv[1:6]

    async def work() -> None:
        async with connect(contact) as client:
            await _all(client, loop, Plan.read(plan), int(server))
            # What is still open has nobody to wait for it.
            os._exit(0)

    try:
        loop.run(work)
    except Exception as error:
        _tell({"stopped": _why(error)})


async def _all(client: Client, loop: Loop, plan: Plan, server: int) -> None:
    """Measures the plan's cases in its order and says what it finds, until one fails."""
    for case in plan.cases:
        _tell({"began": case})
        try:
            work = partial(_one, client, loop, case, plan, server)
            measured = await loop.within(plan.patience_of(case), work)
        except Exception as error:
            # What a peer raises of its own says more.
            why = "it takes too long" if type(error) is TimeoutError else _why(error)
            return _end(client, {"failed": [case, why]})
        _tell({"measured": [case, measured]})
    _end(client, "ended")


def _end(client: Client, event: Any) -> None:
    _tell({"facts": [f"Python {sys.version.split()[0]}", *client.facts()]})
    _tell(event)


async def _one(
    client: Client, loop: Loop, case: str, plan: Plan, server: int
) -> dict[str, float | int | None]:
    match case:
        case "bulk":
            chunk = bytes(index % 251 for index in range(CHUNK))
            return await _rate(partial(client.bulk, chunk), plan, plan.bulk, 1e9, server)
        case "request":
            return await _latency(client, plan, server)
        case "in_flight_100":
            return await _rate(partial(_in_flight, client, loop), plan, plan.rate, 1e3, server)
        case other:
            raise ValueError(f"the peer has no case {other}")


async def _rate(
    run: Callable[[float], Awaitable[Sent]], plan: Plan, seconds: float, scale: float, server: int
) -> dict[str, float | int | None]:
    await run(plan.warm_up)
    own, others = time.process_time(), seconds_of(server)
    sent = await run(seconds)
    own, others = time.process_time() - own, seconds_of(server) - others
    return {
        "value": sent.count / sent.took / scale,
        "count": sent.count,
        "cpu_seconds": own + others,
        "client_cpu_seconds": own,
    }


async def _latency(client: Client, plan: Plan, server: int) -> dict[str, float | int | None]:
    message = bytes(range(MESSAGE))
    clock = time.perf_counter
    warm = clock() + plan.warm_up
    while clock() < warm:
        check(await client.request(message), message)
    samples = []
    own, others = time.process_time(), seconds_of(server)
    begin = last = clock()
    while last - begin < plan.latency:
        check(await client.request(message), message)
        now = clock()
        samples.append(now - last)
        last = now
    own, others = time.process_time() - own, seconds_of(server) - others
    samples.sort()
    return {
        "value": at(samples, 0.5) * 1e6,
        "count": len(samples),
        "p99": at(samples, 0.99) * 1e6,
        "cpu_seconds": own + others,
        "client_cpu_seconds": own,
    }


async def _in_flight(client: Client, loop: Loop, seconds: float) -> Sent:
    """As many tasks as requests may be on their way, each with one after the other."""
    clock = time.perf_counter
    begin = clock()
    end = begin + seconds
    counts = [0] * IN_FLIGHT

    async def ask(task: int) -> None:
        message = bytes((index + task) % 256 for index in range(MESSAGE))
        count = 0
        while clock() < end:
            check(await client.request_among(message), message)
            count += 1
        counts[task] = count

    await loop.at_once([partial(ask, task) for task in range(IN_FLIGHT)])
    return Sent(sum(counts), clock() - begin)


def check(answer: bytes, message: bytes) -> None:
    """Raises if an answer is not what was asked."""
    if answer != message:
        raise ValueError("the answer is not what was sent")


def counted(count: bytes, sent: int) -> None:
    """Raises if the server has not counted what was sent."""
    if (arrived := int.from_bytes(count, "big")) != sent or len(count) != 8:
        raise ValueError(f"{arrived} of {sent} bytes arrived")


def at(samples: list[float], share: float) -> float:
    """The sample below which that share of the sorted ones lies."""
    return samples[int((len(samples) - 1) * share)]


def seconds_of(pid: int) -> float:
    """Processor time a process has used."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
        # The name, in parentheses, may hold spaces; the state follows it.
        fields = stat.read().rpartition(")")[2].split()
    user, system = fields[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _why(error: BaseException) -> str:
    """What is to be told of an error; of several at once, the first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


def _tell(event: Any) -> None:
    """Says something to whoever started the client."""
    print(json.dumps(event), flush=True)
