"""Introspection from memory at a moderate rate, alone and while logins are offered, by turns within each round."""

import json
import os
import random
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from ground.kernel import SYSTEM_TICKS, TICKS_PER_SECOND, USER_TICKS, stat_fields
from ground.machine import Cores
from ground.node import Node
from ground.open_loop import OpenLoop, Questions
from ground.process import Failed

from . import users

TOKENS = 1_000
USERS = 50
CONNECTIONS = 64
# More than may wait at the node, so that it is always the node that says no.
LOGIN_CONNECTIONS = 160
WARMUP_SECONDS = 1
# The logins begin before what is measured and end after it.
AROUND_SECONDS = 1.0
PATIENCE_SECONDS = 20

# What measures takes a core from any other program in the moment that it is woken. Else, where the two share a core, it
# would wait for hashes itself, and that would look like a wait for the service: threads for idle times step back for
# those of their own session or container only (sched(7), autogroup), and who asks is on another machine in life.
REAL_TIME = ["chrt", "--fifo", "1"]

# Half of the logins are right; of the others, half have a name that nobody has.
LOGINS = [2, 1, 1, 0]
# As many requests, from the same program, that are refused before anything is looked up.
REFUSALS = [0, 0, 0, 1]

IDLE, CONTROL, FLOOD = "idle", "refused requests", "logins"
# The priority that the service gives its hashing threads itself.
OWN = "as it is"


@dataclass(frozen=True)
class Bench:
    """What every window is made with."""

    folder: Path
    cores: Cores
    introspectd: Path
    tool: OpenLoop
    asked: object


@dataclass(frozen=True)
class Setting:
    """A node to be loaded, and the priorities that its hashing threads are given one after the other."""

    name: str
    threads: int
    # None for that of the service itself.
    priorities: list
    cores: list[int]
    worker_threads: int


# Settings in which a node does not hash as it would by itself.
CHANGED = ["one core, two hashing threads"]


def tool(binary: Path) -> OpenLoop:
    """What measures, ahead of all others where that is allowed."""
    return OpenLoop(binary, CONNECTIONS, REAL_TIME if ahead() else None)


def ahead() -> bool:
    """Whether we may give a program a real-time priority."""
    return subprocess.run([*REAL_TIME, "true"], capture_output=True, check=False).returncode == 0


def settings(cores: Cores) -> list[Setting]:
    """What is compared."""
    # Only root may raise a priority again that was lowered.
    others = [("nice", 0), ("nice", 10), ("nice", 19), ("idle", 0)] if os.geteuid() == 0 else []
    priorities = [None, *others]
    return [
        Setting("one core, one hashing thread", 1, priorities, cores.one, 1),
        Setting(CHANGED[0], 2, [None], cores.one, 1),
        Setting("two cores, shared with the tools", 1, [None], cores.two, 2),
    ]


def run(bench: Bench, say) -> list[dict]:
    """The windows of all settings."""
    told = []
    for number, setting in enumerate(settings(bench.cores)):
        say(setting.name)
        store = {"store": {"path": str(bench.folder / f"flood-{number}-data")}, "cache": {"max_age": "5m"}}
        node = users.node(f"flood-{number}", bench.folder, store, hashing_threads=setting.threads)
        with node.start(bench.introspectd, setting.cores, setting.worker_threads):
            told += [{"setting": setting.name, **window} for window in of_node(bench, node, setting, say)]
    return told


def of_node(bench: Bench, node: Node, setting: Setting, say) -> list[dict]:
    """All rounds at one node. Within a round each kind comes once, in an order of chance."""
    known = [f"known{number}" for number in range(USERS)]
    users.register(node, known)
    tokens = node.issue(TOKENS)
    node.introspect(tokens)
    site = node.site(tokens)
    files = node.folder / "truth.jsonl", node.folder / "secret"
    site.write_truth(*files)
    questions = Questions(site.url, site.client_id, files[1], files[0])
    chance, own, told = random.Random(1), Threads.of(node, setting.threads), []
    kinds = [(IDLE, None), (CONTROL, None), *((FLOOD, priority) for priority in setting.priorities)]
    for round_ in range(bench.asked.rounds):
        chance.shuffle(kinds)
        for kind, priority in kinds:
            own.become(priority)
            told.append({"round": round_, "kind": kind, "priority": own.said(priority)})
            told[-1] |= window(bench, node, own, questions, known, kind, seed=len(told))
            say(f"  {told[-1]['priority'] if kind == FLOOD else ''} {kind}: {brief(told[-1])}")
    return told


def window(bench: Bench, node: Node, own: "Threads", questions: Questions, known: list[str], kind: str, seed: int):
    """One window."""
    logins = None
    if kind != IDLE:
        logins = offered(bench, node, known, LOGINS if kind == FLOOD else REFUSALS, seed)
        time.sleep(AROUND_SECONDS)
    try:
        before = node.server.usage().cpu_seconds, own.seconds(), time.monotonic()
        with_others = busy_seconds() - before[0] - children_seconds()
        seen = bench.tool.ask(
            questions, bench.asked.rate, bench.asked.seconds, bench.cores.tool, WARMUP_SECONDS, CONNECTIONS
        )
        after = node.server.usage().cpu_seconds, own.seconds(), time.monotonic()
        said = finished(logins) if logins else None
        with_others = busy_seconds() - node.server.usage().cpu_seconds - children_seconds() - with_others
        whole = time.monotonic() - before[2]
    finally:
        if logins is not None and logins.poll() is None:
            logins.kill()
            logins.wait()
    seconds = after[2] - before[2]
    return {
        "complaint": seen.complaint,
        "generator_limited": seen.generator_limited,
        "per_second": seen.per_second,
        "latency_us": seen.latency_us,
        # Of one core, by whatever else ran on this machine.
        "others_share": max(0.0, with_others / whole),
        # Of one core, the tool's start included.
        "cpu_share": {"node": (after[0] - before[0]) / seconds, "hashing": (after[1] - before[1]) / seconds},
        "logins": said,
    }


def offered(bench: Bench, node: Node, known: list[str], weights: list[int], seed: int) -> subprocess.Popen:
    """The program that offers logins, on the core of the tools."""
    plan = {
        "port": node.public,
        "users": known,
        "right": users.PASSWORD,
        "wrong": users.WRONG,
        "weights": weights,
        "rate": bench.asked.logins,
        "seconds": bench.asked.seconds + WARMUP_SECONDS + 2 * AROUND_SECONDS,
        "connections": LOGIN_CONNECTIONS,
        "patience": PATIENCE_SECONDS,
        "seed": seed,
    }
    script = Path(__file__).with_name("offer.py")
    command = ["setpriv", "--pdeathsig", "TERM", "taskset", "-c", ",".join(map(str, bench.cores.tool))]
    process = subprocess.Popen(
        [*command, sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdin.write(json.dumps(plan).encode())
    process.stdin.close()
    process.stdin = None
    return process


def finished(process: subprocess.Popen) -> dict:
    """What became of the logins: how many of each status, and how long they took."""
    out, err = process.communicate(timeout=60 + PATIENCE_SECONDS)
    if process.returncode != 0:
        raise Failed(f"offering logins failed: {err.decode(errors='replace')[-1000:]}")
    said = json.loads(out)
    answers = {}
    for status, taken in sorted(said.pop("milliseconds").items()):
        taken.sort()
        middle, late = (taken[min(len(taken) - 1, len(taken) * share // 100)] for share in (50, 99))
        answers[status] = {"count": len(taken), "milliseconds": {"p50": middle, "p99": late, "max": taken[-1]}}
    return {**said, "answers": answers}


def busy_seconds() -> float:
    """What all cores together have run so far, and what a hypervisor has kept from them."""
    user, nice, system, _, _, interrupt, soft, stolen = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + interrupt + soft + stolen) / TICKS_PER_SECOND


def children_seconds() -> float:
    """What we have run ourselves, and the tools that we have waited for."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


@dataclass(frozen=True)
class Threads:
    """The threads of a node that hash passwords."""

    process: int
    ids: list[int]
    policy: int
    niceness: int

    @classmethod
    def of(cls, node: Node, count: int) -> "Threads":
        """They are told by their name from those that hash the secrets of clients."""
        process = node.server.id
        found = []
        for task in Path(f"/proc/{process}/task").iterdir():
            thread = int(task.name)
            if (task / "comm").read_text().startswith("hashing-low"):
                found.append(thread)
        if len(found) != count:
            raise Failed(f"{len(found)} threads for passwords where {count} are set")
        return cls(process, found, os.sched_getscheduler(found[0]), os.getpriority(os.PRIO_PROCESS, found[0]))

    def become(self, priority: tuple | None) -> None:
        """Gives them a priority; none gives them back their own."""
        policy, niceness = self.policy, self.niceness
        if priority is not None:
            kind, niceness = priority
            policy = os.SCHED_IDLE if kind == "idle" else os.SCHED_OTHER
        for thread in self.ids:
            os.sched_setscheduler(thread, policy, os.sched_param(0))
            os.setpriority(os.PRIO_PROCESS, thread, niceness)

    def said(self, priority: tuple | None) -> str:
        """A priority in words."""
        if priority is None:
            return OWN
        kind, niceness = priority
        return "SCHED_IDLE" if kind == "idle" else f"niceness {niceness}"

    def seconds(self) -> float:
        """Processor time of them all."""
        ticks = 0
        for thread in self.ids:
            fields = stat_fields(Path(f"/proc/{self.process}/task/{thread}/stat").read_text())
            ticks += int(fields[USER_TICKS]) + int(fields[SYSTEM_TICKS])
        return ticks / TICKS_PER_SECOND


def brief(window: dict) -> str:
    """A line while it runs."""
    latency = window["latency_us"]
    text = f"others {window['others_share']:.2f}; "
    text += ", ".join(f"{name} {latency.get(name, 0):,.0f} us" for name in ("p50", "p99", "p99.9"))
    if window["logins"]:
        answers = window["logins"]["answers"]
        text += "; " + ", ".join(f"{one['count']} x {status}" for status, one in answers.items())
    if window["complaint"]:
        text += f" DOES NOT COUNT: {window['complaint']}"
    return text
