"""What many windows say together: medians, their spread, and ratios within a round."""

from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Figure:
    """A median over rounds, with the least and the greatest."""

    middle: float
    least: float
    greatest: float
    rounds: int

    @property
    def spread(self) -> float:
        """From the least to the greatest, as a share of the median."""
        return (self.greatest - self.least) / self.middle if self.middle else 0.0


def figure(values) -> Figure | None:
    """The figure of these values; none without values."""
    values = [value for value in values if value is not None]
    return Figure(median(values), min(values), max(values), len(values)) if values else None


def at(record: dict, path: str):
    """A member of a record, by its path (`latency_us/p99`); none where it has none."""
    for name in path.split("/"):
        if not isinstance(record, dict) or record.get(name) is None:
            return None
        record = record[name]
    return record


class Records:
    """The windows of a run. Those in which something went wrong are kept, and never counted."""

    def __init__(self, records: list[dict]):
        self.all = records
        self.valid = [record for record in records if record.get("complaint") is None]

    def of(self, target: str, kind: str = "closed") -> list[dict]:
        """The windows of a target that count, one a round."""
        return [record for record in self.valid if record["target"] == target and record["kind"] == kind]

    def has(self, target: str) -> bool:
        """Whether it was measured at all."""
        return any(record["target"] == target for record in self.all)

    def figure(self, target: str, path: str, kind: str = "closed") -> Figure | None:
        """A member of a target's windows."""
        return figure(at(record, path) for record in self.of(target, kind))

    def ratio(
        self, target: str, base: str, path: str, kind: str = "closed", base_kind: str | None = None
    ) -> Figure | None:
        """A member divided by that of the base, each by that of the same round: the machine changes between rounds."""
        below = {record["round"]: at(record, path) for record in self.of(base, base_kind or kind)}
        ratios = []
        for record in self.of(target, kind):
            above, divisor = at(record, path), below.get(record["round"])
            if above is not None and divisor:
                ratios.append(above / divisor)
        return figure(ratios)
