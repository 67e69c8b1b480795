"""Each promise with its figure, where it comes from and how it is made."""

import json
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from comparison.verdicts import Verdict, verdicts
from ground.figures import Figure, Records, figure
from ground.process import Failed
from ground.results import ROOT
from logins import flood, page, timing

NONE = "–"
HEAD = ["figure", "must reach", "aim", "measured", "least to greatest", "", "command", "raw"]


@dataclass(frozen=True)
class Row:
    """A promise, and what is known of it."""

    verdict: Verdict
    # How many digits after the point say something.
    digits: int
    command: str
    # Beside the table, or from the page that shows it: a name within the folder.
    raw: str | None


def rows(folder: Path) -> list[Row]:
    """All rows; of those that the folder has nothing about, the command that would measure them."""
    found = []
    meta = read(folder / "comparison.meta.json")
    records = records_of(folder / "comparison.jsonl") if meta else Records([])
    command = meta["command"] if meta else "bench/compare/run"
    for verdict in verdicts(records, meta["connections"] if meta else 64):
        raw = "comparison.jsonl" if verdict.figure is not None else None
        found.append(Row(verdict, 2, command, raw))
    for make in (memory, batch, revocation, beside_logins, alike):
        found.append(make(folder))
    return found


def memory(folder: Path) -> Row:
    """Bytes in Redis."""
    told = read(folder / "memory.json")
    measured = figure([told["bytes_per_token"]["Redis"]["store"]]) if told else None
    verdict = Verdict("bytes in Redis for a standard opaque token", 280, 200, "", measured)
    return row(verdict, 0, "bench/figures/memory", "memory.json", told)


def batch(folder: Path) -> Row:
    """Tokens a second of one core."""
    told = read(folder / "batch.json")
    measured = figure(told["tokens_per_processor_second"]) if told else None
    promise = "tokens a second of one core's time, a thousand at a time, from memory"
    return row(Verdict(promise, 1e6, 1e6, "", measured, at_least=True), 0, "bench/figures/batch", "batch.json", told)


def revocation(folder: Path) -> Row:
    """How often a node said active after the answer to the revocation."""
    told = read(folder / "size.json")
    asked = [point["revocation"] for point in told["points"] if "revocation" in point] if told else []
    seen = figure([sum(one["active_after_answer"] for one in asked)]) if asked else None
    times = sum(one["asked_after_answer"] for one in asked)
    promise = "tokens said to be active after their revocation was answered" + (
        f", of {times:,} asked" if asked else ""
    )
    return row(Verdict(promise, 0, 0, "", seen), 0, "bench/figures/size", "size.json", told)


def beside_logins(folder: Path) -> Row:
    """How much slower introspection is while many log in, in the setting in which it is slowed down most, of those with
    as many hashing threads as a node has unless it is told otherwise."""
    told = read(folder / "login.json")
    windows = page.counting(told) if told and "flood" in told else []
    flooded = [
        window
        for window in windows
        if (window["kind"], window["priority"]) == (flood.FLOOD, flood.OWN) and window["setting"] not in flood.CHANGED
    ]
    by_setting: dict[str, list[dict]] = {}
    for window in flooded:
        by_setting.setdefault(window["setting"], []).append(window)
    of_each = [figure(page.beside_idle(told, window, "p99") for window in own) for own in by_setting.values()]
    measured = max((one for one in of_each if one), key=lambda one: one.middle, default=None)
    verdict = Verdict("introspection's p99 during 200 logins a second, by that without", 2, 1, "x", measured)
    return row(verdict, 2, "bench/figures/login", "login.json", told)


def alike(folder: Path) -> Row:
    """The furthest that the median of any kind of failed login is from that of a wrong password."""
    told = read(folder / "login.json")
    distances = []
    for store in told.get("timing", []) if told else []:
        taken = store["milliseconds"]
        base = median(taken[timing.BASE])
        others = (median(taken[kind]) / base for kind in taken if kind not in (timing.BASE, timing.SUCCESS))
        distances.append(100 * max(abs(ratio - 1) for ratio in others))
    promise = "how far the time of any failed login is from that of a wrong password"
    return row(Verdict(promise, 5, 2, " %", figure(distances)), 1, "bench/figures/login", "login.json", told)


def row(verdict: Verdict, digits: int, program: str, file: str, told: dict | None) -> Row:
    """With the command as it was given, or as it would be."""
    command = told["command"] if told else f"{program} --output FOLDER"
    return Row(verdict, digits, command, file if verdict.figure is not None else None)


def read(file: Path) -> dict | None:
    """A result; none where there is none."""
    if not file.is_file():
        return None
    try:
        return json.loads(file.read_text())
    except ValueError as error:
        raise Failed(f"{file.name} is damaged: {error}") from error


def records_of(file: Path) -> Records:
    """The windows of a comparison."""
    if not file.is_file():
        raise Failed(f"{file.name} is missing beside its meta file")
    return Records([json.loads(line) for line in file.read_text().splitlines()])


def table(found: list[Row], folder: Path) -> str:
    """As Markdown, with links from the root of the repository."""
    shown = folder.relative_to(ROOT) if folder.is_relative_to(ROOT) else Path(folder.name)
    lines = [HEAD, ["---"] * len(HEAD)]
    for one in found:
        verdict = one.verdict
        sign = "at least " if verdict.at_least else "at most "
        lines.append(
            [
                verdict.promise,
                sign + bound(verdict.bound, verdict.unit),
                bound(verdict.aim, verdict.unit),
                NONE if verdict.figure is None else number(verdict.figure.middle, one),
                spread(verdict.figure, one),
                verdict.word,
                f"`{one.command}`",
                f"[{one.raw}]({shown / one.raw})" if one.raw else NONE,
            ]
        )
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def bound(value: float, unit: str) -> str:
    """What was promised, in as few digits as it was."""
    return f"{value:,.10g}{unit}"


def number(value: float, of: Row) -> str:
    """A value in the digits of its row."""
    return f"{value:,.{of.digits}f}{of.verdict.unit}"


def spread(measured: Figure | None, of: Row) -> str:
    """Over the rounds, where there were several."""
    if measured is None or measured.rounds == 1:
        return NONE
    return f"{number(measured.least, of)} to {number(measured.greatest, of)}"
