"""What an introspection costs among more and more tokens."""

from ground.node import Node, Secrets
from ground.open_loop import Questions
from ground.redis import Redis
from ground.site import private

from . import seeding
from .seeding import Seeded
from .window import Bench, Subject, measure, point

PLOT = "tokens"
# What is answered from memory has to fit there, and to be as much at each size: else it would be the processor's own
# cache that is measured.
REMEMBERED = 1_000
FIRST = 50
STORES = ("embedded", "Redis")
MODES = {"from memory": True, "read for each request": False}


def run(bench: Bench, sizes: list[int]) -> None:
    """Both stores, one after the other."""
    for name in STORES:
        folder = bench.folder / name.lower()
        folder.mkdir()
        if name == "Redis":
            with Redis("store", folder, bench.cores.one) as redis:
                Tokens(bench, name, folder, redis).run(sizes)
        else:
            Tokens(bench, name, folder, None).run(sizes)


class Tokens:
    """One store, and a node over it for each mode: only one of them runs at a time."""

    def __init__(self, bench: Bench, name: str, folder, redis: Redis | None):
        self.bench = bench
        self.name = name
        self.folder = folder
        self.redis = redis
        self.data = folder / "data"
        settings = {"redis": {"url": redis.url}} if redis else {"store": {"path": str(self.data)}}
        shared = Secrets()
        # Nothing grows old while it is measured: how often is read again is measured by itself.
        caches = {True: {"max_age": "5m"}, False: {"max_bytes": 0}}
        self.nodes = {
            mode: Node(mode.replace(" ", "-"), folder, shared, {**settings, "cache": caches[cached]})
            for mode, cached in MODES.items()
        }
        any_node = next(iter(self.nodes.values()))
        self.seeded = Seeded(any_node, bench.seed, bench.cores, folder)
        self.secret = folder / "secret"
        private(self.secret, shared.gateway)

    def run(self, sizes: list[int]) -> None:
        """Each size: seed, then both modes."""
        # Whatever is made when the first tokens are kept is there before it is measured.
        self.seeded.grow(FIRST)
        empty = self.used()
        for size in sizes:
            self.bench.say(f"{self.name}: {size:,} tokens")
            inserted = self.seeded.grow(size)
            grown = (self.used() - empty) / (size - FIRST)
            for mode, node in self.nodes.items():
                with node.start(self.bench.introspectd, self.bench.cores.one):
                    windows = measure(self.bench, self.subject(node, remembers=MODES[mode]))
                point(
                    self.bench, PLOT, f"{self.name}, {mode}", size, windows,
                    bytes_per_token=grown, inserted_per_second=inserted,
                )  # fmt: skip

    def used(self) -> int:
        """Bytes in Redis, or in the folder's files."""
        if self.redis:
            return self.redis.used()
        return sum(file.stat().st_blocks * 512 for file in self.data.rglob("*") if file.is_file())

    def subject(self, node: Node, remembers: bool) -> Subject:
        """The node with its questions, asked once beforehand where it is to remember them."""
        if remembers:
            lines = self.seeded.spread(REMEMBERED)
            node.introspect(seeding.texts(lines))
        else:
            lines = self.seeded.lines
        tokens = seeding.write(self.folder / "questions.jsonl", lines)
        return Subject([node], self.redis, [Questions(node.site([]).url, "gateway", self.secret, tokens)])
