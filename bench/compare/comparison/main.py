"""The whole run, from the command line to the page."""

import json
import shutil
import sys
import tempfile
from argparse import Namespace
from contextlib import ExitStack
from pathlib import Path

from ground import machine, results
from ground.figures import Records
from ground.open_loop import OpenLoop
from ground.process import in_order

from . import needs, options, report, selftest
from .rounds import Rounds
from .targets import CONSTANT, Surroundings, Target


def main(arguments: list[str]) -> int:
    """Exit code 0 when every window counts, 1 when one does not or something failed, 2 when something is missing."""
    asked = options.parse(arguments)
    if asked.self_test:
        return selftest.run()
    return in_order(lambda: carry_out(asked, arguments))


def carry_out(asked: Namespace, arguments: list[str]) -> int:
    """Measures, if everything is there that it needs."""
    targets = options.chosen(asked)
    if lines := needs.missing(targets, asked.introspectd, asked.hyper):
        print("\n".join(lines), file=sys.stderr)
        return 2
    return measure(asked, targets, arguments)


def measure(asked: Namespace, targets: list[Target], arguments: list[str]) -> int:
    """Starts everything, runs the rounds, writes the results."""
    cores = machine.share_out(machine.available_cores())
    place = options.ROOT / "target/compare"
    installed = place / "installed"
    installed.mkdir(parents=True, exist_ok=True)
    out = asked.out or (place / "quick" if asked.quick else results.folder())
    out.mkdir(parents=True, exist_ok=True)
    meta = describe(asked, arguments)
    records = []
    with ExitStack() as stack, (out / "comparison.jsonl").open("w") as lines:
        # Short, as a socket in it may have no more than a hundred letters; private, as secrets are in it.
        folder = Path(tempfile.mkdtemp(prefix="run-", dir=place))
        if not asked.keep:
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        surroundings = Surroundings(folder, installed, cores, asked.tokens, asked.introspectd, asked.hyper, stack)
        start(targets, surroundings)
        open_loop = find_open_loop(asked)

        def keep(record: dict) -> None:
            records.append(record)
            lines.write(json.dumps(record) + "\n")
            lines.flush()
            tell(record)

        rounds = Rounds(targets, cores, folder, asked.connections, asked.seconds, open_loop, keep)
        # In the quick form one pair is enough, unless somebody has chosen.
        few = asked.quick and asked.only is None
        rounds.run(asked.rounds, {"embedded", CONSTANT} if few else {target.name for target in targets})
    (out / "comparison.meta.json").write_text(json.dumps(meta, indent=2) + "\n")
    page = report.page(Records(records), targets, meta)
    (out / "comparison.md").write_text(page)
    print("\n" + page)
    print(f"written to {out}", file=sys.stderr)
    return 1 if any(record.get("complaint") for record in records) else 0


def start(targets: list[Target], surroundings: Surroundings) -> None:
    """Installs and starts all targets, and holds that each tells a good token from a revoked one."""
    # Ours first: the floors repeat what one of ours answers.
    for target in sorted(targets, key=lambda target: target.kind != "ours"):
        say(f"starting {target.name}")
        target.install(surroundings)
        target.start(surroundings)
        if hasattr(target, "site"):
            target.site.check(target.name)


def find_open_loop(asked: Namespace) -> OpenLoop | None:
    """The tool of the open loop, or a word about what is left out."""
    if asked.no_open:
        return None
    if not asked.load.is_file():
        say("introspectd-load is not built (cargo build --release --workspace, or --load): there is no open loop")
        return None
    return OpenLoop(asked.load, asked.connections)


def tell(record: dict) -> None:
    """A line while it runs."""
    place = f"round {record['round']}  {record['target']:20} {record['kind']}"
    if record.get("complaint"):
        say(f"{place}: DOES NOT COUNT: {record['complaint']}")
        return
    cpu = "".join(f", {name} {value:.2f} us" for name, value in record.get("cpu_us", {}).items())
    busy = "".join(f", {name} {share:.0%} busy" for name, share in record.get("busy", {}).items())
    say(f"{place}: {record['per_second']:,.0f}/s, p99 {record['latency_us']['p99']:,.0f} us{cpu}{busy}")


def say(text: str) -> None:
    """To whoever waits."""
    print(text, file=sys.stderr, flush=True)


def describe(asked: Namespace, arguments: list[str]) -> dict:
    """What is needed to do it again."""
    return {
        **results.origin("bench/compare/run", arguments, [asked.introspectd, asked.load, asked.hyper]),
        "rounds": asked.rounds,
        "seconds": asked.seconds,
        "connections": asked.connections,
        "tokens": asked.tokens,
        "versions": {
            "nginx": results.said([shutil.which("nginx") or "/usr/sbin/nginx", "-v"], r"nginx/(\S+)"),
            "redis": results.said(["redis-server", "--version"], r"v=(\S+)"),
            "wrk": results.said(["wrk", "-v"], r"wrk \S*?([0-9][^\s\[]*)"),
            "node": results.said(["node", "--version"], r"v(\S+)"),
        },
    }
