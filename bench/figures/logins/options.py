"""The command line, and what has to be there."""

import argparse
import os
import shutil
from pathlib import Path

from ground import machine, results

BINARIES = results.ROOT / "target/release"
PARTS = ("timing", "flood")
FULL = {"samples": 200, "rounds": 5, "seconds": 4, "rate": 4_000, "logins": 200}
QUICK = {"samples": 10, "rounds": 1, "seconds": 1, "rate": 1_000, "logins": 200}


def parse(arguments: list[str]) -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(
        prog="bench/figures/login",
        description="Measures how alike the times of failed logins are, and what a flood of logins does to "
        "introspection.",
    )
    parser.add_argument("--quick", action="store_true", help="few samples and short windows: half a minute")
    parser.add_argument("--only", choices=PARTS, help="one of the two")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="where the results go (bench/results/<date>-<machine>; quick: target/figures/quick)",
    )
    for name, what in {
        "samples": "logins of each kind",
        "rounds": "windows of each kind",
        "seconds": "of each window",
        "rate": "introspections a second",
        "logins": "logins a second",
    }.items():
        parser.add_argument(f"--{name}", type=int, metavar="N", help=f"{what} ({FULL[name]}, quick {QUICK[name]})")
    parser.add_argument("--introspectd", type=Path, metavar="FILE", default=BINARIES / "introspectd")
    parser.add_argument("--load", type=Path, metavar="FILE", default=BINARIES / "introspectd-load")
    parser.add_argument("--draw", action="store_true", help="measure nothing: write the page of what is in the folder")
    parser.add_argument("--self-test", action="store_true", help="check the arithmetic, and nothing else")
    parsed = parser.parse_args(arguments)
    usual = QUICK if parsed.quick else FULL
    for name, value in usual.items():
        if getattr(parsed, name) is None:
            setattr(parsed, name, value)
        elif getattr(parsed, name) < 1:
            parser.error(f"--{name} must be 1 or more")
    parsed.parts = [parsed.only] if parsed.only else list(PARTS)
    if parsed.output is None:
        parsed.output = results.ROOT / "target/figures/quick" if parsed.quick else results.folder()
    for name in ("introspectd", "load", "output"):
        setattr(parsed, name, getattr(parsed, name).absolute())
    return parsed


def missing(asked: argparse.Namespace) -> list[str]:
    """A line for each thing that is missing, with how to get it."""
    programs = {"redis-server": "redis-server", "taskset": "util-linux", "setpriv": "util-linux", "chrt": "util-linux"}
    lines = [
        f"{name} is missing: sudo apt-get install {package}"
        for name, package in programs.items()
        if not shutil.which(name)
    ]
    for name in ("introspectd", "load"):
        if not os.access(getattr(asked, name), os.X_OK):
            lines.append(
                f"{getattr(asked, name).name} is missing: cargo build --release --locked --workspace, or name one "
                f"with --{name}"
            )
    if len(machine.available_cores()) < 2:
        lines.append("two cores are needed: one for the node, one for the tools")
    return lines
