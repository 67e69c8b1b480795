"""The whole run, from the command line to the page."""

import json
import shutil
import sys
import tempfile
import time
from argparse import Namespace
from pathlib import Path

from ground import machine, results
from ground.process import Failed, in_order

from . import flood, options, page, selftest, timing

# Of the file's form: what reads it holds that it knows this one.
FORM = 1
FILE = "login.json"


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
    """Measures, and writes down each part as it is done."""
    asked.output.mkdir(parents=True, exist_ok=True)
    place = results.ROOT / "target/figures"
    place.mkdir(parents=True, exist_ok=True)
    run = {
        "form": FORM,
        **results.origin("bench/figures/login", arguments, [asked.introspectd, asked.load]),
        "redis": results.said(["redis-server", "--version"], r"v=(\S+)"),
        **{name: getattr(asked, name) for name in options.FULL},
    }
    begun, cores = time.monotonic(), machine.share_out(machine.available_cores())
    # Private, as secrets are in it.
    folder = Path(tempfile.mkdtemp(prefix="login-", dir=place))
    try:
        for part in asked.parts:
            if part == "timing":
                say(f"{asked.samples} logins of each kind")
                run[part] = timing.run(folder, asked.introspectd, cores, asked.samples)
            else:
                run["tool_is_ahead"] = flood.ahead()
                tool = flood.tool(asked.load)
                run[part] = flood.run(flood.Bench(folder, cores, asked.introspectd, tool, asked), say)
            run["took_seconds"] = round(time.monotonic() - begun)
            (asked.output / FILE).write_text(json.dumps(run, indent=1) + "\n")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return run


def draw(output: Path, run: dict) -> int:
    """The page and the picture."""
    if run.get("form") != FORM:
        raise Failed(f"{FILE} has a form that is not known here: {run.get('form')}")
    for name, text in page.files(run).items():
        (output / name).write_text(text)
    print(page.page(run))
    say(f"written to {output}, after {run.get('took_seconds', 0)} s")
    return 1 if any(window["complaint"] for window in run.get("flood", [])) else 0


def say(text: str) -> None:
    """To whoever waits."""
    print(text, file=sys.stderr, flush=True)
