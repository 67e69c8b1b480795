"""The command line."""

import argparse
from pathlib import Path

from .targets import CONSTANT, Target, catalogue

ROOT = Path(__file__).resolve().parents[3]

FULL = {"rounds": 7, "seconds": 8.0, "tokens": 1000}
QUICK = {"rounds": 2, "seconds": 3.0, "tokens": 200}


def parse(arguments: list[str]) -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(
        prog="bench/compare/run",
        description="Starts floors, peers and introspectd on loopback, loads them by turns, and writes a table.",
        epilog="Targets: " + ", ".join(target.name for target in catalogue()),
    )
    parser.add_argument(
        "--quick", action="store_true", help="for development: floors and ours on one core, 2 rounds of 3 s"
    )
    parser.add_argument(
        "--rounds", type=whole, metavar="N", help=f"how many rounds ({FULL['rounds']}, quick {QUICK['rounds']})"
    )
    parser.add_argument(
        "--seconds", type=float, metavar="S", help="how long each window is (8, quick 3); whole seconds"
    )
    parser.add_argument("--tokens", type=whole, metavar="N", help="how many tokens are asked about (1000, quick 200)")
    parser.add_argument("--connections", type=whole, metavar="N", default=64, help="connections of the tool (64)")
    parser.add_argument("--only", type=names, metavar="NAMES", help="these targets, separated by commas, and nginx")
    parser.add_argument("--without", type=names, metavar="NAMES", default=[], help="all targets but these")
    parser.add_argument("--introspectd", type=Path, metavar="FILE", default=ROOT / "target/release/introspectd")
    parser.add_argument(
        "--load",
        type=Path,
        metavar="FILE",
        default=ROOT / "target/release/introspectd-load",
        help="introspectd-load, for the open loop; without it, these columns are empty",
    )
    parser.add_argument("--hyper", type=Path, metavar="FILE", default=ROOT / "target/release/introspectd-compare-hyper")
    parser.add_argument("--no-open", action="store_true", help="leave the open loop out")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="where the results go (bench/results/<date>-<machine>; quick: target/compare/quick)",
    )
    parser.add_argument("--keep", action="store_true", help="leave the logs of the servers behind")
    parser.add_argument(
        "--self-test", action="store_true", help="check the arithmetic and the parsing, and nothing else"
    )
    parsed = parser.parse_args(arguments)
    for name, value in (QUICK if parsed.quick else FULL).items():
        if getattr(parsed, name) is None:
            setattr(parsed, name, value)
    if parsed.seconds < 1:
        parser.error("--seconds must be 1 or more")
    known = [target.name for target in catalogue()]
    if unknown := sorted({*(parsed.only or []), *parsed.without} - set(known)):
        parser.error(f"no such target: {', '.join(unknown)}; there are {', '.join(known)}")
    for name in ("introspectd", "load", "hyper"):
        setattr(parsed, name, getattr(parsed, name).absolute())
    return parsed


def chosen(options: argparse.Namespace) -> list[Target]:
    """The targets that are asked for, in the order of the catalogue."""
    targets = catalogue()
    if options.only is not None:
        wanted = {*options.only, CONSTANT}
    elif options.quick:
        wanted = {target.name for target in targets if target.kind != "peer" and target.cores == "one"}
    else:
        wanted = {target.name for target in targets}
    targets = [target for target in targets if target.name in wanted - set(options.without)]
    if not any(target.kind == "ours" for target in targets):
        # The floors repeat what one of ours answers.
        targets.insert(0, catalogue()[0])
    return targets


def names(text: str) -> list[str]:
    """A list, separated by commas."""
    return [name for name in text.split(",") if name]


def whole(text: str) -> int:
    """A number of things."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value
