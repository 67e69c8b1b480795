"""What an introspection costs over Redis when more and more of them are answered from memory.

A share of the questions is about the same few tokens, which the node remembers; the others are each about a token that
nobody has asked about before, and are read. What the node counts as hits is kept with each window.
"""

from ground.node import Node, Secrets
from ground.open_loop import Questions
from ground.redis import Redis
from ground.site import private

from . import seeding
from .seeding import Seeded
from .window import WARMUP_SECONDS, Bench, Subject, point, window

PLOT = "hits"
SERIES = "Redis"
REMEMBERED = 1_000
# The tool asks a little longer than it was told to.
ROOM = 1.1


def run(bench: Bench, shares: list[int]) -> None:
    """A new process for each share: it remembers nothing of the one before."""
    folder = bench.folder / PLOT
    folder.mkdir()
    shared = Secrets()
    each = int(bench.rate * (bench.seconds + WARMUP_SECONDS) * ROOM) + 1
    with Redis("store", folder, bench.cores.one) as redis:
        settings = {"redis": {"url": redis.url}, "cache": {"max_age": "5m"}}
        node = Node("node", folder, shared, settings)
        seeded = Seeded(node, bench.seed, bench.cores, folder, most_asked=None)
        bench.say(f"{REMEMBERED + each * bench.windows:,} tokens for what is remembered and what is not")
        seeded.grow(REMEMBERED + each * bench.windows)
        hot, cold = seeded.lines[:REMEMBERED], seeded.lines[REMEMBERED:]
        private(folder / "secret", shared.gateway)
        for share in shares:
            bench.say(f"{share} % from memory")
            workload = folder / f"{share}.toml"
            workload.write_text(mix(share))
            windows = []
            with node.start(bench.introspectd, bench.cores.one):
                node.introspect(seeding.texts(hot))
                for number in range(bench.windows):
                    asked = seeding.of_kind(hot, "active-hot") if share > 0 else []
                    if share < 100:
                        asked += seeding.of_kind(cold[number * each : (number + 1) * each], "active-cold")
                    tokens = seeding.write(folder / "questions.jsonl", asked)
                    questions = Questions(node.site([]).url, "gateway", folder / "secret", tokens, workload)
                    windows.append(window(bench, Subject([node], redis, [questions]), bench.rate))
            point(bench, PLOT, SERIES, share, windows)


def mix(share: int) -> str:
    """The workload: so many in a hundred are about few tokens, all of them equally often."""
    weights = {"active-hot": share, "active-cold": 100 - share}
    lines = [f"{kind} = {weight}" for kind, weight in weights.items() if weight]
    return "\n".join(["seed = 1", "[mix]", *lines, "[population]", "zipf-exponent = 0.0", ""])
