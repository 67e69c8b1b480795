"""The whole run, from the command line to the pictures."""

import json
import shutil
import sys
import tempfile
import time
from argparse import Namespace
from pathlib import Path

from ground import machine, results
from ground.open_loop import OpenLoop
from ground.process import Failed, in_order

from . import connections, hits, nodes, options, pictures, selftest, tokens
from .window import Bench

# Of the file's form: what reads it holds that it knows this one.
FORM = 1
FILE = "size.json"
CONNECTIONS = 64


def main(arguments: list[str]) -> int:
    """Exit code 0 when every window counts, 1 when one does not or something failed, 2 when something is missing."""
    asked = options.parse(arguments)
    if asked.self_test:
        return selftest.run()
    return in_order(lambda: carry_out(asked, arguments))


def carry_out(asked: Namespace, arguments: list[str]) -> int:
    """Draws what is there, or measures first."""
    if asked.draw:
        return draw(asked.output, json.loads((asked.output / FILE).read_text()))
    if lines := options.missing(asked):
        print("\n".join(lines), file=sys.stderr)
        return 2
    return draw(asked.output, measure(asked, arguments))


def measure(asked: Namespace, arguments: list[str]) -> dict:
    """Makes all points. What was measured is written after each: an interrupted run is not lost."""
    asked.output.mkdir(parents=True, exist_ok=True)
    place = results.ROOT / "target/figures"
    place.mkdir(parents=True, exist_ok=True)
    run = {
        "form": FORM,
        **results.origin("bench/figures/size", arguments, [asked.introspectd, asked.load, asked.seed]),
        "redis": results.said(["redis-server", "--version"], r"v=(\S+)"),
        "rate": asked.rate,
        "windows": asked.windows,
        "seconds": asked.seconds,
        "connections": CONNECTIONS,
        "points": [],
    }

    def keep(point: dict) -> None:
        run["points"].append(point)
        run["took_seconds"] = round(time.monotonic() - begun)
        (asked.output / FILE).write_text(json.dumps(run, indent=1) + "\n")
        tell(point)

    begun = time.monotonic()
    # Private, as secrets are in it.
    folder = Path(tempfile.mkdtemp(prefix="size-", dir=place))
    try:
        bench = Bench(
            folder=folder,
            cores=machine.share_out(machine.available_cores()),
            introspectd=asked.introspectd,
            seed=asked.seed,
            tool=OpenLoop(asked.load, CONNECTIONS),
            windows=asked.windows,
            seconds=asked.seconds,
            rate=asked.rate,
            keep=keep,
            say=say,
        )
        extent = asked.extent
        for name, make in {
            "connections": lambda: connections.run(bench, extent.connections),
            "hits": lambda: hits.run(bench, extent.hits),
            "nodes": lambda: nodes.run(bench, extent.nodes, extent.revocations),
            # Last, as it takes the longest.
            "tokens": lambda: tokens.run(bench, asked.sizes),
        }.items():
            if name in asked.only:
                make()
    finally:
        if not asked.keep:
            shutil.rmtree(folder, ignore_errors=True)
    return run


def draw(output: Path, run: dict) -> int:
    """The pictures and the page."""
    if run.get("form") != FORM:
        raise Failed(f"{FILE} has a form that is not known here: {run.get('form')}")
    for name, text in pictures.files(run).items():
        (output / name).write_text(text)
    print(pictures.page(run))
    say(f"written to {output}, after {run.get('took_seconds', 0)} s")
    return 1 if any(window.get("complaint") for point in run["points"] for window in point["windows"]) else 0


def tell(point: dict) -> None:
    """A line while it runs."""
    for window in point["windows"]:
        if window.get("complaint"):
            say(f"  {point['series']}, {point['at']:,}: DOES NOT COUNT: {window['complaint']}")
    counting = [window for window in point["windows"] if not window.get("complaint")]
    if counting:
        window = counting[-1]
        cpu = ", ".join(f"{name} {value:.2f} us" for name, value in window["cpu_us"].items())
        limited = ", generator-limited" if window["generator_limited"] else ""
        say(f"  {point['series']}: {cpu}, p99 {window['latency_us']['p99']:,.0f} us{limited}")


def say(text: str) -> None:
    """To whoever waits."""
    print(text, file=sys.stderr, flush=True)
