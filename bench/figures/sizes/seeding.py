"""Many tokens in a store, past the HTTP interface, and a fair choice of them to ask about."""

import json
from pathlib import Path

from ground.machine import Cores
from ground.node import AUDIENCE, Node
from ground.process import Failed, output_of
from ground.site import private

# A second holds some hundred thousand insertions at best; whoever waits longer has a disk that does not keep up.
SECONDS_PER_MILLION = 300
# Each is asked at most once in a window of usual length and rate.
MOST_ASKED = 100_000


class Seeded:
    """The tokens of one store: so many, and of those a choice that is spread evenly over all."""

    def __init__(self, node: Node, program: Path, cores: Cores, folder: Path, most_asked: int | None = MOST_ASKED):
        self.most_asked = most_asked
        self.node = node
        self.program = program
        self.cores = cores
        self.folder = folder
        self.count = 0
        # Each line stands for so many tokens.
        self.every = 1
        self.lines: list[str] = []

    def grow(self, count: int) -> float:
        """Inserts until there are so many; how many a second."""
        new = count - self.count
        if new <= 0:
            return 0.0
        every = 1 if self.most_asked is None else -(-count // self.most_asked)
        # A choice of a choice: it stays even as long as each is a multiple of the one before.
        while every % self.every:
            every += 1
        output = self.folder / "seeded.jsonl"
        command = [str(self.program), "-c", str(self.node.configuration), "--client", "application"]
        command += ["--audience", AUDIENCE, "--tokens", str(new), "--first", str(self.count)]
        command += ["--every", str(every), "--output", str(output)]
        code, out, err = output_of(command, self.cores.two, 60 + SECONDS_PER_MILLION * new / 1e6)
        if code != 0:
            raise Failed(f"introspectd-seed failed (code {code}): {(err or out)[-1000:]}")
        self.lines = self.lines[:: every // self.every] + output.read_text().splitlines()
        output.unlink()
        self.count, self.every = count, every
        return new / json.loads(out.splitlines()[-1])["seconds"]

    def spread(self, count: int) -> list[str]:
        """At most so many of the lines, spread evenly over all."""
        step = max(1, len(self.lines) // count)
        return self.lines[::step][:count]


def write(file: Path, lines: list[str]) -> Path:
    """What is to be asked, as introspectd-load reads it."""
    private(file, "\n".join(lines) + "\n")
    return file


def of_kind(lines: list[str], kind: str) -> list[str]:
    """The same, with their kind in a mix."""
    return [json.dumps({**json.loads(line), "kind": kind}) for line in lines]


def texts(lines: list[str]) -> list[str]:
    """The tokens alone."""
    return [json.loads(line)["token"] for line in lines]
