"""The plots and the page: computed from the points of a run and nothing else."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from ground.figures import Figure, at, figure
from ground.plot import Line, Plot, Point, Scale, short

# What a point is about, on its axis.
AXES = {
    "tokens": Scale("tokens in the store", logarithmic=True),
    "connections": Scale("connections, used in turn", logarithmic=True),
    "hits": Scale("answered from memory, as the node counts (%)"),
    "nodes": Scale("nodes over one Redis"),
}
CPU = Scale("CPU per introspection (us)")
LATENCY = Scale("microseconds", logarithmic=True)


@dataclass(frozen=True)
class Picture:
    """One plot: which values of which points are drawn."""

    file: str
    plot: str
    title: str
    y: Scale
    # What of a point is drawn under which name: series of points, name of the line, and how its value is found.
    lines: list[tuple[str | None, str, Callable[[dict], Figure | None]]]
    # Whether it is to stay as it is when the size grows.
    flat: bool = True
    note: str = ""


def of_windows(path: str) -> Callable[[dict], Figure | None]:
    """A member of the windows that count."""
    return lambda point: figure(at(window, path) for window in counting(point))


def of_point(path: str) -> Callable[[dict], Figure | None]:
    """A member of the point itself: a number, or a list of them."""

    def find(point):
        value = at(point, path)
        return figure(value if isinstance(value, list) else [value])

    return find


def per_node(path: str) -> Callable[[dict], Figure | None]:
    """The same, divided by the nodes."""

    def find(point):
        value = at(point, path)
        return figure([None if value is None else value / point["at"]])

    return find


def counting(point: dict) -> list[dict]:
    """The windows in which nothing went wrong."""
    return [window for window in point["windows"] if window.get("complaint") is None]


NODE, STORE = of_windows("cpu_us/node"), of_windows("cpu_us/store")
TOKEN_SERIES = [
    "embedded, from memory",
    "embedded, read for each request",
    "Redis, from memory",
    "Redis, read for each request",
]


def all_pictures(run: dict) -> list[Picture]:
    """What can be drawn of a run."""
    least = base_memory(run)
    spread, half = (
        f"At {rate:,} requests a second; medians of {run['windows']} windows, lines from the least to the greatest."
        for rate in (run["rate"], run["rate"] // 2)
    )
    tokens = [(series, series, NODE) for series in TOKEN_SERIES]
    tokens.append((TOKEN_SERIES[3], "Redis itself, read for each request", STORE))
    return [
        Picture(
            "size-tokens-cpu.svg", "tokens", "CPU per introspection, against tokens in the store", CPU, tokens,
            note=spread,
        ),
        *(
            Picture(
                f"size-tokens-{name}.svg", "tokens", f"Latency ({name}), against tokens in the store", LATENCY,
                [(series, series, of_windows(f"latency_us/{name}")) for series in TOKEN_SERIES], note=spread,
            )
            for name in ("p50", "p99")
        ),
        Picture(
            "size-tokens-bytes.svg", "tokens", "Bytes per token, against tokens in the store", Scale("bytes per token"),
            [
                (TOKEN_SERIES[1], "embedded, blocks of its folder", of_point("bytes_per_token")),
                (TOKEN_SERIES[3], "Redis, used_memory", of_point("bytes_per_token")),
            ],
            note="What the store has grown by, divided by the tokens in it.",
        ),
        Picture(
            "size-connections-cpu.svg", "connections", "CPU per introspection, against connections", CPU,
            [(None, "embedded, from memory", NODE)], note=half,
        ),
        Picture(
            "size-connections-latency.svg", "connections", "Latency, against connections", LATENCY,
            [(None, name, of_windows(f"latency_us/{name}")) for name in ("p50", "p99")], note=half,
        ),
        Picture(
            "size-connections-memory.svg", "connections", "Resident memory per connection", Scale("bytes"),
            [(None, "of the node", lambda point: memory_per_connection(point, least))],
            note="What it is more than with one connection, in a process of its own for each size; from 100 on.",
        ),
        Picture(
            "size-hits-cpu.svg", "hits", "CPU per introspection, against answers from memory", CPU,
            [(None, "the node", NODE), (None, "Redis", STORE)], flat=False, note=spread,
        ),
        Picture(
            "size-nodes-cpu.svg", "nodes", "CPU per introspection from memory, against nodes", CPU,
            [(None, "the nodes", NODE), (None, "Redis", STORE)],
            note="Each node at the same rate, whatever their number. That of Redis is the leases'.",
        ),
        Picture(
            "size-nodes-revocation-time.svg", "nodes", "Until a revocation is answered, against nodes",
            Scale("milliseconds"), [(None, "until no node says active", of_point("revocation/acknowledged_ms"))],
            note="Median; the line goes from the least to the greatest.",
        ),
        Picture(
            "size-nodes-revocation-commands.svg", "nodes", "Commands of one revocation for each node",
            Scale("commands"), [(None, "Redis runs", per_node("revocation/commands"))],
            note="As Redis counts them, those within scripts included; without what nodes say anyway.",
        ),
        Picture(
            "size-nodes-revocation-bytes.svg", "nodes", "Bytes of one revocation for each node",
            Scale("bytes"), [(None, "to Redis and from it", per_node("revocation/bytes"))],
            note="Without what nodes say anyway.",
        ),
        Picture(
            "size-nodes-lease.svg", "nodes", "Traffic of a node in a second in which nothing happens",
            Scale("bytes a second"),
            [(None, "to Redis and from it", of_point("lease/bytes_per_node_second"))],
            note="Leases, and looking after the store.",
        ),
    ]  # fmt: skip


def base_memory(run: dict) -> float | None:
    """What a node has with one connection."""
    found = [point for point in run["points"] if point["plot"] == "connections" and point["at"] == 1]
    values = [window["resident_bytes"] for point in found for window in counting(point)]
    return median(values) if values else None


def memory_per_connection(point: dict, least: float | None) -> Figure | None:
    """Below a hundred connections it would be the noise of everything else."""
    if least is None or point["at"] < 100:
        return None
    return figure((window["resident_bytes"] - least) / (point["at"] - 1) for window in counting(point))


def place(point: dict) -> float:
    """Where a point lies: of hits, where they were counted."""
    if point["plot"] != "hits":
        return point["at"]
    measured = of_windows("hit_share")(point)
    return measured.middle * 100 if measured else point["at"]


def line_of(run: dict, picture: Picture, series: str | None, name: str, find) -> list[tuple[float, Figure]]:
    """The values of one line, by size."""
    points = [point for point in run["points"] if point["plot"] == picture.plot and series in (None, point["series"])]
    found = [(place(point), find(point)) for point in points]
    return sorted(((size, value) for size, value in found if value is not None), key=lambda one: one[0])


def files(run: dict) -> dict[str, str]:
    """The pictures for which there are points, and the page."""
    written = {}
    for picture in all_pictures(run):
        lines = []
        for series, name, find in picture.lines:
            values = line_of(run, picture, series, name, find)
            if values:
                points = [Point(size, value.middle, value.least, value.greatest) for size, value in values]
                lines.append(Line(name, points))
        if lines:
            plot = Plot(picture.title, AXES[picture.plot], picture.y, lines, picture.note)
            written[picture.file] = plot.svg()
    return {**written, "size.md": page(run)}


def growth(values: list[tuple[float, Figure]]) -> float | None:
    """The last of a line, divided by the first."""
    if len(values) < 2 or not values[0][1].middle:
        return None
    return values[-1][1].middle / values[0][1].middle


def page(run: dict) -> str:
    """What the pictures show, as a table: each line with its values, and by what it has grown."""
    facts = run["machine"]
    parts = [
        "# Cost against size",
        f"{run['date']}, {facts['cores']} cores of {facts['processor']}, Linux {facts['kernel']}, "
        f"Redis {run['redis']}, commit `{run['commit']}`. {run['rate']:,} requests a second, {run['windows']} windows "
        f"of {run['seconds']} s for each point, {run['connections']} connections where not these are what grows.",
        f"Made by `{run['command']}`; raw: [size.json](size.json). Each value is a median; growth is the last one "
        "divided by the first.",
    ]
    for picture in all_pictures(run):
        rows = []
        for series, name, find in picture.lines:
            if values := line_of(run, picture, series, name, find):
                cells = ", ".join(f"{short(round(size, 1))}: {value.middle:,.1f}" for size, value in values)
                times = growth(values)
                rows.append(f"| {name} | {cells} | {'–' if times is None else f'{times:.2f}x'} |")
        if rows:
            wish = "should be flat" if picture.flat else "falls, from a read for each to none"
            head = f"| {picture.y.label} | {AXES[picture.plot].label}: value | growth ({wish}) |\n|---|---|---|"
            parts += [f"## {picture.title}", f"![{picture.title}]({picture.file})", "\n".join([head, *rows])]
    asked = [point["revocation"] for point in run["points"] if "revocation" in point]
    if asked:
        total, active = (sum(one[name] for one in asked) for name in ("asked_after_answer", "active_after_answer"))
        parts.append(
            f"Asked after a revocation was answered: {total:,} times, and {active} times told that it is active."
        )
    if failed := complaints(run):
        parts += ["## Windows that do not count", "\n".join(failed)]
    limited = sum(bool(window.get("generator_limited")) for point in run["points"] for window in counting(point))
    if limited:
        count = sum(len(counting(point)) for point in run["points"])
        parts.append(f"In {limited} of {count} windows the tool was late: their latencies are the tool's, too.")
    return "\n\n".join(parts) + "\n"


def complaints(run: dict) -> list[str]:
    """What went wrong."""
    return [
        f"- {point['plot']}, {point['series']}, {point['at']:,}: {window['complaint'].splitlines()[0]}"
        for point in run["points"]
        for window in point["windows"]
        if window.get("complaint")
    ]
