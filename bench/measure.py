# SPDX-License-Identifier: MIT
"""One measurement from mouth to ear."""
import os
import resource
import statistics
import subprocess
import sys
import time

import clicks
from cards import Bench
from programs import PEERS

# The defaults of the options.
DEFAULTS = {
    "peer": "ours", "seconds": 60.0, "rate": 48000, "channels": 2,
    "period_size": 128,
    "client_period_size": 0, "latency": 10, "chrt": 0, "drift": 0.0,
    "trx_frame": 0, "trx_buffer": 0, "trx_jitter": 0, "verbose": False,
    "server": (), "client": (),  # more arguments of ours
}


def percentile(values, percent):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def expected_seconds(bench, ended, delays):
    """The whole seconds whose clicks were captured and can have been played."""
    slack = max(delays.values()) + 0.25
    # A listener that begins after the microphone does not miss a click.
    began = max(bench.events("mic", "start")[0],
                bench.events("speaker", "start")[0] - min(delays.values()))
    first = int(began) + 1
    return range(first, int(ended - slack) + 1)


def evaluate(bench, ended, cpu_s):
    o = bench.options
    timeline = clicks.Timeline(bench.path("out.log"),
                               o.rate * (1 + o.drift * 1e-6))
    edges = clicks.rising_edges(bench.path("out.raw"), o.rate, o.channels)
    if not edges:
        raise SystemExit("No click was played:\n" + bench.messages())
    delays = clicks.delays_of([timeline.time_of(edge) for edge in edges])
    expected = expected_seconds(bench, ended, delays)
    heard = {s: d * 1000 for s, d in delays.items() if s in expected}
    if not heard:
        raise SystemExit("No click was heard in time:\n" + bench.messages())
    ms = list(heard.values())
    return {
        "peer": o.peer,
        "median_ms": round(statistics.median(ms), 3),
        "best_ms": round(min(ms), 3),
        "worst_ms": round(max(ms), 3),
        "p95_p5_ms": round(percentile(ms, 95) - percentile(ms, 5), 3),
        "stddev_ms": round(statistics.pstdev(ms), 3),
        "clicks": len(heard),
        "expected": len(expected),
        "mic_xruns": len(bench.events("mic", "xrun")),
        "speaker_xruns": len(bench.events("speaker", "xrun")),
        "speaker_starts": len(bench.events("speaker", "start")),
        "cpu_percent": round(100 * cpu_s / o.seconds, 2),
    }


class Stalls:
    """How often the machine itself held up a processor for longer than the
    listener buffers (bench/stalls.c): any listener has a gap then."""

    def __init__(self, options):
        program = os.path.join(options.builddir, "bench-stalls")
        self.child = None
        if options.chrt and os.path.exists(program):
            self.child = subprocess.Popen(
                [program, str(options.latency)], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, text=True)

    def count(self):
        """The number of stalls, or -1 when it is not known."""
        if not self.child:
            return -1
        said = dict(line.split() for line in
                    self.child.communicate()[0].splitlines())
        return int(said.get("stalls", -1))


def measure(options, folder):
    bench = Bench(options, folder)
    stalls = Stalls(options)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        end_page = PEERS[options.peer](bench)
        bench.wait_for("speaker", "start")
        finish = time.monotonic() + options.seconds
        while time.monotonic() < finish:
            bench.check_alive()
            time.sleep(min(0.5, max(0, finish - time.monotonic())))
        ended = time.monotonic()
        if end_page:
            end_page()
    finally:
        bench.stop()
        stall_count = stalls.count()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = (after.ru_utime + after.ru_stime
             - before.ru_utime - before.ru_stime)
    result = evaluate(bench, ended, cpu_s)
    result["stalls"] = stall_count
    if options.verbose:
        print(bench.messages(), file=sys.stderr)
    return result
