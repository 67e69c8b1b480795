"""Who is measured when. In each round everybody has a turn, and in each round somebody else comes first, so that what
the machine does meanwhile falls on all of them."""

import resource
import time
from collections.abc import Callable
from pathlib import Path

from ground.machine import Cores
from ground.open_loop import OpenLoop
from ground.process import Failed
from ground.redis import Redis, difference

from . import redis_benchmark, wrk
from .targets import CONSTANT, Target
from .targets.redis_get import RedisGet

WARMUP_SECONDS = 1


def rotated(targets: list[Target], number: int) -> list[Target]:
    """The order of a round."""
    first = number % len(targets)
    return targets[first:] + targets[:first]


class Rounds:
    """All windows of a run; each makes a record, which `keep` is told at once."""

    def __init__(
        self,
        targets: list[Target],
        cores: Cores,
        folder: Path,
        connections: int,
        seconds: float,
        open_loop: OpenLoop | None,
        keep: Callable[[dict], None],
    ):
        self.targets = targets
        self.cores = cores
        self.folder = folder
        self.connections = connections
        self.seconds = seconds
        self.open_loop = open_loop
        self.keep = keep
        self.requests = {}

    def run(self, rounds: int, open_for: set[str]) -> None:
        """So many rounds; the open loop for the named ones only."""
        for target in self.targets:
            if target.warm_up_seconds:
                tool, questions = self.cores.tool_for(target.cores), self.questions(target)
                wrk.run(target.site, questions, target.warm_up_seconds, self.connections, tool, check=False)
        constant = next((target for target in self.targets if target.name == CONSTANT), None)
        for number in range(rounds):
            rates = {}
            for target in rotated(self.targets, number):
                record = self.closed(number, target)
                if record.get("complaint") is None and not isinstance(target, RedisGet):
                    rates[target.name] = int(record["per_second"] / 2)
            if self.open_loop is None:
                continue
            for target in rotated([target for target in self.targets if target.name in rates], number):
                if target.name not in open_for:
                    continue
                rate = rates[target.name]
                # Side by side with the constant at the same rate, which is what its latency is divided by.
                if constant is not None and target.kind == "ours" and target.cores == "one":
                    self.open(number, constant, rate, f"open beside {target.name}")
                self.open(number, target, rate, "open")

    def closed(self, number: int, target: Target) -> dict:
        """One window of the closed loop: throughput and what it cost."""
        record = self.record(number, target, "closed")
        tool = self.cores.tool_for(target.cores)
        try:
            if isinstance(target, RedisGet):
                seen = self.redis_get(target, tool, record)
            else:
                seen = self.asked(target, tool, record)
            record.update(seen)
        except (Failed, OSError) as error:
            record["complaint"] = str(error)
        self.keep(record)
        return record

    def asked(self, target: Target, tool: list[int], record: dict) -> dict:
        """wrk, first with a look at each answer, then without."""
        questions = self.questions(target)
        target.site.check(target.name)
        warmup = wrk.run(target.site, questions, WARMUP_SECONDS, self.connections, tool, check=True)
        complaint = warmup.complaint(None) or (None if warmup.checked else "no answer was looked at")
        size = warmup.bytes / warmup.requests if warmup.requests else None
        with Costs(target, record) as costs:
            run = wrk.run(target.site, questions, self.seconds, self.connections, tool, check=False)
            costs.requests = run.requests
        return {
            "seconds": run.duration_us / 1e6,
            "requests": run.requests,
            "per_second": run.per_second,
            "latency_us": run.latency_us,
            "checked": warmup.checked,
            "answer_bytes": size,
            "complaint": complaint or run.complaint(size),
        }

    def questions(self, target: Target) -> Path:
        """The file that wrk reads, written once."""
        file = self.folder / f"{target.name}.questions"
        if not file.exists():
            target.site.write_questions(file)
        return file

    def redis_get(self, target: RedisGet, tool: list[int], record: dict) -> dict:
        """redis-benchmark, which takes a number of requests and not a time."""
        asked = (target.server, self.seconds, target.pipeline, self.connections, tool)
        if target.name not in self.requests:
            self.requests[target.name] = redis_benchmark.requests_for(*asked)
        requests = self.requests[target.name]
        with Costs(target, record) as costs:
            run = redis_benchmark.once(target.server, requests, target.pipeline, self.connections, tool)
            costs.requests = requests
        return {"requests": requests, "per_second": run.per_second, "latency_us": run.latency_us, "complaint": None}

    def open(self, number: int, target: Target, rate: int, kind: str) -> None:
        """One window of the open loop: latency at a rate."""
        record = self.record(number, target, kind)
        record["rate"] = rate
        try:
            run = self.open_loop.run(target.site, rate, self.seconds, self.folder, self.cores.tool_for(target.cores))
            record.update(
                per_second=run.per_second,
                latency_us=run.latency_us,
                generator_limited=run.generator_limited,
                complaint=run.complaint,
            )
        except (Failed, OSError, ValueError, KeyError) as error:
            record["complaint"] = str(error)
        self.keep(record)

    def record(self, number: int, target: Target, kind: str) -> dict:
        """What every record begins with."""
        return {
            "round": number + 1,
            "target": target.name,
            "kind": kind,
            "cores": target.cores,
            "connections": self.connections,
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }


class Costs:
    """What a window costs the server and its store: read before and after, divided by the requests in between."""

    def __init__(self, target: Target, record: dict):
        self.target = target
        self.record = record
        self.requests = 0

    def __enter__(self) -> "Costs":
        self.before = self.read()
        self.tool = tool_seconds()
        self.begun = time.monotonic()
        return self

    def __exit__(self, kind, *_) -> None:
        if kind is not None or self.requests == 0:
            return
        seconds = time.monotonic() - self.begun
        server, store, commands = self.read()
        spent = {"server": server.cpu_seconds - self.before[0].cpu_seconds}
        if store is not None:
            spent["store"] = store.cpu_seconds - self.before[1].cpu_seconds
        self.record["cpu_us"] = {name: value * 1e6 / self.requests for name, value in spent.items()}
        self.record["busy"] = {name: value / seconds for name, value in spent.items()}
        self.record["busy"]["tool"] = (tool_seconds() - self.tool) / seconds
        self.record["memory"] = {"resident_bytes": server.resident_bytes, "peak_bytes": server.peak_bytes}
        if store is not None:
            self.record["store_memory"] = {"resident_bytes": store.resident_bytes, "peak_bytes": store.peak_bytes}
        if commands is not None:
            ran = difference(self.before[2], commands)
            self.record["commands"] = ran
            self.record["commands_per_request"] = sum(ran.values()) / self.requests

    def read(self) -> tuple:
        """Usage of both, and the store's counts where it counts."""
        store = self.target.store
        commands = store.commands() if isinstance(store, Redis) else None
        return self.target.server.usage(), store.usage() if store is not None else None, commands


def tool_seconds() -> float:
    """Processor time of all programs of ours that have ended: between two readings only the tool does."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime
