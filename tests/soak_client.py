# SPDX-License-Identifier: MIT
"""soak_client.py MINUTES [SEED]: plays pages with random faults for so long.

Every page must end as its fault explains, every counter must be accounted for,
and the client must hold as many descriptors, files and bytes at the end as
after the first hundred pages.
"""
import collections
import os
import random
import signal
import sys
import time

from e2e_client import ClientCase, ENDLESS, Live, header, tone
from e2e_lib import Card, FRAME, RATE, noise, reset, wait_until, wav_bytes

WARM_UP = 100  # pages
LEAK_KIB = 1024


class Soak(ClientCase):
    """Not a test case for unittest to find: main() runs it."""

    def runTest(self):
        raise AssertionError("run by main()")

    def begin(self, seed):
        self.random = random.Random(seed)
        self.card = Card(self.folder)
        self.remote = self.server()
        self.pages = self.path("pages")
        os.mkdir(self.pages)
        self.soaked = self.client(
            self.card, "--save", self.pages, "--before", "true", "--after",
            "true", "--max-duration", "2", self.remote.name)
        self.results = collections.Counter()
        self.sums = collections.Counter()
        self.injected = collections.Counter()
        self.ended = 0
        self.saved = 0

    # --- one page each; the result that it must have

    def fault_none(self):
        data = noise(self.random.randrange(1, 30000) * FRAME,
                     self.random.random())
        self.remote.page(wav_bytes(data))
        return ("complete",)

    def fault_live(self):
        Live(self.remote.accept(), tone(self.random.uniform(0.1, 0.5)),
             jitter=0.02)
        return ("complete",)

    def fault_cut(self):
        page = wav_bytes(tone(0.2))
        self.remote.page(page[:self.random.randrange(48, len(page))])
        return ("cut-short",)

    def fault_reset(self):
        connection = self.remote.accept()
        connection.sendall(header(ENDLESS) + tone(0.2))
        self.soaked.wait_line("begins", self.ended + 1)
        reset(connection)
        return ("cut-short",)

    def fault_rubbish(self):
        connection = self.remote.accept()
        connection.sendall(self.random.randbytes(200))
        connection.close()
        return ()

    def fault_silence(self):
        self.remote.page(wav_bytes(b""))
        self.saved += 1
        return ()

    def fault_limit(self):
        live = Live(self.remote.accept(), tone(8))
        self.soaked.wait_line("ended \\(", self.ended + 1)
        live.stop()
        return ("limit",)

    def with_card_fault(self, fault, seconds=1.0):
        connection = self.remote.accept()
        opened = len(self.card.events("start"))
        live = Live(connection, tone(seconds))
        wait_until(lambda: len(self.card.events("start")) > opened, "start",
                   patience=60)
        self.card.set(fault)
        return live

    def fault_unplug(self):
        live = self.with_card_fault("unplugged")
        self.soaked.wait_line("is lost", self.injected["unplug"] + 1)
        self.injected["unplug"] += 1
        self.card.clear("unplugged")
        live.join()
        return ("complete",)

    def fault_busy(self):
        self.card.set("busy")
        live = Live(self.remote.accept(), tone(1))
        self.soaked.wait_line("begins", self.ended + 1)
        self.card.clear("busy")
        live.join()
        return ("complete", "unheard")

    def fault_xrun(self):
        before = len(self.card.events("xrun"))
        live = self.with_card_fault("xrun")
        wait_until(lambda: len(self.card.events("xrun")) > before, "xrun")
        self.injected["xrun"] += 1
        live.join()
        return ("complete",)

    def fault_suspend(self):
        before = len(self.card.events("suspend"))
        live = self.with_card_fault("suspend")
        wait_until(lambda: len(self.card.events("suspend")) > before,
                   "suspend")
        self.injected["suspend"] += 1
        live.join()
        return ("complete",)

    def fault_gap(self):
        live = Live(self.remote.accept(), tone(1))
        wait_until(lambda: live.sent > RATE * FRAME * 3 // 10, "sound")
        live.pause()
        time.sleep(0.2)
        live.resume()
        self.injected["gap"] += 1
        live.join()
        return ("complete",)

    def one_page(self):
        faults = [name for name in dir(self) if name.startswith("fault_")]
        name = self.random.choice(faults + ["fault_none"] * 8)
        expected = getattr(self, name)()
        self.injected[name] += 1
        if not expected:
            return
        self.ended += 1
        self.saved += 1
        counters = self.counters(
            self.soaked.wait_line("ended \\(", self.ended))
        result = counters.pop("result")
        assert result in expected, (name, result, self.soaked.lines[-20:])
        self.results[result] += 1
        counters.pop("latency")
        self.sums.update(counters)

    # --- what must not grow

    def measure(self):
        wait_until(lambda: self.soaked.count("Saved the page") >= self.saved,
                   "all files")
        # Between pages: connected, card closed.
        wait_until(lambda: self.soaked.fd_count() <= self.idle_fds
                   if hasattr(self, "idle_fds") else True, "descriptors")
        return self.soaked.fd_count(), self.soaked.rss_kib()

    def tidy(self):
        """Removes saved files and played samples before they fill the disk."""
        for name in os.listdir(self.pages):
            assert not name.endswith(".part"), name
            os.unlink(os.path.join(self.pages, name))
        os.truncate(self.card.played, 0)

    def soak(self, minutes):
        end = time.monotonic() + minutes * 60
        pages = 0
        first = None
        while time.monotonic() < end or first is None:
            self.one_page()
            pages += 1
            if pages % WARM_UP == 0:
                measured = self.measure()
                self.tidy()
                print("%d pages, %d descriptors, %d KiB" % (pages, *measured),
                      flush=True)
                if first is None:
                    first = measured
                    self.idle_fds = measured[0]
        return pages, first, self.measure()

    def totals(self):
        self.soaked.signal(signal.SIGUSR1)
        return self.soaked.wait_line("Counters:")

    def report(self, pages, first, last):
        totals = self.totals()
        print("faults:", dict(self.injected))
        print("results:", dict(self.results))
        print("counted:", dict(self.sums))
        print("client:", totals)
        print("pages %d, descriptors %d -> %d, memory %d -> %d KiB"
              % (pages, first[0], last[0], first[1], last[1]))
        wanted = "Counters: %d pages, %d complete, " % (
            self.ended, self.results["complete"])
        assert wanted in totals, (wanted, totals)
        for name, count in (("xrun", self.sums["xruns"]),
                            ("suspend", self.injected["suspend"]),
                            ("card loss", self.sums["losses"])):
            assert ", %d %s" % (count, name) in totals, (name, count, totals)
        assert self.sums["losses"] == self.injected["unplug"]
        breaks = self.sums["xruns"] + self.sums["starvations"]
        injected = self.injected["xrun"] + self.injected["gap"]
        assert breaks >= self.injected["gap"], (breaks, injected)
        print("breaks in the sound: %d, of which %d were made; the rest is "
              "this machine's scheduling" % (breaks, min(breaks, injected)))
        assert last[0] <= first[0], "descriptors leak"
        assert last[1] <= first[1] + LEAK_KIB, "memory leaks"


def main():
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 1
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else int(time.time())
    print("soaking for %g minutes with seed %d" % (minutes, seed), flush=True)
    soak = Soak()
    soak.setUp()
    failed = 1
    try:
        soak.begin(seed)
        soak.report(*soak.soak(minutes))
        soak.soaked.stop()
        assert soak.soaked.child.returncode == 0
        failed = 0
    except AssertionError as error:
        print("FAILED:", error)
    finally:
        soak.tearDown()
    print("%d passed, %d failed" % (1 - failed, failed))
    sys.exit(failed)


if __name__ == "__main__":
    main()
