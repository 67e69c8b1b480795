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

    def used(self) -> int:
        """Bytes in use, without what the allocator keeps for itself."""
        self.ask("MEMORY", "PURGE")
        return int(info(self.ask("INFO", "memory"))["used_memory"])

    def traffic(self) -> tuple[int, int]:
        """Bytes that it has received and sent, as of before this was asked."""
        stats = info(self.ask("INFO", "stats"))
        return int(stats["total_net_input_bytes"]), int(stats["total_net_output_bytes"])

    def calls(self) -> dict[str, int]:
        """How often it has run each command, those that are no work included."""
        return command_counts(self.ask("INFO", "commandstats"), without=frozenset())

    def commands(self) -> dict[str, int]:
        """How often it has run each command."""
        return command_counts(self.ask("INFO", "commandstats"))


def info(text: str) -> dict[str, str]:
    """What INFO says, by name."""
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def command_counts(text: str, without: set | frozenset = frozenset(NOT_WORK)) -> dict[str, int]:
    """The calls in the section `commandstats` of INFO, without what is no work."""
    counts = {}
    for line in text.splitlines():
        if line.startswith("cmdstat_"):
            name, _, values = line.removeprefix("cmdstat_").partition(":")
            if name not in without:
                counts[name] = int(dict(value.split("=") for value in values.split(","))["calls"])
    return counts


def difference(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """What was run between two counts."""
    return {name: count - before.get(name, 0) for name, count in after.items() if count > before.get(name, 0)}
