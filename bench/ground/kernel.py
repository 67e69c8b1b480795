"""What the kernel says of processes (proc(5))."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")

# Positions in /proc/PID/stat, counted from the field after the name, which may itself hold spaces and brackets.
STATE, GROUP, USER_TICKS, SYSTEM_TICKS = 0, 2, 11, 12

# In the lowest bits of a clock's number: all that a process and its threads have run, ended ones included.
PROCESSOR_CLOCK = 2


@dataclass(frozen=True)
class Usage:
    """What a group of processes has used: processor time in seconds, memory in bytes."""

    cpu_seconds: float
    resident_bytes: int
    # The sum of each process' own peak, which they need not have had at the same time.
    peak_bytes: int


def stat_fields(text: str) -> list[str]:
    """The fields of /proc/PID/stat from the state on."""
    return text[text.rindex(")") + 2 :].split()


def cpu_seconds(fields: list[str]) -> float:
    """Time in user and system mode, of all threads, ended ones included."""
    return (int(fields[USER_TICKS]) + int(fields[SYSTEM_TICKS])) / TICKS_PER_SECOND


def processor_seconds(process: int, fields: list[str]) -> float:
    """The same to the nanosecond: the kernel's processor clock of a process (clock_getcpuclockid(3))."""
    clock = (~process << 3) | PROCESSOR_CLOCK
    try:
        return time.clock_gettime_ns(clock) / 1e9
    except OSError:
        return cpu_seconds(fields)


def status_bytes(text: str, key: str) -> int:
    """A size of /proc/PID/status; 0 where it has none, as for a process that is ending."""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name == key:
            return int(value.split()[0]) * 1024
    return 0


def members(group: int) -> dict[int, list[str]]:
    """The living processes of a group, with their fields."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = stat_fields((entry / "stat").read_text())
            except (OSError, ValueError):
                # It has ended since the folder was read.
                continue
            if int(fields[GROUP]) == group and fields[STATE] not in "ZX":
                found[int(entry.name)] = fields
    return found


def usage(group: int) -> Usage:
    """What the group has used."""
    cpu, resident, peak = 0.0, 0, 0
    for process, fields in members(group).items():
        cpu += processor_seconds(process, fields)
        try:
            status = Path(f"/proc/{process}/status").read_text()
        except OSError:
            continue
        resident += status_bytes(status, "VmRSS")
        peak += status_bytes(status, "VmHWM")
    return Usage(cpu, resident, peak)
