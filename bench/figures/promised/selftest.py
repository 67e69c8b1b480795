"""`table --self-test`: the table, the curve and the part of a page, on a folder of samples that nobody measured."""

import json
import shutil
import sys
import tempfile
import unittest
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from ground.process import Failed
from ground.results import ROOT, origin
from sizes import pictures

from . import block, curve, rows

SAMPLE = ROOT / "bench/figures/sample"
PAGE = "before\n<!-- measured: nothing -->\nold\n<!-- /measured -->\nafter\n"


class Table(unittest.TestCase):
    def setUp(self):
        self.lines = rows.table(rows.rows(SAMPLE), SAMPLE).splitlines()

    def line(self, text: str) -> str:
        """The only line that has this in it."""
        found = [line for line in self.lines if text in line]
        self.assertEqual(len(found), 1, text)
        return found[0]

    def test_ratio_has_its_range_its_command_and_its_raw_file(self):
        line = self.line("near-cache hit over Redis")
        # 9.0 / 8.0, and one or two per cent more: each divided by the constant of its own round.
        self.assertIn("| at most 1.15x | 1x | 1.14x | 1.14x to 1.15x | met | `bench/compare/run` |", line)
        self.assertTrue(line.endswith("| [comparison.jsonl](bench/figures/sample/comparison.jsonl) |"))

    def test_sizes_and_rates_are_whole_numbers(self):
        self.assertIn("| at most 280 | 200 | 255 | – | met |", self.line("bytes in Redis"))
        line = self.line("tokens a second of one core")
        self.assertIn(
            "| at least 1,000,000 | 1,000,000 | 1,250,000 | 1,200,000 to 1,300,000 | met, and the aim |", line
        )

    def test_a_promise_of_never_is_not_met_by_once(self):
        line = self.line("after their revocation")
        self.assertIn("of 14 asked | at most 0 | 0 | 0 |", line)
        self.assertIn("met, and the aim", line)
        with tempfile.TemporaryDirectory() as folder:
            run = json.loads((SAMPLE / "size.json").read_text())
            next(point for point in run["points"] if "revocation" in point)["revocation"]["active_after_answer"] = 1
            (Path(folder) / "size.json").write_text(json.dumps(run))
            self.assertEqual(rows.revocation(Path(folder)).verdict.word, "**not met**")

    def test_logins_are_judged_at_the_priority_that_the_service_gives_them(self):
        line = self.line("during 200 logins a second")
        self.assertIn("| at most 2x | 1x | 1.40x | 1.30x to 1.50x | met |", line)
        self.assertIn("| at most 5 % | 2 % | 1.0 % | 1.0 % to 1.0 % |", self.line("the time of any failed login"))

    def test_what_was_not_measured_says_how_it_would_be(self):
        with tempfile.TemporaryDirectory() as folder:
            lines = rows.table(rows.rows(Path(folder)), Path(folder)).splitlines()
        self.assertEqual(len(lines), len(self.lines))
        for line in lines[2:]:
            self.assertIn("not measured in this run", line)
            self.assertIn("`bench/", line)

    def test_every_line_has_as_many_cells(self):
        self.assertEqual({line.count(" | ") for line in self.lines}, {len(rows.HEAD) - 1})

    def test_a_damaged_result_is_named(self):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "memory.json").write_text("{")
            with self.assertRaisesRegex(Failed, "memory.json is damaged"):
                rows.rows(Path(folder))


class Curve(unittest.TestCase):
    def setUp(self):
        self.sweep = json.loads((SAMPLE / curve.SWEEP).read_text())

    def test_the_knee_is_pointed_out_and_the_tool_doubts_itself(self):
        svg = curve.picture(self.sweep)
        ElementTree.fromstring(svg)
        self.assertIn(">knee<", svg)
        self.assertIn("At 80,000 a second and above, the tool was late itself.", svg)
        self.assertEqual(curve.lines(self.sweep)[-1], "knee: 60,000/s")

    def test_a_curve_without_a_knee_or_figures(self):
        without = {**self.sweep, "knee_rate": None, "points": [{"kind": "point", "rate": 1.0}]}
        ElementTree.fromstring(curve.picture(without))
        self.assertEqual(curve.lines(without), ["knee: none in this range"])
        with self.assertRaises(Failed):
            curve.picture({"kind": "run"})


class Part(unittest.TestCase):
    def results(self, folder: str) -> Path:
        """A folder of results in which the pictures are drawn."""
        results = Path(folder)
        shutil.copytree(SAMPLE, results / "day")
        (results / "day" / curve.PICTURE).write_text(curve.picture(json.loads((SAMPLE / curve.SWEEP).read_text())))
        for name, text in pictures.files(json.loads((SAMPLE / "size.json").read_text())).items():
            (results / "day" / name).write_text(text)
        return results

    def test_what_is_written_holds_and_nothing_beside_it_changes(self):
        with tempfile.TemporaryDirectory() as folder:
            results = self.results(folder)
            page = block.fill(PAGE, "day", results)
            self.assertEqual(block.drift(page, results), [])
            self.assertEqual(block.fill(page, "day", results), page)
            self.assertTrue(page.startswith("before\n<!-- measured: day -->\n") and page.endswith("-->\nafter\n"))
            self.assertNotIn("old", page)

    def test_a_figure_that_was_changed_by_hand_is_found(self):
        with tempfile.TemporaryDirectory() as folder:
            results = self.results(folder)
            page = block.fill(PAGE, "day", results)
            self.assertEqual(len(block.drift(page.replace("1.14x", "1.04x"), results)), 1)

    def test_raw_results_that_were_measured_again_are_found(self):
        with tempfile.TemporaryDirectory() as folder:
            results = self.results(folder)
            page = block.fill(PAGE, "day", results)
            memory = results / "day/memory.json"
            memory.write_text(memory.read_text().replace("254.6", "280.1"))
            sweep = results / "day" / curve.SWEEP
            sweep.write_text(sweep.read_text().replace("200.0", "250.0"))
            self.assertEqual(len(block.drift(page, results)), 2)

    def test_a_page_about_nothing_says_so(self):
        page = block.fill(PAGE, block.NOTHING)
        self.assertIn(block.EMPTY, page)
        self.assertEqual(block.drift(page), [])

    def test_a_page_without_marks_or_a_folder_that_is_not_there(self):
        for page in ("no marks", PAGE + PAGE):
            with self.assertRaises(Failed):
                block.fill(page, "day")
        with self.assertRaisesRegex(Failed, "no results in day"):
            block.fill(PAGE, "day", Path("/nowhere"))


class Origin(unittest.TestCase):
    def test_no_path_of_this_machine_is_in_it(self):
        command = origin(
            "size", ["--output", "/home/me/x", "--load=../y/z", "--only", "hits,nodes", "--rate", "5"], []
        )["command"]
        self.assertEqual(command, "size --output x --load=z --only hits,nodes --rate 5")


def run() -> int:
    """Exit code 0 when all hold."""
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules[__name__])
    return 0 if unittest.TextTestRunner(verbosity=1).run(suite).wasSuccessful() else 1
