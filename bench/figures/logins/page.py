"""The tables and the picture, computed from what was measured and nothing else."""

from ground.figures import Figure, figure
from ground.plot import Line, Plot, Point, Scale

from .flood import CONTROL, FLOOD, IDLE
from .timing import BASE, SUCCESS, quartiles, ratio

PAGE, PICTURE = "login.md", "login-times.svg"
TOOL = {
    True: "What measures has a real-time priority: it waits for no other program, so that all that it sees is a wait for "
    "the service.",
    False: "What measures had the usual priority (another one is for root): where it shares a core with the service, it "
    "waits for hashes itself, and that is in the figures.",
}
# What is drawn of the times of a kind, in hundredths of it.
DRAWN = range(2, 99, 4)


def files(run: dict) -> dict[str, str]:
    """What is written beside the raw figures."""
    told = {PAGE: page(run)}
    if "timing" in run:
        told[PICTURE] = picture(run["timing"][0])
    return told


def page(run: dict) -> str:
    """All tables."""
    facts = run["machine"]
    lines = [
        "# Logins",
        "",
        f"{run['date']}, {facts['cores']} cores of {facts['processor']}, Linux {facts['kernel']}, Redis "
        f"{run['redis']}, commit {run['commit']}, load before {facts['load_before']:.2f}: `{run['command']}`",
    ]
    for one in run.get("timing", []):
        lines += ["", *times(one, run["samples"])]
    if "flood" in run:
        lines += ["", *floods(run)]
    return "\n".join(lines) + "\n"


def times(one: dict, samples: int) -> list[str]:
    """How long each kind takes, and how it compares with a wrong password."""
    taken, used = one["milliseconds"], one["processor_milliseconds"]
    lines = [
        f"## Times of logins, {one['store']}",
        "",
        f"Milliseconds, {samples} of each kind, one after the other in an order of chance. The ratio is that of the "
        f"medians to `{BASE}`, with the interval that resampling gives for 95 %. Processor time is that of the node.",
        "",
        "| login | median | middle half | ratio | interval | processor time, median | ratio | interval |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for kind, values in taken.items():
        low, middle, high = quartiles(values)
        cells = [kind, f"{middle:.2f}", f"{low:.2f} to {high:.2f}"]
        cells += [*beside_base(kind, taken), f"{quartiles(used[kind])[1]:.2f}", *beside_base(kind, used)]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def beside_base(kind: str, of: dict[str, list[float]]) -> list[str]:
    """The ratio to the base, and its interval."""
    if kind == BASE:
        return ["1", ""]
    at, least, greatest = ratio(of[kind], of[BASE])
    return [f"{at:.3f}", f"{least:.3f} to {greatest:.3f}"]


def counting(run: dict) -> list[dict]:
    """The windows in which every introspection was answered rightly."""
    return [window for window in run["flood"] if window["complaint"] is None]


def beside_idle(run: dict, window: dict, percentile: str) -> float | None:
    """A latency divided by that of the idle window of the same round: the machine changes between rounds."""
    for other in counting(run):
        if all(other[name] == window[name] for name in ("setting", "round")) and other["kind"] == IDLE:
            base = other["latency_us"].get(percentile)
            return window["latency_us"][percentile] / base if base else None
    return None


def floods(run: dict) -> list[str]:
    """Introspection beside logins, and what became of these."""
    lines = [
        "## Introspection while logins are offered",
        "",
        f"{run['rate']:,} introspections a second from memory over 64 connections, {run['logins']} logins a second: "
        f"half of them right, a quarter with a wrong password, a quarter with a name that nobody has. {run['rounds']} "
        f"windows of {run['seconds']} s each, by turns; medians, least and greatest. `{CONTROL}` are as many requests "
        "of the same program, which are refused before anything is looked up. Others: what else ran on the machine "
        "meanwhile, as a share of one core. " + TOOL[run["tool_is_ahead"]],
        "",
        "| where | beside | priority of hashing | p50 us | p99 us | p99.9 us | p99 by idle | node | hashing | others |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    groups = grouped(counting(run))
    for (setting, kind, priority), windows in groups.items():
        cells = [setting, kind, priority if kind == FLOOD else ""]
        cells += [spread(figure(w["latency_us"].get(name) for w in windows)) for name in ("p50", "p99", "p99.9")]
        cells.append("" if kind == IDLE else spread(figure(beside_idle(run, w, "p99") for w in windows), 2, "x"))
        cells += [share(figure(w["cpu_share"][name] for w in windows)) for name in ("node", "hashing")]
        cells.append(share(figure(w["others_share"] for w in windows)))
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "What the logins were answered, a second, and how long that took (median of the medians, and of the 99th of a "
        "hundred):",
        "",
        "| where | priority of hashing | status | a second | p50 ms | p99 ms |",
        "|---|---|---|---|---|---|",
    ]
    for (setting, kind, priority), windows in groups.items():
        if kind == FLOOD:
            lines += answers(setting, priority, windows)
    if lost := sum(w["logins"]["unanswered"] for w in run["flood"] if w["logins"]):
        lines += ["", f"{lost} logins were not answered at all."]
    if limited := sum(w["generator_limited"] for w in run["flood"]):
        lines += ["", f"In {limited} of {len(run['flood'])} windows the tool was late itself."]
    for window in run["flood"]:
        if window["complaint"]:
            lines += ["", f"Does not count: {window['setting']}, {window['kind']}: {window['complaint']}"]
    return lines


def grouped(windows: list[dict]) -> dict[tuple, list[dict]]:
    """By setting, kind and priority; the priority means nothing where no logins are. In an order that reads well."""
    groups = {}
    for window in windows:
        kind = window["kind"]
        key = (window["setting"], kind, window["priority"] if kind == FLOOD else "")
        groups.setdefault(key, []).append(window)
    settings = list(dict.fromkeys(window["setting"] for window in windows))

    def order(key: tuple) -> tuple:
        setting, kind, priority = key
        return settings.index(setting), (IDLE, CONTROL, FLOOD).index(kind), priority

    return {key: groups[key] for key in sorted(groups, key=order)}


def answers(setting: str, priority: str, windows: list[dict]) -> list[str]:
    """A line for each status."""
    lines = []
    for status in sorted({status for window in windows for status in window["logins"]["answers"]}):
        told = [(window["logins"]["answers"].get(status), window["logins"]["seconds"]) for window in windows]
        rate = figure(one["count"] / seconds if one else 0.0 for one, seconds in told)
        p50, p99 = (figure(one["milliseconds"][name] for one, _ in told if one) for name in ("p50", "p99"))
        lines.append(f"| {setting} | {priority} | {status} | {rate.middle:.1f} | {p50.middle:.1f} | {p99.middle:.1f} |")
    return lines


def spread(of: Figure | None, digits: int = 0, unit: str = "") -> str:
    """The middle, and from where to where."""
    if of is None:
        return "–"
    if of.rounds == 1:
        return f"{of.middle:,.{digits}f}{unit}"
    return f"{of.middle:,.{digits}f}{unit} ({of.least:,.{digits}f} to {of.greatest:,.{digits}f})"


def share(of: Figure | None) -> str:
    """Of one core, in per cent."""
    return "–" if of is None else f"{of.middle:.0%}"


def picture(one: dict) -> str:
    """How the times of each kind are spread: lines that lie on each other tell nothing."""
    lines = []
    for kind, values in one["milliseconds"].items():
        if kind == SUCCESS:
            continue
        ordered = sorted(values)
        lines.append(Line(kind, [Point(at, ordered[min(len(ordered) - 1, len(ordered) * at // 100)]) for at in DRAWN]))
    note = "The more the lines lie on each other, the less the time tells."
    return Plot("Failed logins", Scale("per cent are faster"), Scale("milliseconds"), lines, note).svg()
