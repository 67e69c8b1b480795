"""`size --self-test`: the arithmetic, on points that nobody measured. It starts nothing and takes no time."""

import contextlib
import io
import json
import sys
import tempfile
import unittest
import unittest.mock
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from ground import plot, redis, results
from ground.node import metric

from . import hits, options, pictures
from .seeding import Seeded, of_kind, texts
from .window import Reading

SAMPLE = results.ROOT / "bench/figures/sample"
METRICS = """# HELP a b
a_total{content="tokens",result="hit"} 7
a_total{content="tokens",result="miss"} 3
a_total{content="clients",result="hit"} 90
open 12
"""


def window(node: float, **more) -> dict:
    """One in which nothing went wrong."""
    return {
        "complaint": None,
        "generator_limited": False,
        "cpu_us": {"node": node},
        "latency_us": {"p99": 100.0},
        **more,
    }


def run_of(*points: dict) -> dict:
    """A run with these points."""
    facts = {"cores": 2, "processor": "p", "kernel": "6"}
    return {
        "date": "", "machine": facts, "redis": "7", "commit": "c", "command": "size", "rate": 1, "windows": 1,
        "seconds": 1, "connections": 1, "points": list(points),
    }  # fmt: skip


class Points(unittest.TestCase):
    def test_a_window_that_does_not_count_is_in_no_figure(self):
        wrong = {**window(1000.0), "complaint": "wrong answers"}
        point = {"plot": "tokens", "series": pictures.TOKEN_SERIES[0], "at": 1000, "windows": [window(10.0), wrong]}
        page = pictures.page(run_of(point))
        self.assertIn("1 k: 10.0", page)
        self.assertIn("wrong answers", page)
        self.assertNotIn("1,000.0", page)

    def test_growth_is_the_last_divided_by_the_first_whatever_their_order(self):
        points = [
            {"plot": "nodes", "series": "", "at": at, "windows": [window(10.0 * at)]} for at in (4, 1, 2)
        ]  # fmt: skip
        self.assertIn("| the nodes | 1: 10.0, 2: 20.0, 4: 40.0 | 4.00x |", pictures.page(run_of(*points)))

    def test_memory_per_connection_is_what_more_than_one_takes(self):
        def point(at, resident):
            return {"plot": "connections", "series": "", "at": at, "windows": [window(1.0, resident_bytes=resident)]}

        run = run_of(point(1, 1_000_000), point(10, 5), point(101, 1_500_000))
        self.assertIn("| of the node | 101: 5,000.0 |", pictures.page(run))

    def test_hits_lie_where_they_were_counted(self):
        point = {"plot": "hits", "series": "Redis", "at": 50, "windows": [window(1.0, hit_share=0.42)]}
        self.assertIn("| the node | 42: 1.0 |", pictures.page(run_of(point)))

    def test_costs_are_those_between_two_readings(self):
        before = Reading(1.0, 2.0, 3.0, {"get": 5}, 100, 10, 0)
        after = Reading(2.0, 2.5, 3.25, {"get": 305}, 300, 210, 150)
        told = after.since(before)
        self.assertEqual(told["cpu_us"], {"node": 2500.0, "store": 1250.0})
        self.assertEqual((told["hit_share"], told["commands_per_answer"], told["answers"]), (0.75, 1.5, 200))

    def test_every_picture_of_the_sample_is_well_formed_and_needs_nothing_from_elsewhere(self):
        run = json.loads((SAMPLE / "size.json").read_text())
        files = pictures.files(run)
        self.assertEqual(sorted(files), sorted([*(one.file for one in pictures.all_pictures(run)), "size.md"]))
        for name, text in files.items():
            if name.endswith(".svg"):
                ElementTree.fromstring(text)
                for outside in ("<script", "href", "@import", "url("):
                    self.assertNotIn(outside, text, name)


class Drawing(unittest.TestCase):
    def drawn(self, *points):
        lines = [plot.Line("a < b", [plot.Point(*point) for point in points])]
        return plot.Plot(
            "T", plot.Scale("x"), plot.Scale("y", logarithmic=True), lines, marks=[(100.0, 1.0, "here")]
        ).svg()

    def test_points_lie_where_the_scales_say(self):
        svg = self.drawn((0.0, 0.1), (100.0, 10.0))
        right = plot.LEFT + (plot.WIDTH - plot.LEFT - plot.RIGHT) / 1.05
        self.assertIn(f'points="{plot.LEFT}.0,{plot.HEIGHT - plot.BOTTOM}.0 {right:.1f},{plot.TOP}.0"', svg)
        self.assertIn("a &lt; b", svg)
        for label in (">0.1<", ">1<", ">10<", ">50<", ">100<", ">here<"):
            self.assertIn(label, svg)

    def test_nothing_breaks_a_plot(self):
        for points in ([], [(0.0, 0.0)], [(1.0, 1.0)] * 3, [(1.0, 2.0, 1.0, 3.0)]):
            ElementTree.fromstring(self.drawn(*points))

    def test_numbers_are_short(self):
        self.assertEqual(
            [plot.short(value) for value in (0, 0.5, 1000, 2_500_000, 10_000_000)], ["0", "0.5", "1 k", "2.5 M", "10 M"]
        )


class Choosing(unittest.TestCase):
    def test_a_choice_of_tokens_stays_even_while_the_store_grows(self):
        class Growing(Seeded):
            """Does what the program does."""

            def grow(self, count):
                with contextlib.ExitStack() as stack:
                    stack.enter_context(unittest.mock.patch("sizes.seeding.output_of", self.answer))
                    return super().grow(count)

            def answer(self, command, cores, seconds):
                told = dict(zip(command[1::2], command[2::2], strict=True))
                first, new, every = (int(told[name]) for name in ("--first", "--tokens", "--every"))
                lines = [json.dumps({"token": f"t{first + place}"}) for place in range(0, new, every)]
                Path(told["--output"]).write_text("\n".join(lines) + "\n")
                return 0, json.dumps({"seconds": 1.0}), ""

        with tempfile.TemporaryDirectory() as folder:
            node = unittest.mock.Mock(configuration=Path(folder) / "c")
            seeded = Growing(node, Path("seed"), unittest.mock.Mock(two=[0]), Path(folder), most_asked=100)
            for count in (100, 1_000, 10_000):
                seeded.grow(count)
                numbers = [int(text[1:]) for text in texts(seeded.lines)]
                steps = {after - before for before, after in zip(numbers, numbers[1:], strict=False)}
                self.assertEqual((len(numbers), steps), (100, {count // 100}))

    def test_the_kind_is_added_to_a_line(self):
        self.assertEqual(of_kind(['{"token": "a"}'], "active-hot"), ['{"token": "a", "kind": "active-hot"}'])

    def test_a_mix_names_no_kind_that_is_not_asked(self):
        self.assertIn("active-hot = 25\nactive-cold = 75\n", hits.mix(25))
        self.assertNotIn("active-cold", hits.mix(100))
        self.assertNotIn("active-hot", hits.mix(0))

    def test_metrics_are_summed_over_what_begins_alike(self):
        self.assertEqual(metric(METRICS, 'a_total{content="tokens"'), 10)
        self.assertEqual(metric(METRICS, 'a_total{content="tokens",result="hit"'), 7)
        self.assertEqual(metric(METRICS, "open "), 12)

    def test_all_of_what_redis_counts_can_be_asked_for(self):
        text = "cmdstat_ping:calls=7,usec=1\r\ncmdstat_get:calls=2,usec=1\r\n"
        self.assertEqual(redis.command_counts(text, without=frozenset()), {"ping": 7, "get": 2})
        self.assertEqual(redis.info("# Stats\r\na:1\r\nb:c:d\r\n"), {"a": "1", "b": "c:d"})

    def test_unknown_plot(self):
        with self.assertRaises(SystemExit) as ended, contextlib.redirect_stderr(io.StringIO()) as said:
            options.parse(["--only", "nothing"])
        self.assertEqual(ended.exception.code, 2)
        self.assertIn("no such plot: nothing", said.getvalue())


def run() -> int:
    """Exit code 0 when all hold."""
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules[__name__])
    return 0 if unittest.TextTestRunner(verbosity=1).run(suite).wasSuccessful() else 1
