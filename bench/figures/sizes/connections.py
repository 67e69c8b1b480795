"""What an introspection costs over more and more connections, at the same rate over all of them together.

The rate is half of that of the other plots, as one connection has to bear it. The tool lets its free connections take
turns, first come first served: each is used in turn, none stays idle for good.
"""

import resource

from ground.node import Node, Secrets
from ground.open_loop import Questions
from ground.site import private

from . import seeding
from .seeding import Seeded
from .window import Bench, Subject, measure, point

PLOT = "connections"
SERIES = "embedded, from memory"
TOKENS = 1_000
# Beside its connections, a process has files of its own.
OTHER_FILES = 200


def run(bench: Bench, sizes: list[int]) -> None:
    """A new process for each size, so that what one of them has grown to is not taken for another's."""
    folder = bench.folder / PLOT
    folder.mkdir()
    shared = Secrets()
    settings = {
        "store": {"path": str(folder / "data")},
        "cache": {"max_age": "5m"},
        # By default there is room for 10,000, the tool's and ours.
        "http": {"max_connections": max(sizes) + OTHER_FILES},
    }
    node = Node("node", folder, shared, settings)
    seeded = Seeded(node, bench.seed, bench.cores, folder)
    seeded.grow(TOKENS)
    tokens = seeding.write(folder / "questions.jsonl", seeded.lines)
    private(folder / "secret", shared.gateway)
    questions = Questions(node.site([]).url, "gateway", folder / "secret", tokens)
    # Inherited by what is started.
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, allowed))
    for size in sizes:
        if allowed != resource.RLIM_INFINITY and size + OTHER_FILES > allowed:
            bench.say(f"{size:,} connections: left out, as a process may have no more than {allowed} files (ulimit -n)")
            continue
        bench.say(f"{size:,} connections")
        with node.start(bench.introspectd, bench.cores.one):
            node.introspect(seeding.texts(seeded.lines))
            subject = Subject([node], None, [questions], connections=size)
            windows = measure(
                bench, subject, bench.rate // 2, lambda: {"resident_bytes": node.server.usage().resident_bytes}
            )
        point(bench, PLOT, SERIES, size, windows)
