"""Which machine this is, without its name, and which of its cores do what."""

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cores:
    """Who runs where. A row says `one` or `two`."""

    # The server and its store.
    one: list[int]
    tool: list[int]
    two: list[int]
    # A core of its own where there is a third; else it takes its share of the two.
    tool_beside_two: list[int]

    def server(self, count: str) -> list[int]:
        """Where the server and its store run."""
        return self.one if count == "one" else self.two

    def tool_for(self, count: str) -> list[int]:
        """Where the tool runs."""
        return self.tool if count == "one" else self.tool_beside_two


def share_out(available: list[int]) -> Cores:
    """The cores of a run; there are at least two."""
    first, second = available[0], available[1]
    beside = [available[2]] if len(available) > 2 else [first, second]
    return Cores(one=[first], tool=[second], two=[first, second], tool_beside_two=beside)


def available_cores() -> list[int]:
    """Those that we may run on."""
    return sorted(os.sched_getaffinity(0))


def model() -> str:
    """The processor's name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def short_name(cores: int, processor: str) -> str:
    """A name for a folder, made of cores and processor: `2-cores-amd-epyc`."""
    words = re.sub(r"\((r|tm)\)|\bcpu\b|\bprocessor\b|@.*|\d+-core", " ", processor.lower())
    return f"{cores}-cores-" + re.sub(r"[^a-z0-9]+", "-", words).strip("-")


def facts() -> dict:
    """What a reader has to know of the machine."""
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    return {
        "processor": model(),
        "cores": len(available_cores()),
        "memory_bytes": int(memory.group(1)) * 1024 if memory else None,
        "kernel": platform.release(),
        "governor": governor.read_text().strip() if governor.exists() else None,
        "load_before": os.getloadavg()[0],
    }
