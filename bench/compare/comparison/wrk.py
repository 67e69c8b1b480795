"""wrk: a closed loop, in which each connection asks again as soon as it has its answer."""

import json
from dataclasses import dataclass
from pathlib import Path

from ground.process import Failed, output_of
from ground.site import Site

SCRIPT = Path(__file__).with_name("introspect.lua")

# How much the mean size of an answer may differ from the one that was looked at. Requests on their way at the end, and
# `iat` of another length, are within this; `{"active":false}` is not.
SIZE_TOLERANCE = 0.05


@dataclass(frozen=True)
class Run:
    """What wrk saw. Times are in microseconds."""

    requests: int
    bytes: int
    duration_us: int
    checked: int
    wrong: int
    errors: dict[str, int]
    latency_us: dict[str, float]

    @property
    def per_second(self) -> float:
        """Answers per second."""
        return self.requests * 1e6 / self.duration_us

    def complaint(self, size: float | None) -> str | None:
        """Why the window does not count; `size` is that of a right answer with its head, if it is known."""
        failed = {name: count for name, count in self.errors.items() if count}
        if failed:
            return "failed requests: " + ", ".join(f"{count} {name}" for name, count in failed.items())
        if self.wrong:
            return f"wrong answers: {self.wrong} of {self.checked}"
        if self.requests == 0:
            return "no answer at all"
        if size is not None and abs(self.bytes / self.requests / size - 1) > SIZE_TOLERANCE:
            return f"answers of {self.bytes / self.requests:.0f} bytes, a right one has {size:.0f}"
        return None


def parse(text: str) -> Run:
    """Reads what the script prints at the end."""
    for line in text.splitlines():
        if line.startswith("RESULT "):
            return Run(**json.loads(line.removeprefix("RESULT ")))
    raise Failed(f"wrk printed no result:\n{text[-1000:]}")


def run(site: Site, questions: Path, seconds: float, connections: int, cores: list[int], check: bool) -> Run:
    """One window."""
    # wrk takes whole seconds only.
    whole = max(1, round(seconds))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{whole}s", "--timeout", "10s", "-s", str(SCRIPT), site.url, "--"]
    command += [str(questions)] + (["check"] if check else [])
    code, out, err = output_of(command, cores, whole + 30)
    if code != 0:
        raise Failed(f"wrk failed (code {code}): {(err or out)[-1000:]}")
    return parse(out)
