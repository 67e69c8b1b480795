"""Where results are kept, and what has to be said of how they were made."""

import hashlib
import re
import shlex
import subprocess
import time
from pathlib import Path

from . import machine

ROOT = Path(__file__).resolve().parents[2]


def folder() -> Path:
    """Of today and of this machine: named by nothing that says whose it is."""
    name = machine.short_name(len(machine.available_cores()), machine.model())
    return ROOT / "bench/results" / f"{time.strftime('%Y-%m-%d')}-{name}"


def commit() -> str | None:
    """The commit of the sources, with a word if something beside it was changed. Results are no sources."""
    name = said(["git", "-C", str(ROOT), "describe", "--always"], r"(\S+)")
    changed = said(
        ["git", "-C", str(ROOT), "status", "--porcelain", "--", ".", ":!bench/results", ":!README.md"], r"(\S)"
    )
    return f"{name}-dirty" if changed else name


def origin(program: str, arguments: list[str], binaries: list[Path]) -> dict:
    """What is needed to do it again. No path of this machine is in it."""
    shown = [re.sub(r"(^|=)[/~.]\S*/", r"\1", word) for word in arguments]
    return {
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine.facts(),
        "commit": commit(),
        "command": shlex.join([program, *shown]),
        "sha256": {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in binaries if file.is_file()},
    }


def said(command: list[str], pattern: str) -> str | None:
    """What a program says of itself; none where it is not there."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except OSError:
        return None
    found = re.search(pattern, done.stdout + done.stderr)
    return found.group(1) if found else None
