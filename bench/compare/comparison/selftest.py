"""`run --self-test`: the arithmetic and the parsing, on fixed samples. It starts nothing and takes no time."""

import contextlib
import io
import sys
import unittest

from ground import kernel, machine, open_loop, redis
from ground.figures import Records, figure
from ground.process import Failed

from . import options, redis_benchmark, report, verdicts, wrk
from .rounds import rotated

STAT = (
    "4242 (a (strange) name) S 1 4242 4242 0 -1 4194560 1 2 3 4 250 50 7 8 20 0 3 0 12345 1000000 2048 "
    "18446744073709551615 1 1 0 0 0 0 0 4096 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0"
)
WRK = """Running 3s test @ http://127.0.0.1:1/introspect
  1 threads and 64 connections
Requests/sec:  1000.00

RESULT {"requests":3000,"bytes":1500000,"duration_us":3000000,"checked":0,"wrong":0,\
"errors":{"connect":0,"read":0,"write":0,"status":0,"timeout":0},\
"latency_us":{"p50":100,"p99":900,"p99.9":1500,"max":4000}}
"""
LOAD = """{"valid":true,"answers":{"right":10,"wrong":0},"figures":{"requests":10,"requests_per_second":2.5,\
"latency_us":{"p50":1.0,"p90":2.0,"p99":3.0,"p99.9":4.0,"max":5.0}},"generator":{"limited":true}}"""
LIES = """{"valid":false,"answers":{"right":9,"wrong":1},"generator":{"limited":false}}"""
COMMANDS = """# Commandstats\r
cmdstat_get:calls=41,usec=80,usec_per_call=1.95,rejected_calls=0,failed_calls=0\r
cmdstat_ping:calls=7,usec=1,usec_per_call=0.1,rejected_calls=0,failed_calls=0\r
cmdstat_config|get:calls=2,usec=1,usec_per_call=0.1,rejected_calls=0,failed_calls=0\r
"""
BENCHMARK = (
    '"test","rps","avg_latency_ms","min_latency_ms",'
    '"p50_latency_ms","p95_latency_ms","p99_latency_ms","max_latency_ms"\n'
    '"GET key:__rand_int__","100000.50","0.250","0.100","0.240","0.400","0.500","1.250"\n'
)


def window(target: str, number: int, cpu: float, **more) -> dict:
    """A record as the rounds make it."""
    return {"target": target, "kind": "closed", "round": number, "complaint": None, "cpu_us": {"server": cpu}, **more}


class Arithmetic(unittest.TestCase):
    def test_median_of_an_odd_and_an_even_number(self):
        self.assertEqual(figure([3.0, 1.0, 2.0]).middle, 2.0)
        self.assertEqual(figure([4.0, 1.0, 2.0, 3.0]).middle, 2.5)
        self.assertIsNone(figure([None]))

    def test_spread_is_a_share_of_the_median(self):
        self.assertEqual(figure([8.0, 10.0, 12.0]).spread, 0.4)

    def test_ratio_divides_within_a_round(self):
        # The machine was three times as slow in the second round: between rounds, it would look like a difference.
        records = Records([window("nginx", 1, 8), window("a", 1, 10), window("a", 2, 30), window("nginx", 2, 24)])
        ratio = records.ratio("a", "nginx", "cpu_us/server")
        self.assertEqual((ratio.least, ratio.greatest, ratio.rounds), (1.25, 1.25, 2))

    def test_ratio_leaves_out_a_round_that_one_of_the_two_has_not(self):
        failed = {**window("nginx", 2, 1), "complaint": "wrong answers"}
        records = Records([window("nginx", 1, 8), window("a", 1, 8), window("a", 2, 16), failed])
        self.assertEqual(records.ratio("a", "nginx", "cpu_us/server").rounds, 1)
        self.assertIsNone(records.ratio("a", "b", "cpu_us/server"))

    def test_everybody_is_first_once(self):
        firsts = {rotated(["a", "b", "c"], number)[0] for number in range(3)}
        self.assertEqual(firsts, {"a", "b", "c"})

    def test_verdict_at_its_bounds(self):
        def word(value, at_least=False):
            bound, aim = (10.0, 15.0) if at_least else (1.15, 1.0)
            return verdicts.Verdict("", bound, aim, "x", figure([value]), at_least).word

        self.assertEqual([word(1.0), word(1.15), word(1.16)], ["met, and the aim", "met", "**not met**"])
        self.assertEqual([word(15, True), word(10, True), word(9.9, True)], ["met, and the aim", "met", "**not met**"])

    def test_verdict_says_when_the_generator_was_the_limit(self):
        def open_window(target, kind, limited):
            return {**window(target, 1, 1), "kind": kind, "latency_us": {"p99": 10}, "generator_limited": limited}

        records = Records([open_window("redis", "open", True), open_window("nginx", "open beside redis", False)])
        row = next(row for row in verdicts.verdicts(records, 64) if row.figure is not None)
        self.assertEqual(row.word, "met, and the aim; generator-limited in 1 of 2 windows")

    def test_redis_promise_holds_for_its_connections_only(self):
        records = Records([{**window("redis-read", 1, 10), "cpu_us": {"server": 10, "store": 2}}])
        words = {row.promise: row.word for row in verdicts.verdicts(records, 64)}
        self.assertEqual(words["Redis CPU per read at 64 connections"], "met")
        words = {row.promise: row.word for row in verdicts.verdicts(records, 8)}
        self.assertEqual(words["Redis CPU per read at 64 connections"], "measured with 8 connections")


class Parsing(unittest.TestCase):
    def test_stat_of_a_process_with_a_strange_name(self):
        fields = kernel.stat_fields(STAT)
        self.assertEqual((fields[kernel.STATE], fields[kernel.GROUP]), ("S", "4242"))
        self.assertEqual(kernel.cpu_seconds(fields), 300 / kernel.TICKS_PER_SECOND)

    def test_status_of_a_process(self):
        text = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n"
        self.assertEqual(kernel.status_bytes(text, "VmHWM"), 2 * 1024 * 1024)
        self.assertEqual(kernel.status_bytes("Name:\tx\n", "VmRSS"), 0)

    def test_wrk(self):
        run = wrk.parse(WRK)
        self.assertEqual((run.per_second, run.latency_us["p99.9"]), (1000.0, 1500))
        self.assertIsNone(run.complaint(500.0))
        with self.assertRaises(Failed):
            wrk.parse("unable to connect")

    def test_wrk_whose_answers_have_another_size(self):
        self.assertIn("bytes", wrk.parse(WRK).complaint(700.0))

    def test_wrk_with_wrong_answers_or_failures(self):
        lies = wrk.parse(WRK.replace('"checked":0,"wrong":0', '"checked":5,"wrong":1'))
        self.assertIn("wrong answers: 1 of 5", lies.complaint(None))
        self.assertIn("2 status", wrk.parse(WRK.replace('"status":0', '"status":2')).complaint(500.0))
        self.assertIn("no answer", wrk.parse(WRK.replace('"requests":3000', '"requests":0')).complaint(500.0))

    def test_introspectd_load(self):
        run = open_loop.parse(LOAD)
        self.assertEqual((run.latency_us["p99"], run.complaint, run.generator_limited), (3.0, None, True))
        self.assertIn('"wrong": 1', open_loop.parse(LIES).complaint)

    def test_redis_counts_without_what_is_no_work(self):
        counts = redis.command_counts(COMMANDS)
        self.assertEqual(counts, {"get": 41, "config|get": 2})
        self.assertEqual(redis.difference({"get": 40, "config|get": 2}, counts), {"get": 1})

    def test_redis_benchmark(self):
        run = redis_benchmark.parse(BENCHMARK)
        self.assertEqual((run.per_second, run.latency_us["p99"]), (100000.5, 500.0))

    def test_name_of_a_machine(self):
        self.assertEqual(machine.short_name(2, "AMD EPYC"), "2-cores-amd-epyc")
        self.assertEqual(
            machine.short_name(8, "Intel(R) Xeon(R) CPU E5-2680 v4 @ 2.40GHz"), "8-cores-intel-xeon-e5-2680-v4"
        )

    def test_cores_of_a_larger_machine(self):
        cores = machine.share_out([0, 1, 2, 3])
        self.assertEqual((cores.one, cores.tool, cores.two, cores.tool_beside_two), ([0], [1], [0, 1], [2]))
        self.assertEqual(machine.share_out([4, 5]).tool_beside_two, [4, 5])


class Choosing(unittest.TestCase):
    def chosen(self, *arguments):
        return [target.name for target in options.chosen(options.parse(list(arguments)))]

    def test_quick_has_floors_and_ours_on_one_core(self):
        names = self.chosen("--quick")
        self.assertIn("hyper", names)
        self.assertNotIn("oidc-provider", names)
        self.assertNotIn("redis-two-cores", names)

    def test_one_of_ours_comes_first_as_the_floors_repeat_it(self):
        self.assertEqual(self.chosen("--only", "glewlwyd"), ["embedded", "nginx", "glewlwyd"])

    def test_unknown_target(self):
        with self.assertRaises(SystemExit) as ended, contextlib.redirect_stderr(io.StringIO()) as said:
            self.chosen("--only", "nobody")
        self.assertEqual(ended.exception.code, 2)
        self.assertIn("no such target: nobody", said.getvalue())

    def test_page_of_no_records(self):
        meta = {
            "machine": {"cores": 2, "processor": "p", "kernel": "6"},
            "versions": {},
            "date": "",
            "commit": "",
            "rounds": 1,
            "seconds": 1.0,
            "connections": 64,
            "tokens": 1,
            "command": "",
        }
        self.assertIn("not measured in this run", report.page(Records([]), [], meta))


def run() -> int:
    """Exit code 0 when all hold."""
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules[__name__])
    return 0 if unittest.TextTestRunner(verbosity=1).run(suite).wasSuccessful() else 1
