"""Whether it is enough: what introspectd promises of its speed, each row computed from the windows."""

from dataclasses import dataclass

from ground.figures import Figure, Records

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
    # What speaks against the figure.
    doubt: str = ""

    @property
    def word(self) -> str:
        """Met, not met, or why it is not known."""
        return self.reason if self.figure is None else self.judgement() + self.doubt

    def judgement(self) -> str:
        """Where the median is."""
        value = self.figure.middle
        if value >= self.aim if self.at_least else value <= self.aim:
            return "met, and the aim"
        return "met" if (value >= self.bound if self.at_least else value <= self.bound) else "**not met**"


def generator_doubt(records: Records, *windows: tuple[str, str]) -> str:
    """Whether the tool of the open loop kept to its plan in these windows."""
    limited = [record.get("generator_limited") for target, kind in windows for record in records.of(target, kind)]
    return f"; generator-limited in {sum(map(bool, limited))} of {len(limited)} windows" if any(limited) else ""


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
    for name, base, where in (
        ("redis", "oidc-provider-one-core", "from memory, one core and the tool apart"),
        ("redis-two-cores", "oidc-provider", "from memory, two cores"),
        ("redis-read", "oidc-provider-one-core", "a read for each request, one core and the tool apart"),
        ("redis-read-two-cores", "oidc-provider", "a read for each request, two cores"),
    ):
        figure = records.ratio(name, base, "per_second")
        promise = f"throughput / oidc-provider, both over Redis, {where}"
        rows.append(Verdict(promise, 10.0, 15.0, "x", figure, at_least=True))
    for name, where in (("redis", "Redis"), ("embedded", "embedded store")):
        beside = f"open beside {name}"
        figure = records.ratio(name, CONSTANT, "latency_us/p99", "open", beside)
        promise = f"p99 at half of saturation over {where} / nginx at the same rate"
        doubt = generator_doubt(records, (name, "open"), (CONSTANT, beside))
        rows.append(Verdict(promise, 2.0, 1.3, "x", figure, doubt=doubt))
    return rows
