"""introspectd-load: an open loop, in which requests fall due at a constant rate, and wait is latency."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .process import Failed, output_of
from .site import Site

WARMUP_SECONDS = 1


@dataclass(frozen=True)
class Run:
    """What was seen. Times are in microseconds, from the moment at which a request was due."""

    latency_us: dict[str, float]
    per_second: float
    complaint: str | None
    # Its own lag was above its bound: the figures are the generator's too.
    generator_limited: bool
    # All right ones, those of the warm-up included.
    answers: int = 0


def parse(text: str) -> Run:
    """Reads the report of `--format json`."""
    report = json.loads(text)
    figures, answers = report.get("figures"), report.get("answers", {})
    complaint = None if report.get("valid") else "not every request was answered rightly: " + json.dumps(answers)
    if figures is None:
        return Run({}, 0.0, complaint or "no figures", False)
    latency = {name: figures["latency_us"][name] for name in ("p50", "p99", "p99.9", "max")}
    limited = bool(report.get("generator", {}).get("limited"))
    return Run(latency, figures["requests_per_second"], complaint, limited, answers.get("right", 0))


@dataclass(frozen=True)
class Questions:
    """What is asked, by whom and where, in files that the tool reads."""

    url: str
    client_id: str
    secret: Path
    tokens: Path
    # Without one, the tokens are asked in their order, round and round.
    workload: Path | None = None


class OpenLoop:
    """The tool, wherever it is."""

    def __init__(self, binary: Path, connections: int, through: list[str] | None = None):
        """`through` is a command that starts another one, as `chrt` does."""
        self.binary = binary
        self.connections = connections
        # Measuring is a command of its own where the tool has several.
        asked = subprocess.run([binary, "run", "--help"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
        self.command = [*(through or []), str(binary)] + (["run"] if asked.returncode == 0 else [])

    def run(self, site: Site, rate: int, seconds: float, folder: Path, cores: list[int]) -> Run:
        """One window at this rate."""
        tokens, secret = folder / "truth.jsonl", folder / "secret"
        site.write_truth(tokens, secret)
        questions = Questions(site.url, site.client_id, secret, tokens)
        return self.ask(questions, rate, max(1, round(seconds)), cores, warmup=WARMUP_SECONDS)

    def ask(
        self,
        questions: Questions,
        rate: int,
        seconds: float,
        cores: list[int],
        warmup: float = 0,
        connections: int | None = None,
    ) -> Run:
        """One window of these questions at this rate."""
        return parse(self.report(questions, rate, seconds, cores, warmup, connections))

    def report(
        self,
        questions: Questions,
        rate: int,
        seconds: float,
        cores: list[int],
        warmup: float,
        connections: int | None,
    ) -> str:
        """What the tool says of a window."""
        command = self.command + ["--url", questions.url, "--client-id", questions.client_id]
        command += ["--client-secret-file", str(questions.secret), "--tokens", str(questions.tokens)]
        command += ["--workload", str(questions.workload)] if questions.workload else []
        command += ["--mode", "open", "--rate", str(rate), "--format", "json"]
        command += ["--connections", str(connections or self.connections)]
        command += ["--duration", f"{seconds}s", "--warmup", f"{warmup}s"]
        code, out, err = output_of(command, cores, seconds + warmup + 60)
        # 1 is a window with failures in it: its report says which.
        if code not in (0, 1) or not out.strip():
            raise Failed(f"introspectd-load failed (code {code}): {(err or out)[-1000:]}")
        return out
