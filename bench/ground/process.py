"""Programs that are started, watched and always ended."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from .kernel import Usage, members, usage

# A server that does not listen by then will not.
START_SECONDS = 30.0
# Long enough to close connections, short enough to wait for.
END_SECONDS = 5.0


class Failed(Exception):
    """Something could not be done; the text says what, for the one who runs the comparison."""


def in_order(work: Callable[[], int]) -> int:
    """Does the work of a command, and ends what it has started, however it ends. The exit code is the work's; 1 when
    something could not be done, 130 when it was interrupted."""
    # Ending by a signal has to end what was started, too: as an exception, it passes through every `with`.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        return work()
    except (Failed, OSError, ValueError) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: everything that was started has been ended", file=sys.stderr)
        return 130


def free_port() -> int:
    """A port of loopback that nobody listens on. Somebody may take it before it is used: then the start fails."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Group:
    """A program with all that it starts: a session of its own, so that they are counted and ended together."""

    def __init__(self, name: str, command: list[str], folder: Path, cores: list[int], environment: dict | None = None):
        """Starts it on these cores. It ends with us, however we end: setpriv asks the kernel for that."""
        self.name = name
        self.log = folder / f"{name}.log"
        pinned = ["setpriv", "--pdeathsig", "TERM", "taskset", "-c", ",".join(map(str, cores))]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                pinned + command,
                cwd=folder,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        # Of a session's leader, the identifier is that of its group.
        self.id = self.process.pid

    def __enter__(self) -> "Group":
        return self

    def __exit__(self, *_) -> None:
        self.end()

    def listens(self, port: int) -> None:
        """Waits until it takes connections on the port."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise Failed(f"{self.name} ended at its start (code {self.process.returncode}):\n{self.last_words()}")
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
                return
            except OSError:
                time.sleep(0.02)
        raise Failed(f"{self.name} does not listen on port {port}:\n{self.last_words()}")

    def usage(self) -> Usage:
        """What it has used so far, and the memory it has now."""
        return usage(self.id)

    def last_words(self) -> str:
        """The end of what it has said."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])

    def end(self) -> None:
        """Ends all of it: by request first, then by force."""
        for message in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.id, message)
            except ProcessLookupError:
                break
            deadline = time.monotonic() + END_SECONDS
            while time.monotonic() < deadline:
                # Without it, the leader stays in the list as a zombie.
                self.process.poll()
                if not members(self.id):
                    break
                time.sleep(0.02)
            else:
                continue
            break
        self.process.wait()


def output_of(
    command: list[str], cores: list[int], seconds: float, environment: dict | None = None
) -> tuple[int, str, str]:
    """Runs a tool on these cores for at most so long: its exit code and what it wrote."""
    pinned = ["setpriv", "--pdeathsig", "TERM", "taskset", "-c", ",".join(map(str, cores))]
    process = subprocess.Popen(
        pinned + command,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=seconds)
        return process.returncode, out, err
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{Path(command[0]).name} did not end within {seconds:.0f} s") from error
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
