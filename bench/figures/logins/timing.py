"""How long logins take, of each kind, one after the other and in an order that nobody could foresee."""

import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles

from ground.machine import Cores
from ground.node import Node
from ground.process import Failed
from ground.redis import Redis
from ground.site import Caller

from . import users

# An account bears a hundred failures: these share them.
USERS = 20
# What all others are compared with: an account that exists.
BASE = "wrong password"
SUCCESS = "right password"
# The resamplings of an interval, and the share of them that lies within.
RESAMPLED = 2_000
WITHIN = 0.95
# Before anything counts: memory is mapped, connections are open.
UNCOUNTED = 10
AFTERWARDS_SECONDS = 0.002

Kinds = dict[str, Callable[[random.Random], tuple[str, str]]]


def kinds(known: list[str], disabled: list[str]) -> Kinds:
    """What is typed, by the kind of login."""

    def nobody(chance: random.Random) -> str:
        return f"nobody{chance.randrange(10**9):09}"

    return {
        BASE: lambda chance: (chance.choice(known), users.WRONG),
        "wrong password, by email": lambda chance: (users.email(chance.choice(known)), users.WRONG),
        "unknown username": lambda chance: (nobody(chance), users.WRONG),
        "unknown email": lambda chance: (users.email(nobody(chance)), users.WRONG),
        "disabled, right password": lambda chance: (chance.choice(disabled), users.PASSWORD),
        "a name that nobody can have": lambda chance: (f"no name {nobody(chance)}", users.WRONG),
        "a password that nobody can have": lambda chance: (chance.choice(known), ""),
        SUCCESS: lambda chance: (chance.choice(known), users.PASSWORD),
    }


def run(folder: Path, program: Path, cores: Cores, samples: int) -> list[dict]:
    """Over both stores."""
    told = []
    for store in ("embedded", "Redis"):
        with ExitStack() as running:
            if store == "Redis":
                redis = running.enter_context(Redis("redis", folder, cores.one))
                settings = {"redis": {"url": redis.url}}
            else:
                settings = {"store": {"path": str(folder / "data")}}
            node = users.node(f"timing-{store.lower()}", folder, settings)
            running.enter_context(node.start(program, cores.one))
            known, disabled = ([f"{word}{number}" for number in range(USERS)] for word in ("known", "disabled"))
            users.register(node, known)
            users.register(node, disabled, disabled=True)
            told.append({"store": store, **measure(node, kinds(known, disabled), samples)})
    return told


def measure(node: Node, of: Kinds, samples: int) -> dict[str, dict[str, list[float]]]:
    """Of each login, by kind: milliseconds from the first byte of a request to the last one of its answer, and of the
    processor time of the node meanwhile, which does not depend on who else runs on the machine."""
    # Names and addresses come from here: the same in each run.
    chance, caller = random.Random(1), Caller(node.public)
    order = [kind for kind in of for _ in range(samples)]
    chance.shuffle(order)
    taken, used = {kind: [] for kind in of}, {kind: [] for kind in of}
    uncounted = chance.sample(order, min(UNCOUNTED, len(order)))
    for place, kind in enumerate([*uncounted, *order]):
        name, password = of[kind](chance)
        worked, begun = node.server.usage().cpu_seconds, time.perf_counter_ns()
        answer = users.log_in(caller, name, password, chance)
        spent = (time.perf_counter_ns() - begun) / 1e6
        if answer.status != (200 if kind == SUCCESS else 401):
            raise Failed(f"a login with {kind} was answered {answer.status}: {answer.body[:200]!r}")
        # What is done after the answer was sent belongs to it, too.
        time.sleep(AFTERWARDS_SECONDS)
        worked = (node.server.usage().cpu_seconds - worked) * 1e3
        if place >= len(uncounted):
            taken[kind].append(spent)
            used[kind].append(worked)
    return {"milliseconds": taken, "processor_milliseconds": used}


def quartiles(values: list[float]) -> tuple[float, float, float]:
    """The middle half, and its middle."""
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, middle, high = quantiles(values, n=4, method="inclusive")
    return low, middle, high


def ratio(values: list[float], base: list[float]) -> tuple[float, float, float]:
    """The median divided by that of the base, and the interval that resampling gives (bootstrap)."""
    chance = random.Random(1)

    def again(of: list[float]) -> float:
        return median(chance.choices(of, k=len(of)))

    drawn = sorted(again(values) / again(base) for _ in range(RESAMPLED))
    outside = round(RESAMPLED * (1 - WITHIN) / 2)
    return median(values) / median(base), drawn[outside], drawn[-outside - 1]
