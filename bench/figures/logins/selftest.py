"""`login --self-test`: the arithmetic, on figures that nobody measured, and the program that offers logins, against a
server that answers nothing but what it is told to. It takes a second."""

import json
import subprocess
import sys
import threading
import unittest
import xml.etree.ElementTree as ElementTree
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from . import options, page, timing
from .flood import CONTROL, FLOOD, IDLE


def window(kind: str, p99: float, round_: int = 0, priority: str = "as it is", complaint=None, logins=None) -> dict:
    """One of a node on one core."""
    return {
        "setting": "one core", "round": round_, "kind": kind, "priority": priority, "complaint": complaint,
        "generator_limited": False, "latency_us": {"p50": 50.0, "p99": p99, "p99.9": 2 * p99},
        "others_share": 0.01, "cpu_share": {"node": 0.5, "hashing": 0.4}, "logins": logins,
    }  # fmt: skip


def offered(answers: dict[str, int]) -> dict:
    """What became of logins, in two seconds."""
    times = {"p50": 1.0, "p99": 2.0, "max": 3.0}
    told = {status: {"count": count, "milliseconds": times} for status, count in answers.items()}
    return {"offered": sum(answers.values()), "seconds": 2.0, "unanswered": 0, "lag_ms": 0.1, "answers": told}


def run_of(**parts) -> dict:
    """A run with these."""
    facts = {"cores": 2, "processor": "p", "kernel": "6", "load_before": 0.0}
    return {
        "form": 1, "date": "", "machine": facts, "redis": "7", "commit": "c", "command": "login",
        "tool_is_ahead": True, **options.FULL,
        **parts,
    }  # fmt: skip


class Times(unittest.TestCase):
    def test_like_times_have_a_ratio_of_one_within_a_narrow_interval(self):
        values = [float(value % 7 + 30) for value in range(200)]
        at, least, greatest = timing.ratio(values, values)
        self.assertEqual(at, 1.0)
        self.assertTrue(0.9 < least <= 1.0 <= greatest < 1.1)

    def test_what_takes_longer_is_seen(self):
        base = [30.0 + value / 100 for value in range(200)]
        at, least, greatest = timing.ratio([value * 1.1 for value in base], base)
        self.assertAlmostEqual(at, 1.1)
        self.assertTrue(1.05 < least < 1.1 < greatest < 1.15)

    def test_a_kind_is_a_line_and_the_base_has_no_ratio(self):
        taken = {timing.BASE: [1.0, 2.0, 3.0], "unknown username": [2.0, 4.0, 6.0], timing.SUCCESS: [9.0]}
        told = run_of(timing=[{"store": "embedded", "milliseconds": taken, "processor_milliseconds": taken}])
        text = page.page(told)
        self.assertIn(f"| {timing.BASE} | 2.00 | 1.50 to 2.50 | 1 |  | 2.00 | 1 |  |", text)
        self.assertIn("| unknown username | 4.00 | 3.00 to 5.00 | 2.000 |", text)
        svg = page.files(told)[page.PICTURE]
        ElementTree.fromstring(svg)
        self.assertIn("unknown username", svg)
        self.assertNotIn(timing.SUCCESS, svg)

    def test_every_failed_kind_differs_from_a_login_and_no_account_fails_a_hundred_times(self):
        class Chance:
            """Always the first."""

            def choice(self, of):
                return of[0]

            def randrange(self, _):
                return 0

        typed = {kind: make(Chance()) for kind, make in timing.kinds(["known"], ["disabled"]).items()}
        self.assertEqual(len(set(typed.values())), len(typed))
        self.assertLess(options.FULL["samples"] * 3 / timing.USERS, 50)


class Floods(unittest.TestCase):
    def test_each_window_is_divided_by_the_idle_one_of_its_round(self):
        logins = offered({"200": 20, "503": 380})
        told = run_of(flood=[
            window(IDLE, 100.0), window(FLOOD, 150.0, logins=logins),
            window(FLOOD, 600.0, round_=1, logins=logins), window(IDLE, 200.0, round_=1),
            window(CONTROL, 110.0, logins=offered({"400": 400})),
            window(FLOOD, 10_000.0, logins=logins, complaint="wrong answers"),
        ])  # fmt: skip
        text = page.page(told)
        self.assertIn("| 2.25x (1.50 to 3.00) |", text)
        self.assertIn("| one core | as it is | 503 | 190.0 | 1.0 | 2.0 |", text)
        self.assertIn("Does not count: one core, logins: wrong answers", text)
        self.assertNotIn("10,000", text)
        self.assertLess(text.index(f"| {IDLE} |"), text.index(f"| {CONTROL} |"))

    def test_logins_without_an_answer_are_told(self):
        logins = {**offered({"200": 1}), "unanswered": 3}
        self.assertIn("3 logins were not answered", page.page(run_of(flood=[window(FLOOD, 1.0, logins=logins)])))


class Answering(BaseHTTPRequestHandler):
    """Takes what it is sent, in two pieces, and keeps the connection."""

    protocol_version = "HTTP/1.1"
    seen: list = []

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append((self.headers["X-Forwarded-For"], body))
        status = 401 if body["password"] == "wrong" else 200
        self.send_response(status)
        self.send_header("content-LENGTH", "4")
        self.end_headers()
        self.wfile.write(b"an")
        self.wfile.flush()
        self.wfile.write(b"sw")

    def log_message(self, *_):
        """Says nothing."""


class Offering(unittest.TestCase):
    def test_every_login_is_offered_at_its_time_and_counted_by_its_answer(self):
        server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        plan = {
            "port": server.server_port, "users": ["alice"], "right": "right", "wrong": "wrong",
            "weights": [1, 1, 1, 0], "rate": 100, "seconds": 0.5, "connections": 3, "patience": 5, "seed": 1,
        }  # fmt: skip
        script = Path(__file__).with_name("offer.py")
        done = subprocess.run([sys.executable, str(script)], input=json.dumps(plan), capture_output=True, text=True)
        server.shutdown()
        server.server_close()
        self.assertEqual(done.returncode, 0, done.stderr)
        said = json.loads(done.stdout)
        counts = {status: len(taken) for status, taken in said["milliseconds"].items()}
        self.assertEqual((said["offered"], said["unanswered"], sum(counts.values())), (50, 0, 50))
        self.assertEqual(set(counts), {"200", "401"})
        self.assertGreaterEqual(said["seconds"], 0.49)
        self.assertGreater(len({source for source, _ in Answering.seen}), 40)


def run() -> int:
    """Exit code 0 when all hold."""
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules[__name__])
    return 0 if unittest.TextTestRunner(verbosity=1).run(suite).wasSuccessful() else 1
