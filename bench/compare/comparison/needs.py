"""What has to be there, and how to get it. Everything that is missing is named at once."""

import shutil
from pathlib import Path

from ground.machine import available_cores

from .targets import Target

TOOLS = {
    "wrk": "sudo apt-get install wrk",
    "taskset": "sudo apt-get install util-linux",
    "setpriv": "sudo apt-get install util-linux",
}


def missing(targets: list[Target], introspectd: Path, hyper: Path) -> list[str]:
    """A line for each thing that is missing."""
    wanted = dict(TOOLS)
    for target in targets:
        wanted.update(target.needs())
    lines = [f"{program} is missing: {how}" for program, how in wanted.items() if not found(program)]
    build = "cargo build --release --locked --workspace"
    if not introspectd.is_file():
        lines.append(f"introspectd is missing: {build}, or name one with --introspectd")
    if not hyper.is_file() and any(target.name == "hyper" for target in targets):
        lines.append(f"the floor of hyper is missing: {build}, or name one with --hyper")
    if len(available_cores()) < 2:
        lines.append("two cores are needed: one for the server, one for the tool")
    return lines


def found(program: str) -> bool:
    """Whether it is in the search path, or where Debian keeps what only root runs."""
    return shutil.which(program) is not None or shutil.which(program, path="/usr/sbin:/sbin") is not None
