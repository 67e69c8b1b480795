"""redis-benchmark: what a GET costs that comes alone, and one of many in a batch."""

import csv
import io
from dataclasses import dataclass

from ground.process import Failed, output_of
from ground.redis import Redis

KEYS = 1000
# About what a token takes.
VALUE_BYTES = 200
# How many commands the calibration sends, per command of a batch.
CALIBRATION = 20_000


@dataclass(frozen=True)
class Run:
    """What was seen. It reports no p99.9."""

    per_second: float
    latency_us: dict[str, float]


def fill(redis: Redis) -> None:
    """The keys that are asked for, named as redis-benchmark names them."""
    for number in range(KEYS):
        redis.ask("SET", f"key:{number:012}", "x" * VALUE_BYTES)


def parse(text: str) -> Run:
    """Reads what `--csv` prints."""
    rows = list(csv.DictReader(io.StringIO(text)))
    if not rows:
        raise Failed(f"redis-benchmark printed no result: {text[-500:]}")
    row = rows[-1]
    latency = {name: float(row[f"{name}_latency_ms"]) * 1000 for name in ("p50", "p99", "max")}
    return Run(float(row["rps"]), latency)


def once(redis: Redis, requests: int, pipeline: int, connections: int, cores: list[int]) -> Run:
    """So many requests."""
    command = [
        "redis-benchmark",
        "-p",
        str(redis.port),
        "-c",
        str(connections),
        "-P",
        str(pipeline),
        "-n",
        str(requests),
    ]
    command += ["-r", str(KEYS), "--csv", "GET", "key:__rand_int__"]
    code, out, err = output_of(command, cores, 120)
    if code != 0:
        raise Failed(f"redis-benchmark failed (code {code}): {(err or out)[-500:]}")
    return parse(out)


def requests_for(redis: Redis, seconds: float, pipeline: int, connections: int, cores: list[int]) -> int:
    """How many requests take about so long: it takes a number, not a time."""
    run = once(redis, CALIBRATION * min(pipeline, 8), pipeline, connections, cores)
    return max(CALIBRATION, int(run.per_second * seconds))
