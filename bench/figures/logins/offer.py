#!/usr/bin/env python3
"""Offers requests at a fixed rate, whatever becomes of them: `offer.py < PLAN`, where PLAN is JSON.

A program of its own, so that it can have a core of its own. Each request falls due at its time and waits for a
connection then, as a caller would; what it waits counts. Written is what became of them, as JSON.
"""

import asyncio
import json
import random
import sys
import time

# In the order of the plan's weights.
RIGHT, WRONG, NOBODY, REFUSED = range(4)


class Connection(asyncio.Protocol):
    """One request at a time over HTTP/1.1, kept open."""

    def __init__(self, done):
        self.done, self.read, self.transport = done, b"", None
        self.since = None

    def connection_made(self, transport):
        self.transport = transport

    def send(self, request, due):
        self.since, self.read = due, b""
        self.transport.write(request)

    def data_received(self, data):
        self.read += data
        head, found, body = self.read.partition(b"\r\n\r\n")
        if not found:
            return
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        if len(body) >= length:
            due, self.since = self.since, None
            self.done(self, int(head[9:12]), due)

    def connection_lost(self, _):
        if self.since is not None:
            self.done(None, 0, self.since)


class Offer:
    """All of them."""

    def __init__(self, plan):
        self.plan, self.chance = plan, random.Random(plan["seed"])
        self.free, self.waiting, self.pending = [], [], 0
        self.taken, self.lag = {}, []

    def request(self):
        """The next one: what it is about is drawn."""
        plan, chance = self.plan, self.chance
        kind = chance.choices((RIGHT, WRONG, NOBODY, REFUSED), plan["weights"])[0]
        name = f"nobody{chance.randrange(10**9):09}" if kind == NOBODY else chance.choice(plan["users"])
        # A member that there is none of: refused before anything is looked up.
        member = "nonsense" if kind == REFUSED else "username"
        body = json.dumps({member: name, "password": plan["right"] if kind == RIGHT else plan["wrong"]})
        source = ".".join(str(chance.randrange(256)) for _ in range(3))
        return (
            f"POST /login/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"X-Forwarded-For: 10.{source}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        ).encode()

    def done(self, connection, status, due):
        self.taken.setdefault(str(status), []).append((time.perf_counter() - due) * 1e3)
        self.pending -= 1
        if connection is not None:
            self.give(connection)

    def give(self, connection):
        """Lets a connection serve who has waited longest."""
        if self.waiting:
            request, due = self.waiting.pop(0)
            connection.send(request, due)
        else:
            self.free.append(connection)

    async def run(self):
        plan, loop = self.plan, asyncio.get_running_loop()
        for _ in range(plan["connections"]):
            _, connection = await loop.create_connection(lambda: Connection(self.done), "127.0.0.1", plan["port"])
            self.free.append(connection)
        begun = time.perf_counter()
        for number in range(round(plan["rate"] * plan["seconds"])):
            due = begun + number / plan["rate"]
            request = self.request()
            if (left := due - time.perf_counter()) > 0:
                await asyncio.sleep(left)
            self.lag.append((time.perf_counter() - due) * 1e3)
            self.pending += 1
            if self.free:
                self.free.pop().send(request, due)
            else:
                self.waiting.append((request, due))
        ended = time.perf_counter()
        while self.pending and time.perf_counter() - ended < plan["patience"]:
            await asyncio.sleep(0.01)
        return {
            "offered": len(self.lag),
            "seconds": ended - begun,
            "unanswered": self.pending,
            "lag_ms": sorted(self.lag)[len(self.lag) * 99 // 100],
            "milliseconds": {status: [round(one, 3) for one in taken] for status, taken in self.taken.items()},
        }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(Offer(json.load(sys.stdin)).run())))
