"""How it is told: one Markdown page. Everything on it can be computed again from the records beside it."""

from ground.figures import Figure, Records

from .targets import CONSTANT, Target
from .targets.redis_get import RedisGet
from .verdicts import Verdict, verdicts

NONE = "–"


def page(records: Records, targets: list[Target], meta: dict) -> str:
    """The whole page."""
    parts = [
        "# Comparison",
        machine(meta),
        "## What was promised",
        promises(verdicts(records, meta["connections"])),
        "## Throughput and cost",
        costs(records, targets),
        explanation(meta),
        "## Latency",
        latency(records, targets),
        LOOPS,
    ]
    if failed := failures(records):
        parts += ["## Windows that do not count", failed]
    parts += ["## What it does not show", LIMITS]
    return "\n\n".join(parts) + "\n"


LOOPS = """\
Closed loop: what callers see who wait for each other, at full load. Open loop: from the moment at which a request was
due, at half of the throughput of the same round; the constant is also asked at the rates of ours."""

COLUMNS = """\
Medians over the rounds; in brackets the least and the greatest. CPU is user and system time of all processes, per
request, and divided by that of nginx in the same round, which always has one core. Commands are those that the store
ran, per request. Busy is the share of a core that the server, its store and last the tool used: where the tool is the
busy one, the throughput is the tool's. `one`: the server and its store share one core (ours with one thread) and the
tool has another. `two`: the server and its store have both, with as many threads or processes as they like, and the
tool has {beside}."""

LIMITS = """\
- Everything runs on one machine over loopback: there is no network, no TLS, and the tool has a core of the same
  processor.
- One kind of question: tokens that are known and active, each asked about again and again. Unknown, expired and revoked
  ones, long lists of scopes and the first question about a token cost something else; `introspectd-load` measures them.
- The peers do more than introspection, and are set up with the least that it needs. Their answers have fewer members
  than ours, or others.
- Nothing is kept on disk by the Redis servers, for nobody.
- The bytes that a token takes, and what is seen of a revocation by other nodes, are measured and tested elsewhere."""


def machine(meta: dict) -> str:
    """Where and when, and with what."""
    facts = meta["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in meta["versions"].items() if version)
    return (
        f"{meta['date']}, {facts['cores']} cores of {facts['processor']}, Linux {facts['kernel']}, "
        f"commit `{meta['commit']}`. "
        f"{meta['rounds']} rounds of {meta['seconds']:g} s for each, {meta['connections']} connections, "
        f"{meta['tokens']} tokens.\n\nMade by `{meta['command']}`. With {versions}."
    )


def promises(rows: list[Verdict]) -> str:
    """The promises with what was measured."""
    lines = [["promise", "measured", "must reach", "aim", ""]]
    for row in rows:
        sign = "at least " if row.at_least else "at most "
        measured = number(row.figure, lambda value, unit=row.unit: f"{value:.2f}{unit}")
        lines.append([row.promise, measured, f"{sign}{row.bound:g}{row.unit}", f"{row.aim:g}{row.unit}", row.word])
    return table(lines)


def costs(records: Records, targets: list[Target]) -> str:
    """Throughput, processor time and memory."""
    head = [
        "",
        "cores",
        "requests/s",
        "CPU of the server",
        "/ nginx",
        "CPU of its store",
        "commands",
        "busy",
        "memory, peak",
    ]
    lines = [head]
    for target in targets:
        if not records.has(target.name):
            continue
        # A GET is no answer over HTTP: divided by one, it would look like a result.
        below = None if isinstance(target, RedisGet) else records.ratio(target.name, CONSTANT, "cpu_us/server")
        lines.append(
            [
                target.label,
                target.cores,
                number(records.figure(target.name, "per_second"), lambda value: f"{value:,.0f}"),
                number(records.figure(target.name, "cpu_us/server"), lambda value: f"{value:.2f} us"),
                number(below, lambda value: f"{value:.2f}"),
                number(records.figure(target.name, "cpu_us/store"), lambda value: f"{value:.2f} us"),
                middle(records.figure(target.name, "commands_per_request"), lambda value: f"{value:.2f}"),
                busy(records, target.name),
                middle(records.figure(target.name, "memory/peak_bytes"), lambda value: f"{value / 1048576:.0f} MiB"),
            ]
        )
    return table(lines)


def busy(records: Records, target: str) -> str:
    """What was the slower side: a tool that is busy all the time measures itself."""
    shares = [records.figure(target, f"busy/{name}") for name in ("server", "store", "tool")]
    return " / ".join(f"{share.middle:.0%}" for share in shares if share is not None)


def explanation(meta: dict) -> str:
    """How to read the columns."""
    beside = "a core of its own" if meta["machine"]["cores"] > 2 else "its share of the same two"
    return COLUMNS.format(beside=beside)


def latency(records: Records, targets: list[Target]) -> str:
    """Percentiles of both loops."""
    head = ["", "cores", "closed: p50", "p99", "p99.9", "open: rate", "p50", "p99", "p99.9", ""]
    lines = [head]
    for target in targets:
        if not records.has(target.name):
            continue
        closed = [times(records, target.name, "closed", name) for name in ("p50", "p99", "p99.9")]
        lines.append([target.label, target.cores, *closed, *open_cells(records, target.name, "open")])
        if target.name == CONSTANT:
            for kind in sorted({record["kind"] for record in records.all if record["kind"].startswith("open beside ")}):
                label = f"{target.label}, at the rate of `{kind.removeprefix('open beside ')}`"
                lines.append([label, target.cores, NONE, NONE, NONE, *open_cells(records, target.name, kind)])
    return table(lines)


def open_cells(records: Records, target: str, kind: str) -> list[str]:
    """The right half of a line of latencies."""
    limited = sum(1 for record in records.of(target, kind) if record.get("generator_limited"))
    return [
        middle(records.figure(target, "rate", kind), lambda value: f"{value:,.0f}/s"),
        *(times(records, target, kind, name) for name in ("p50", "p99", "p99.9")),
        f"generator-limited in {limited} of {len(records.of(target, kind))}" if limited else "",
    ]


def times(records: Records, target: str, kind: str, name: str) -> str:
    """A percentile, with its spread where it is the one that is compared."""
    figure = records.figure(target, f"latency_us/{name}", kind)
    write = number if name == "p99" else middle
    return write(figure, lambda value: f"{value:,.0f} us")


def failures(records: Records) -> str:
    """What went wrong, once for each reason."""
    reasons = {}
    for record in records.all:
        if record.get("complaint") is not None:
            reason = (record["target"], record["kind"], record["complaint"].splitlines()[0])
            reasons.setdefault(reason, []).append(str(record["round"]))
    return "\n".join(
        f"- {target}, {kind}, round {', '.join(rounds)}: {complaint}"
        for (target, kind, complaint), rounds in reasons.items()
    )


def number(figure: Figure | None, write) -> str:
    """A median with its spread."""
    if figure is None:
        return NONE
    if figure.rounds == 1:
        return write(figure.middle)
    return f"{write(figure.middle)} ({write(figure.least)} to {write(figure.greatest)})"


def middle(figure: Figure | None, write) -> str:
    """A median alone."""
    return NONE if figure is None else write(figure.middle)


def table(lines: list[list[str]]) -> str:
    """A Markdown table; the first line is its head."""
    head, *rows = lines
    written = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in written)
