"""The latency-throughput curve of a sweep of introspectd-load, as its own report draws it."""

from ground.plot import Line, Plot, Point, Scale
from ground.process import Failed

SWEEP, META, PICTURE = "sweep.json", "sweep.meta.json", "curve.svg"
TITLE = "Latency and throughput"


def points(sweep: dict) -> list[dict]:
    """The rates at which all answers were right."""
    if sweep.get("kind") != "sweep":
        raise Failed(f"{SWEEP} is no sweep of introspectd-load")
    return [point for point in sweep["points"] if "figures" in point]


def picture(sweep: dict) -> str:
    """The curve, with its knee and the rate from which on the tool was late itself."""
    measured = points(sweep)
    lines = [
        Line(
            name,
            [
                Point(point["figures"]["requests_per_second"], point["figures"]["latency_us"][name] / 1e3)
                for point in measured
            ],
        )
        for name in ("p50", "p99", "p99.9")
    ]
    marks = [
        (point["figures"]["requests_per_second"], point["figures"]["latency_us"]["p99"] / 1e3, "knee")
        for point in measured
        if sweep["knee_rate"] is not None and point["rate"] == sweep["knee_rate"]
    ]
    x, y = Scale("answers a second"), Scale("milliseconds from the intended start", logarithmic=True)
    return Plot(TITLE, x, y, lines, note(sweep), marks).svg()


def note(sweep: dict) -> str:
    """What has to be known to read it."""
    limited = [point["rate"] for point in points(sweep) if point["generator"]["limited"]]
    said = "Open loop, latency from the moment at which a request was due."
    return f"{said} At {min(limited):,.0f} a second and above, the tool was late itself." if limited else said


def lines(sweep: dict) -> list[str]:
    """For those who see no pictures."""
    told = []
    for point in points(sweep):
        figures = point["figures"]
        latency = "  ".join(f"{name} {figures['latency_us'][name]:>9,.0f} us" for name in ("p50", "p99"))
        doubt = "  generator-limited" if point["generator"]["limited"] else ""
        told.append(f"{point['rate']:>10,.0f}/s  {figures['requests_per_second']:>10,.0f} answered/s  {latency}{doubt}")
    knee = sweep["knee_rate"]
    return [*told, f"knee: {knee:,.0f}/s" if knee is not None else "knee: none in this range"]
