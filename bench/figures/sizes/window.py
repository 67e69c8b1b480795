"""One window of load, and what it cost the nodes and their store. A point of a plot is several of them."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ground.machine import Cores
from ground.node import Node
from ground.open_loop import OpenLoop, Questions
from ground.process import Failed
from ground.redis import Redis, difference

# For how long the tool asks before what it sees counts.
WARMUP_SECONDS = 1
# Within which it has to have opened its connections.
OPEN_SECONDS = 60


@dataclass(frozen=True)
class Bench:
    """What every measurement is made with."""

    # A folder for this run: what is in it may be thrown away.
    folder: Path
    cores: Cores
    introspectd: Path
    seed: Path
    tool: OpenLoop
    # How many windows a point has, and how many seconds each.
    windows: int
    seconds: int
    # Requests a second, over all nodes.
    rate: int
    # Told each point at once.
    keep: Callable[[dict], None]
    say: Callable[[str], None]


@dataclass(frozen=True)
class Subject:
    """What is loaded: each node with its questions, at the same rate."""

    nodes: list[Node]
    store: Redis | None
    questions: list[Questions]
    connections: int | None = None


def window(bench: Bench, subject: Subject, rate: int, meanwhile: Callable[[], dict] | None = None) -> dict:
    """Loads the nodes at once, each at this rate, and counts from when all connections are open and in use.

    `meanwhile` is called while they are, and what it says is kept.
    """
    with ThreadPoolExecutor(len(subject.nodes)) as threads:
        asked = [
            threads.submit(
                bench.tool.ask, questions, rate, bench.seconds, bench.cores.tool, WARMUP_SECONDS, subject.connections
            )
            for questions in subject.questions
        ]
        try:
            opened(bench, subject, asked)
            time.sleep(WARMUP_SECONDS / 2)
            before = Reading.first(subject)
            time.sleep(bench.seconds / 2)
            said = meanwhile() if meanwhile is not None else {}
            time.sleep(max(0.0, before.at + bench.seconds - time.monotonic()))
            after = Reading.last(subject)
            runs = [one.result() for one in asked]
        except Failed as error:
            return {"rate": rate, "complaint": str(error)}
    complaints = [run.complaint for run in runs if run.complaint]
    if after.answers <= before.answers:
        return {"rate": rate, "complaint": complaints[0] if complaints else "no answer at all"}
    slowest = max(runs, key=lambda run: run.latency_us.get("p99", 0.0))
    return {
        "rate": rate,
        "per_second": sum(run.per_second for run in runs),
        # Of several nodes, that of the slowest.
        "latency_us": slowest.latency_us,
        "generator_limited": any(run.generator_limited for run in runs),
        "complaint": complaints[0] if complaints else None,
        **after.since(before),
        **said,
    }


def opened(bench: Bench, subject: Subject, asked: list[Future]) -> None:
    """Waits until the tools have opened their connections: that costs something, too, and is none of the requests'."""
    deadline = time.monotonic() + OPEN_SECONDS
    wanted = subject.connections or bench.tool.connections
    while any(node.metric("introspect_http_connections ") < wanted for node in subject.nodes):
        for one in asked:
            if one.done():
                # Its own words say more than that there are no connections.
                raise Failed(one.result().complaint or "the tool ended before all connections were open")
        if time.monotonic() > deadline:
            raise Failed(f"not all of {wanted} connections were open after {OPEN_SECONDS} s")
        time.sleep(0.02)


@dataclass(frozen=True)
class Reading:
    """What nodes and store have done and used so far."""

    at: float
    node_seconds: float
    store_seconds: float | None
    commands: dict[str, int]
    answers: float
    looked_up: float
    remembered: float

    @classmethod
    def first(cls, subject: Subject) -> "Reading":
        """Of the beginning: reading the counts costs something, so processor time comes last."""
        counts = cls.counts(subject)
        return cls(*cls.used(subject), *counts)

    @classmethod
    def last(cls, subject: Subject) -> "Reading":
        """Of the end: processor time comes first."""
        used = cls.used(subject)
        return cls(*used, *cls.counts(subject))

    @staticmethod
    def used(subject: Subject) -> tuple:
        """When, and the processor time in seconds."""
        nodes = sum(node.server.usage().cpu_seconds for node in subject.nodes)
        return time.monotonic(), nodes, subject.store.usage().cpu_seconds if subject.store else None

    @staticmethod
    def counts(subject: Subject) -> tuple:
        """What was done."""
        commands = subject.store.commands() if subject.store else {}
        series = ('introspect_requests_total{endpoint="introspect",', LOOKED_UP, LOOKED_UP + ',result="hit"')
        each = [node.metrics(*series) for node in subject.nodes]
        return commands, *(sum(counts) for counts in zip(*each, strict=True))

    def since(self, before: "Reading") -> dict:
        """What was done and used since then, per answer."""
        answers = self.answers - before.answers
        looked_up = self.looked_up - before.looked_up
        told = {
            "seconds": self.at - before.at,
            "answers": answers,
            "cpu_us": {"node": (self.node_seconds - before.node_seconds) * 1e6 / answers},
            "hit_share": (self.remembered - before.remembered) / looked_up if looked_up else 0.0,
        }
        if self.store_seconds is not None and before.store_seconds is not None:
            told["cpu_us"]["store"] = (self.store_seconds - before.store_seconds) * 1e6 / answers
            told["commands_per_answer"] = sum(difference(before.commands, self.commands).values()) / answers
        return told


LOOKED_UP = 'introspect_cache_requests_total{content="tokens"'


def point(bench: Bench, plot: str, series: str, at: float, windows: list[dict], **facts) -> None:
    """Keeps what was measured at one size."""
    bench.keep({"plot": plot, "series": series, "at": at, "windows": windows, **facts})


def measure(
    bench: Bench,
    subject: Subject,
    rate: int | None = None,
    meanwhile: Callable[[], dict] | None = None,
) -> list[dict]:
    """The windows of a point. Without a rate, that of the run, shared by the nodes."""
    rate = rate or bench.rate // len(subject.nodes)
    return [window(bench, subject, rate, meanwhile) for _ in range(bench.windows)]
