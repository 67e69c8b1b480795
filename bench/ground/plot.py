"""Lines over two axes as SVG, as the load tester draws them (`loadtest/src/report/svg.rs`), in a file of its own.

What is drawn depends on nothing but what is given: the same figures are the same bytes.
"""

import math
from dataclasses import dataclass, field
from html import escape

WIDTH, HEIGHT = 760, 340
LEFT, RIGHT, TOP, BOTTOM = 70, 230, 52, 50
# Told apart also by those who do not see all colours (Okabe and Ito, 2008).
COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"]
STYLE = "svg{background:#fff}text{font:12px sans-serif;fill:#444}.title{font-weight:bold}"


@dataclass(frozen=True)
class Scale:
    """An axis: from 0 with equal distances for equal differences, or logarithmic."""

    label: str
    logarithmic: bool = False

    def map(self, value: float) -> float:
        """Where a value lies on it. Nothing is less than a thousandth here, which is what 0 is drawn as."""
        return math.log10(max(value, 1e-3)) if self.logarithmic else value

    def range(self, values: list[float]) -> tuple[float, float]:
        """From where to where it goes for these values, mapped."""
        mapped = [self.map(value) for value in values]
        if not mapped:
            return 0.0, 1.0
        if self.logarithmic:
            low = math.floor(min(mapped) + 1e-9)
            return low, max(math.ceil(max(mapped) - 1e-9), low + 1)
        high = max(mapped)
        return 0.0, high * 1.05 if high > 0 else 1.0

    def ticks(self, low: float, high: float) -> list[tuple[float, str]]:
        """Where lines cross it, mapped, with their labels."""
        if self.logarithmic:
            return [(power, short(10.0**power)) for power in range(round(low), round(high) + 1)]
        rough = (high - low) / 5
        unit = 10.0 ** math.floor(math.log10(rough))
        step = next(times * unit for times in (1, 2, 5, 10) if times * unit >= rough * (1 - 1e-9))
        count = math.floor((high - low) / step + 1e-9)
        return [(low + number * step, short(low + number * step)) for number in range(count + 1)]


@dataclass(frozen=True)
class Point:
    """A measurement: its median, and the least and the greatest where there were several."""

    x: float
    y: float
    least: float | None = None
    greatest: float | None = None


@dataclass(frozen=True)
class Line:
    """Measurements that belong together."""

    name: str
    points: list[Point]


@dataclass(frozen=True)
class Plot:
    """One picture."""

    title: str
    x: Scale
    y: Scale
    lines: list[Line]
    # What has to be known to read it: a line below the title.
    note: str = ""
    # Points that are pointed out, with what is to be said of them.
    marks: list[tuple[float, float, str]] = field(default_factory=list)

    def svg(self) -> str:
        """The picture as a file."""
        points = [point for line in self.lines for point in line.points]
        across = self.x.range([point.x for point in points])
        up = self.y.range(
            [value for point in points for value in (point.y, point.least, point.greatest) if value is not None]
        )

        def x(mapped):
            return LEFT + (mapped - across[0]) / (across[1] - across[0]) * (WIDTH - LEFT - RIGHT)

        def y(mapped):
            return HEIGHT - BOTTOM - (mapped - up[0]) / (up[1] - up[0]) * (HEIGHT - TOP - BOTTOM)

        floor, end = HEIGHT - BOTTOM, WIDTH - RIGHT
        title = escape(self.title)
        out = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img" '
            f'aria-label="{title}">',
            f"<style>{STYLE}</style>",
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
            text(LEFT, 18, self.title, 'class="title"'),
            text(LEFT, 34, self.note),
        ]
        for at, label in self.x.ticks(*across):
            out.append(f'<path d="M{x(at):.1f} {TOP}V{floor}" stroke="#eee"/>')
            out.append(text(x(at), floor + 16, label, 'text-anchor="middle"'))
        for at, label in self.y.ticks(*up):
            out.append(f'<path d="M{LEFT} {y(at):.1f}H{end}" stroke="#eee"/>')
            out.append(text(LEFT - 6, y(at) + 4, label, 'text-anchor="end"'))
        out.append(text((LEFT + end) / 2, HEIGHT - 12, self.x.label, 'text-anchor="middle"'))
        middle = (TOP + floor) / 2
        out.append(text(16, middle, self.y.label, f'text-anchor="middle" transform="rotate(-90 16 {middle:.1f})"'))
        for number, line in enumerate(self.lines):
            colour = COLOURS[number % len(COLOURS)]
            places = [(x(self.x.map(point.x)), y(self.y.map(point.y))) for point in line.points]
            drawn = " ".join(f"{one:.1f},{other:.1f}" for one, other in places)
            out.append(f'<polyline fill="none" stroke="{colour}" stroke-width="1.5" points="{drawn}"/>')
            for point, (one, other) in zip(line.points, places, strict=True):
                if point.least is not None and point.greatest is not None and point.least < point.greatest:
                    low, high = y(self.y.map(point.least)), y(self.y.map(point.greatest))
                    out.append(f'<path d="M{one:.1f} {low:.1f}V{high:.1f}" stroke="{colour}"/>')
                out.append(f'<circle cx="{one:.1f}" cy="{other:.1f}" r="3" fill="{colour}"/>')
            out.append(text(end + 12, TOP + 12 + 18 * number, line.name, f'style="fill:{colour}"'))
        for across_at, up_at, said in self.marks:
            one, other = x(self.x.map(across_at)), y(self.y.map(up_at))
            out.append(f'<circle cx="{one:.1f}" cy="{other:.1f}" r="8" fill="none" stroke="#222" stroke-width="2"/>')
            out.append(text(one, other - 14, said, 'text-anchor="middle"'))
        return "\n".join(out) + "\n</svg>\n"


def text(x: float, y: float, said: str, more: str = "") -> str:
    """A text at a place."""
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{escape(said)}</text>'.replace(" >", ">") if said else ""


def short(number: float) -> str:
    """A number without digits that say nothing: 1000000 is 1 M."""
    for size, name in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(number) >= size:
            return plain(number / size) + name
    return plain(number)


def plain(number: float) -> str:
    """At most six digits after the point."""
    written = f"{number:.6f}".rstrip("0").rstrip(".")
    return written or "0"
