"""Whether it is enough: what introspectd promises of its speed, each row computed from the windows."""

from dataclasses import dataclass

from .figures import Figure, Records
from .targets import CONSTANT

# The Redis of the third row is measured with so many connections.
PROMISED_CONNECTIONS = 64


@dataclass(frozen=True)
class Verdict:
    """One row. No figure where it was not measured, and then the reason."""

    promise: str
    bound: float
    aim: float
    unit: str
    figure: Figure | None
    # Some promises are lower bounds.
    at_least: bool = False
    reason: str = "not measured in this run"

    @property
    def word(self) -> str:
        """Met, not met, or why it is not known."""
        if self.figure is None:
            return self.reason
        value = self.figure.middle
        if value >= self.aim if self.at_least else value <= self.aim:
            return "met, and the aim"
        return "met" if (value >= self.bound if self.at_least else value <= self.bound) else "**not met**"


def verdicts(records: Records, connections: int) -> list[Verdict]:
    """All rows that a comparison can show."""
    cpu = "cpu_us/server"
    rows = []
    for name, where in (("redis", "Redis"), ("embedded", "embedded store")):
        promise = f"near-cache hit over {where}, server CPU / nginx"
        rows.append(Verdict(promise, 1.15, 1.0, "x", records.ratio(name, CONSTANT, cpu)))
    promise = "read for each request, server CPU / nginx"
    rows.append(Verdict(promise, 1.6, 1.3, "x", records.ratio("redis-read", CONSTANT, cpu)))
    read = records.figure("redis-read", "cpu_us/store") if connections == PROMISED_CONNECTIONS else None
    why = (
        "not measured in this run"
        if connections == PROMISED_CONNECTIONS
        else f"measured with {connections} connections"
    )
    promise = f"Redis CPU per read at {PROMISED_CONNECTIONS} connections"
    rows.append(Verdict(promise, 3.0, 1.0, " us", read, reason=why))
    for name, where in (("redis-two-cores", "from memory"), ("redis-read-two-cores", "a read for each request")):
        figure = records.ratio(name, "oidc-provider", "per_second")
        rows.append(
            Verdict(f"throughput / oidc-provider, both over Redis, {where}", 10.0, 15.0, "x", figure, at_least=True)
        )
    for name, where in (("redis", "Redis"), ("embedded", "embedded store")):
        beside = f"open beside {name}"
        figure = records.ratio(name, CONSTANT, "latency_us/p99", "open", beside)
        rows.append(Verdict(f"p99 at half of saturation over {where} / nginx at the same rate", 2.0, 1.3, "x", figure))
    return rows
