"""What more nodes over one Redis cost: an introspection, a revocation, and the leases when nothing happens at all.

On one machine more nodes answer no more: they share its cores. So each is asked at the same rate, whatever their
number, and what must not rise is what one introspection costs.
"""

import time
from contextlib import ExitStack

from ground.node import Node, Secrets
from ground.open_loop import Questions
from ground.redis import Redis, difference
from ground.site import Caller, private

from . import seeding
from .seeding import Seeded
from .window import Bench, Subject, measure, point

PLOT = "nodes"
SERIES = "Redis, from memory"
REMEMBERED = 1_000
IDLE_SECONDS = 3.0


def run(bench: Bench, sizes: list[int], revocations: int) -> None:
    """New processes for each number of nodes, and one Redis for all."""
    folder = bench.folder / PLOT
    folder.mkdir()
    with Redis("store", folder, bench.cores.one) as redis:
        shared = Secrets()
        settings = {"redis": {"url": redis.url}, "cache": {"max_age": "5m"}}
        nodes = [Node(f"node-{number + 1}", folder, shared, settings) for number in range(max(sizes))]
        seeded = Seeded(nodes[0], bench.seed, bench.cores, folder)
        seeded.grow(REMEMBERED + 2 * revocations * len(sizes))
        remembered, ended = seeded.lines[:REMEMBERED], seeding.texts(seeded.lines[REMEMBERED:])
        tokens = seeding.write(folder / "questions.jsonl", remembered)
        private(folder / "secret", shared.gateway)
        for size in sizes:
            bench.say(f"{size} nodes")
            with ExitStack() as running:
                for node in nodes[:size]:
                    running.enter_context(node.start(bench.introspectd, bench.cores.one))
                    node.introspect(seeding.texts(remembered))
                questions = [
                    Questions(node.site([]).url, "gateway", folder / "secret", tokens) for node in nodes[:size]
                ]
                subject = Subject(nodes[:size], redis, questions)
                windows = measure(bench, subject, bench.rate // max(sizes))
                fleet = Fleet(redis, nodes[:size])
                idle = fleet.idle()
                costs = fleet.revoke([ended.pop() for _ in range(revocations)], idle)
                promise = fleet.ask_after([ended.pop() for _ in range(revocations)])
            point(bench, PLOT, SERIES, size, windows, lease=idle, revocation={**costs, **promise})


class Fleet:
    """Nodes that nobody loads: what they say to Redis, and each other through it, can be counted."""

    def __init__(self, redis: Redis, nodes: list[Node]):
        self.redis = redis
        self.nodes = nodes
        self.callers = [Caller(node.public) for node in nodes]
        self.operator = Caller(nodes[0].admin)

    def idle(self) -> dict:
        """What each node says and hears in a second in which nothing happens: its leases and its pulse."""
        counted = self.counted(lambda: time.sleep(IDLE_SECONDS))
        shared = counted["seconds"] * len(self.nodes)
        return {
            "commands_per_node_second": sum(counted["commands"].values()) / shared,
            "bytes_per_node_second": counted["bytes"] / shared,
            "commands": counted["commands"],
            "seconds": counted["seconds"],
        }

    def revoke(self, tokens: list[str], idle: dict) -> dict:
        """What one revocation costs all nodes together, without what they say anyway, and until when it is answered."""
        self.remember(tokens)
        taken = []

        def revoke_all():
            for token in tokens:
                begun = time.monotonic()
                self.nodes[0].revoke(token, self.operator)
                taken.append((time.monotonic() - begun) * 1e3)

        counted = self.counted(revoke_all)
        usual = counted["seconds"] * len(self.nodes)
        commands = sum(counted["commands"].values()) - idle["commands_per_node_second"] * usual
        counted_bytes = counted["bytes"] - idle["bytes_per_node_second"] * usual
        return {
            "count": len(tokens),
            "acknowledged_ms": taken,
            # Noise of the pulse may exceed a small cost.
            "commands": max(0.0, commands / len(tokens)),
            "bytes": max(0.0, counted_bytes / len(tokens)),
            "by_command": counted["commands"],
        }

    def ask_after(self, tokens: list[str]) -> dict:
        """Whether any node says that a token is active once its revocation has been answered."""
        self.remember(tokens)
        active = 0
        for token in tokens:
            self.nodes[0].revoke(token, self.operator)
            active += sum(node.active([token], caller) for node, caller in zip(self.nodes, self.callers, strict=True))
        return {"asked_after_answer": len(tokens) * len(self.nodes), "active_after_answer": active}

    def remember(self, tokens: list[str]) -> None:
        """Lets every node have them in its memory."""
        for node in self.nodes:
            node.introspect(tokens)

    def counted(self, doing) -> dict:
        """What Redis has run and carried while something was done."""
        own = self.traffic()
        own = self.traffic() - own
        calls, carried, begun = self.redis.calls(), self.traffic(), time.monotonic()
        doing()
        seconds = time.monotonic() - begun
        carried = self.traffic() - carried - own
        commands = difference(calls, self.redis.calls())
        # Ours.
        commands.pop("info", None)
        return {"seconds": seconds, "bytes": carried, "commands": commands}

    def traffic(self) -> int:
        """Bytes in both directions."""
        return sum(self.redis.traffic())
