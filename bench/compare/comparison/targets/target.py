"""What every target promises."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from ground.machine import Cores
from ground.process import Group
from ground.redis import Redis
from ground.site import Answer, Site


@dataclass
class Surroundings:
    """What a target is started with."""

    # A folder for this run, under target/: what is in it may be thrown away.
    folder: Path
    # A folder for what was installed: it is kept for the next run.
    installed: Path
    cores: Cores
    tokens: int
    introspectd: Path
    hyper: Path
    # Ends everything that was put on it, the last one first.
    running: ExitStack
    # Tokens of ours and our answer to them, which the floors repeat: known once the first of ours has started.
    asked: list[str] = field(default_factory=list)
    answer: Answer | None = None

    def start(self, name: str, command: list[str], cores: list[int], environment: dict | None = None) -> Group:
        """Starts a program that ends with the run."""
        home = self.folder / name
        home.mkdir(exist_ok=True)
        return self.running.enter_context(Group(name, command, home, cores, environment))

    def redis(self, name: str, cores: list[int]) -> Redis:
        """Starts a Redis that ends with the run."""
        return self.running.enter_context(Redis(name, self.folder, cores))


class Target:
    """Something that can be measured. `start` makes `server`, `store` and `site`; what it starts ends with the run."""

    # As it is called on the command line, and in the results.
    name: str
    # As it is called in the table.
    label: str
    # Floor, ours or peer.
    kind: str
    # How many cores the server and its store have: one or two.
    cores: str = "one"
    # How long it is loaded before the first round, for what compiles its code while it runs.
    warm_up_seconds: int = 0

    server: Group
    store: Group | None = None
    site: Site

    def needs(self) -> dict[str, str]:
        """Programs, and the command that installs each."""
        return {}

    def install(self, surroundings: Surroundings) -> None:
        """Fetches what the comparison itself can fetch; quick when it is there already."""

    def start(self, surroundings: Surroundings) -> None:
        """Starts it with clients and tokens in it."""
        raise NotImplementedError
