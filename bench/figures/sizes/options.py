"""The command line, and what has to be there."""

import argparse
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from ground import machine, results

BINARIES = results.ROOT / "target/release"
PLOTS = ("tokens", "connections", "hits", "nodes")


@dataclass(frozen=True)
class Extent:
    """How much is measured."""

    tokens: list[int]
    connections: list[int]
    hits: list[int]
    nodes: list[int]
    revocations: int
    windows: int
    seconds: int
    rate: int


FULL = Extent(
    tokens=[1_000, 10_000, 100_000, 1_000_000, 10_000_000],
    connections=[1, 10, 100, 1_000, 10_000],
    hits=[0, 25, 50, 75, 90, 99, 100],
    nodes=[1, 2, 3, 4],
    revocations=20,
    windows=3,
    seconds=4,
    rate=8_000,
)
QUICK = Extent(
    tokens=[1_000, 10_000],
    connections=[1, 100],
    hits=[0, 50, 100],
    nodes=[1, 2],
    revocations=3,
    windows=1,
    seconds=1,
    rate=2_000,
)


def parse(arguments: list[str]) -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(
        prog="bench/figures/size",
        description="Measures what an introspection costs against tokens, connections, hits and nodes, and draws it.",
    )
    parser.add_argument("--quick", action="store_true", help="small sizes and short windows: about a minute")
    parser.add_argument("--only", type=plots, metavar="PLOTS", default=list(PLOTS), help="some of " + ",".join(PLOTS))
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="where the results go (bench/results/<date>-<machine>; quick: target/figures/quick)",
    )
    parser.add_argument("--rate", type=int, metavar="N", help=f"requests a second ({FULL.rate}, quick {QUICK.rate})")
    parser.add_argument("--windows", type=int, metavar="N", help=f"for each point ({FULL.windows}, quick 1)")
    parser.add_argument("--seconds", type=int, metavar="N", help=f"of each window ({FULL.seconds}, quick 1)")
    parser.add_argument("--tokens", type=int, metavar="N", help="leave out stores of more tokens than this")
    parser.add_argument("--introspectd", type=Path, metavar="FILE", default=BINARIES / "introspectd")
    parser.add_argument("--load", type=Path, metavar="FILE", default=BINARIES / "introspectd-load")
    parser.add_argument("--seed", type=Path, metavar="FILE", default=BINARIES / "introspectd-seed")
    parser.add_argument("--keep", action="store_true", help="leave the logs of the servers behind")
    parser.add_argument("--draw", action="store_true", help="measure nothing: draw again what is in the folder")
    parser.add_argument("--self-test", action="store_true", help="check the arithmetic, and nothing else")
    parsed = parser.parse_args(arguments)
    usual = QUICK if parsed.quick else FULL
    for name in ("rate", "windows", "seconds"):
        value = getattr(parsed, name)
        if value is None:
            setattr(parsed, name, getattr(usual, name))
        elif value < 1:
            parser.error(f"--{name} must be 1 or more")
    parsed.extent = usual
    parsed.sizes = [size for size in usual.tokens if parsed.tokens is None or size <= parsed.tokens]
    if not parsed.sizes:
        parser.error(f"--tokens: the smallest store has {usual.tokens[0]}")
    if parsed.output is None:
        parsed.output = results.ROOT / "target/figures/quick" if parsed.quick else results.folder()
    for name in ("introspectd", "load", "seed", "output"):
        setattr(parsed, name, getattr(parsed, name).absolute())
    return parsed


def plots(text: str) -> list[str]:
    """Some of the plots."""
    names = [name for name in text.split(",") if name]
    if unknown := sorted(set(names) - set(PLOTS)):
        raise argparse.ArgumentTypeError(f"no such plot: {', '.join(unknown)}; there are {', '.join(PLOTS)}")
    return names


def missing(asked: argparse.Namespace) -> list[str]:
    """A line for each thing that is missing, with how to get it."""
    programs = {"redis-server": "redis-server", "taskset": "util-linux", "setpriv": "util-linux"}
    lines = [
        f"{name} is missing: sudo apt-get install {package}"
        for name, package in programs.items()
        if not shutil.which(name)
    ]
    build = "cargo build --release --locked --workspace"
    for name in ("introspectd", "load", "seed"):
        if not os.access(getattr(asked, name), os.X_OK):
            lines.append(f"{getattr(asked, name).name} is missing: {build}, or name one with --{name}")
    if len(machine.available_cores()) < 2:
        lines.append("two cores are needed: one for the nodes, one for the tool")
    return lines
