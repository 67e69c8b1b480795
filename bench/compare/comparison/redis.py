"""A Redis of one's own: it keeps nothing on disk, and nobody else's commands are in its counts."""

import socket
from pathlib import Path

from .process import Group, free_port

# What a server does by itself, or what asks it for these counts.
NOT_WORK = {"info", "ping", "hello", "client|setinfo", "client|setname", "client|tracking", "command", "select", "auth"}


class Redis(Group):
    """A Redis server on loopback."""

    def __init__(self, name: str, folder: Path, cores: list[int]):
        self.port = free_port()
        home = folder / name
        home.mkdir()
        super().__init__(
            name,
            ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "no"],
            home,
            cores,
        )
        self.listens(self.port)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://127.0.0.1:{self.port}"

    def ask(self, *words: str) -> str:
        """One command; a text, a status or a number comes back as text."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10.0) as connection:
            command = f"*{len(words)}\r\n" + "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)
            connection.sendall(command.encode())
            reader = connection.makefile("rb")
            first = reader.readline().decode().rstrip("\r\n")
            if first.startswith("-"):
                raise OSError(f"Redis: {first[1:]}")
            return reader.read(int(first[1:])).decode() if first.startswith("$") else first[1:]

    def commands(self) -> dict[str, int]:
        """How often it has run each command."""
        return command_counts(self.ask("INFO", "commandstats"))


def command_counts(text: str) -> dict[str, int]:
    """The calls in the section `commandstats` of INFO, without what is no work."""
    counts = {}
    for line in text.splitlines():
        if line.startswith("cmdstat_"):
            name, _, values = line.removeprefix("cmdstat_").partition(":")
            if name not in NOT_WORK:
                counts[name] = int(dict(value.split("=") for value in values.split(","))["calls"])
    return counts


def difference(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """What was run between two counts."""
    return {name: count - before.get(name, 0) for name, count in after.items() if count > before.get(name, 0)}
