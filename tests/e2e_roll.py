# SPDX-License-Identifier: MIT
"""The roll call end to end: which loudspeakers are missing, since when and why.
The programs' clocks run faster (vclock.c), so that their times need not be
others than the defaults; what is printed is by their clock."""
import json
import os
import re
import signal
import subprocess
import time

from e2e_bus import BusCase
from e2e_lib import (Card, Notify, PATIENCE, SLOWNESS, contents, free_port,
                     main, preload, program, wait_until, write_file)

SPEED = int(os.environ.get("INTERCOM_TEST_SPEED", 10 if SLOWNESS == 1 else 2))
LONG = 10 * PATIENCE


class RollCase(BusCase):
    def setUp(self):
        super().setUp()
        self.faults = {}

    def tearDown(self):
        for process in self.processes:
            if process.child.poll() is None:
                process.signal(signal.SIGCONT)
        super().tearDown()

    def fast(self, *libraries, **environment):
        """The environment in which a program's clock runs faster."""
        env = preload("vclock.so", VCLOCK=self.folder, VCLOCK_SPEED=str(SPEED),
                      **environment)
        env["LD_PRELOAD"] = ":".join(
            program(l) for l in ("vclock.so", *libraries))
        return env

    def env(self, **more):
        return super().env(**{**more, **self.faster})

    faster = {}

    def fast_server(self, *args, zones=("all",), **kwargs):
        self.faster = self.fast()
        server = self.server(*args, zones=zones, **kwargs)
        self.faster = {}
        self.signals = self.listener()
        self.signals.patience = LONG
        return server

    # --- keys

    def keygen(self, *identities):
        subprocess.run([program("intercomctl"), "keygen", "--psk-file",
                        self.path("server.psk"), *identities], check=True,
                       stdout=subprocess.DEVNULL)

    def keys_without(self, identity):
        """Replaces the server's file, as an editor does."""
        text = contents(self.path("server.psk")).decode()
        path = self.path("server.psk.new")
        with open(path, "w", opener=lambda p, f: os.open(p, f, 0o600)) as f:
            f.write(re.sub(r"^server %s .*\n" % identity, "", text,
                           flags=re.M))
        os.rename(path, self.path("server.psk"))
        return text

    # --- loudspeakers

    def card_folder(self, name):
        folder = self.path("card-" + name)
        os.makedirs(folder, exist_ok=True)
        return folder

    def loudspeaker(self, name=None, device="plughw:CARD=virtual", *args):
        """A client whose card is commanded by files: see vhw.c."""
        keys = ["--psk-file", self.path(name + ".psk")] if name else []
        env = {**os.environ, **self.fast(
            "vhw.so", VHW=self.card_folder(name or "any"))}
        return self.start([program("intercom-client"), "-D", device, *keys,
                           "127.0.0.1:%d" % self.ports["all"], *args],
                          env=env)

    def set(self, name, fault):
        write_file(os.path.join(self.card_folder(name), fault), b"")

    def clear(self, name, fault):
        os.unlink(os.path.join(self.card_folder(name), fault))

    # --- what the server says

    def status(self):
        return self.client().call("Status")[0]

    def wait_present(self, count):
        asker = self.client()
        wait_until(lambda: asker.call("Status")[0]["present"] == count,
                   "%d loudspeakers" % count, LONG)

    def wait_started(self):
        asker = self.client()
        wait_until(lambda: asker.call("Status")[0]["roll_call"] == "on",
                   "the roll call to begin", LONG)

    def begin_fault(self, name):
        self.faults[name] = time.monotonic()

    def missing(self, count):
        """The next so many signals of loudspeakers that are missing, as
        {identity or zone: why}; how long each took is printed."""
        result = {}
        while len(result) < count:
            identity, zone, _, since, why = self.signals.wait_signal(
                "ClientMissing")
            name = identity or zone
            self.assertLess(abs(since - time.time()), LONG * SPEED)
            result[name] = why
            if name in self.faults:
                print("%s: %s after %.0f s" % (
                    name, why,
                    (time.monotonic() - self.faults[name]) * SPEED))
        return result

    def back(self, count):
        return {identity or zone for identity, zone, *_ in
                (self.signals.wait_signal("ClientBack")
                 for _ in range(count))}

    def check(self, status, words, *args):
        line = self.ctl("check", *args, status=status)
        self.assertRegex(line, words)
        self.assertEqual(line.count("\n"), 0, line)
        return line


class Keys(RollCase):
    def test_each_fault_is_known_and_each_remedy(self):
        names = ("ended", "hung", "pulled", "busy", "locked", "fine")
        self.keygen(*names, "never")
        server = self.fast_server("--psk-file", self.path("server.psk"))
        speakers = {name: self.loudspeaker(name) for name in names}
        self.wait_present(6)
        status = self.status()
        self.assertEqual((status["expected"], status["missing"]), (7, []))
        if status["roll_call"] == "starting":
            self.check(3, "^UNKNOWN - 6 of 7 .* only just started")
        self.assertEqual(self.missing(1), {"never": "absent"})
        self.wait_started()
        clients = {c["identity"]: c for c in self.client().call("Clients")[0]}
        for name in names:
            self.assertEqual(clients[name]["card"], "ready")
            self.assertEqual(clients[name]["latency_ms"], 100)
            self.assertRegex(clients[name]["version"], r"^\d+\.\d+")

        speakers["ended"].signal(signal.SIGTERM)
        speakers["hung"].signal(signal.SIGSTOP)
        self.set("pulled", "absent")
        self.set("busy", "busy")
        keys = self.keys_without("locked")
        for name in names[:5]:
            self.begin_fault(name)
        self.assertEqual(self.missing(5), {
            "ended": "absent", "hung": "silent", "pulled": "card-missing",
            "busy": "card-busy", "locked": "locked-out"})

        self.assertEqual({m["identity"] for m in self.status()["missing"]},
                         {*names[:5], "never"})
        lines = self.ctl("status").split("\n")
        for line in ("never since .*not connected", "ended since .*connected",
                     "hung since .*does not answer", "pulled since .*its card is gone",
                     "busy since .*another program uses its card",
                     "locked since .*key was removed or changed"):
            line = line.replace("since", r"since [-\d ]*\d\d:\d\d")
            self.assertEqual(1, sum(
                bool(re.match(r"missing: %s\)$" % line, l)) for l in lines),
                line)
        self.check(2, r"^CRITICAL - 4 of 6 loudspeakers connected, 6 missing: "
                   r"busy since .*\|missing=6;;0;0;6 connected=4;;;0;6$")
        self.check(2, "^CRITICAL - 4 loudspeakers connected, 6 missing",
                   "--zone", "all")
        self.assertIn("card busy", self.ctl("clients"))
        for name in names[:5]:
            server.wait_line("Loudspeaker '%s' is missing: " % name)

        speakers["hung"].signal(signal.SIGCONT)
        self.clear("pulled", "absent")
        self.clear("busy", "busy")
        with open(self.path("server.psk"), "w") as f:
            f.write(keys)
        self.loudspeaker("ended")
        self.assertEqual(self.back(5), set(names[:5]))
        for name in names[:5]:
            server.wait_line("Loudspeaker '%s' is back after" % name)
        self.check(2, "^CRITICAL - 6 of 7 .* 1 missing: never since")
        self.keys_without("never")
        wait_until(lambda: self.status()["missing"] == [],
                   "nobody to be missed", LONG)
        self.check(0, r"^OK - 6 of 6 loudspeakers connected, 0 missing\|")
        self.check(0, r"^OK - 6 loudspeakers connected, 0 missing\|",
                   "--zone", "all")
        self.check(3, "^UNKNOWN - there is no zone 'attic'", "--zone", "attic")

    def test_card_that_is_busy_is_a_warning(self):
        self.keygen("hall")
        self.fast_server("--psk-file", self.path("server.psk"))
        self.set("hall", "busy")
        self.loudspeaker("hall")
        self.assertEqual(self.missing(1), {"hall": "card-busy"})
        self.check(1, "^WARNING - 1 of 1 .*hall since .*another program")

    def test_loudspeaker_that_hangs_in_a_page_is_missing(self):
        self.keygen("hall")
        server = self.fast_server("--psk-file", self.path("server.psk"))
        hall = self.loudspeaker("hall", "null")
        self.wait_present(1)
        self.wait_started()
        page = self.wav_file("long.wav", bytes(44100 * 4 * 400))
        self.ctl_begin("play", page)
        hall.wait_line("Page|page from")
        hall.signal(signal.SIGSTOP)
        self.begin_fault("hall")
        self.assertEqual(self.missing(1), {"hall": "absent"})
        server.wait_line("took nothing for 10 s")
        hall.signal(signal.SIGCONT)
        self.assertEqual(self.back(1), {"hall"})

    def test_what_only_opening_would_tell_is_told_by_the_last_page(self):
        """The virtual card is a plug-in."""
        self.keygen("hall")
        self.server("--psk-file", self.path("server.psk"), zones=("all",))
        card = Card(self.folder, "speaker")
        asker = self.client()

        def cards():
            return [c.get("card") for c in asker.call("Clients")[0]]

        def page():
            path = self.wav_file("page.wav", bytes(44100 * 4 // 2))
            self.ctl("play", path)

        client = self.start(
            [program("intercom-client"), "-D", "card", "--psk-file",
             self.path("hall.psk"), "127.0.0.1:%d" % self.ports["all"]],
            env=card.env())
        wait_until(lambda: cards() == ["unknown"], "an unknown card")
        page()
        wait_until(lambda: cards() == ["ready"], "a card that has played")
        card.set("busy")
        page()
        wait_until(lambda: cards() == ["busy"], "a busy card")
        card.clear("busy")
        card.set("unplugged")
        page()
        wait_until(lambda: cards() == ["missing"], "a card that is gone")
        card.clear("unplugged")
        page()
        wait_until(lambda: cards() == ["ready"], "a card that is back")
        self.assertEqual(client.count("sent data"), 0)

    def test_of_many_the_log_says_how_many_more(self):
        """Also when nothing happens after that."""
        self.keygen(*("speaker-%d" % n for n in range(70)))
        server = self.fast_server("--psk-file", self.path("server.psk"))
        self.assertEqual(len(self.missing(70)), 70)
        server.wait_line("missing or back, in the last minute: 10 more",
                         patience=LONG)
        self.assertEqual(server.count("is missing: "), 60)

    def test_server_that_was_stopped_misses_nobody(self):
        self.keygen("hall")
        server = self.fast_server("--psk-file", self.path("server.psk"))
        self.loudspeaker("hall")
        self.wait_present(1)
        self.wait_started()
        server.signal(signal.SIGSTOP)
        # This sleep is the stimulus: a server that hangs.
        time.sleep(100 / SPEED)
        server.signal(signal.SIGCONT)
        self.wait_started()
        self.assertEqual(server.count("is missing"), 0, server.output())


class NoKeys(RollCase):
    def test_zones_expect_numbers(self):
        self.faster = self.fast()
        server = self.server("--expect", "2", "--expect", "yard=1",
                             zones=("lobby", "yard"), bus="user")
        self.faster = {}
        self.signals = self.listener()
        self.signals.patience = LONG
        lobby = self.connect(self.ports["lobby"], self.ports["lobby"])
        self.wait_present(2)
        body = self.signals.wait_signal("ClientMissing")
        self.assertEqual((body[:3], body[4]), (["", "yard", 1], "absent"))
        changed = self.signals.wait_signal(
            "PropertiesChanged", lambda body: "Missing" in body[1])[1]
        entry, = changed["Missing"]
        self.assertLess(abs(entry.pop("since") - body[3]), 2)
        self.assertEqual(entry, {"identity": "", "zone": "yard", "count": 1,
                                 "why": "absent"})
        self.check(2, r"2 of 3 .* 1 missing: 1 in zone yard since .*"
                   r"\|missing=1;;0;0;3 connected=2;;;0;3$")
        self.check(0, "^OK - 2 of 2 ", "--zone", "lobby")
        self.check(2, "^CRITICAL - 0 of 1 ", "--zone", "yard")
        lobby.pop().close()
        body = self.signals.wait_signal("ClientMissing")
        self.assertEqual(body[:3], ["", "lobby", 1])
        server.wait_line("Zone lobby: 1 of 2 loudspeakers missing: not conn")
        self.assertIn("missing: 1 in zone lobby since", self.ctl("status"))
        self.connect(self.ports["lobby"], self.ports["yard"])
        self.assertEqual({self.signals.wait_signal("ClientBack")[1]
                          for _ in range(2)}, {"lobby", "yard"})
        server.wait_line("Zone lobby: all 2 loudspeakers are back")
        self.check(0, "^OK - 3 of 3 ")

    def test_monitor_tells_who_is_missing(self):
        self.faster = self.fast()
        self.server("--expect", "1", zones=("all",))
        self.faster = {}
        plain = self.ctl_begin("monitor")
        as_json = self.ctl_begin("monitor", "--json")
        plain.wait_line("missing: 1 in zone all since .* .not connected",
                        patience=LONG)
        event = json.loads(as_json.wait_line("client_missing", patience=LONG))
        self.assertEqual((event["zone"], event["count"], event["why"]),
                         ("all", 1, "absent"))
        self.connect(self.ports["all"])
        plain.wait_line("back: all of zone all", patience=LONG)
        as_json.wait_line("client_back", patience=LONG)

    def test_server_that_expects_somebody_does_not_exit(self):
        self.faster = self.fast()
        server = self.server("--expect", "1", "--idle-exit", "1",
                             zones=("all",))
        self.faster = {}
        server.wait_line("Zone all: 1 of 1 loudspeakers missing",
                         patience=LONG)
        self.assertIsNone(server.child.poll())

    def test_systemd_shows_how_many_are_missing(self):
        notify = Notify(self.path("notify"))
        self.addCleanup(notify.close)
        self.faster = {**self.fast(), "NOTIFY_SOCKET": notify.path}
        self.server("--expect", "3", zones=("all",))
        self.faster = {}
        notify.wait(b"STATUS=0 clients, 0 pages, 3 missing")
        self.connect(*[self.ports["all"]] * 3)
        wait_until(lambda: notify.wait(b"STATUS=").endswith(
            b"STATUS=3 clients, 0 pages"), "nobody to be missing")

    def test_server_that_expects_nobody_says_so(self):
        self.server(zones=("all",))
        self.assertEqual(self.status()["roll_call"], "off")
        self.check(3, "^UNKNOWN - the server expects nobody")

    def test_check_without_a_server(self):
        run = subprocess.run(self.argv("check"), env=self.env(),
                             capture_output=True, text=True)
        self.assertEqual((run.returncode, run.stderr, run.stdout),
                         (3, "", "UNKNOWN - no server answers "
                          "(intercomctl status tells why)\n"))

    def test_check_of_a_server_that_hangs(self):
        server = self.server("--expect", "1", zones=("all",))
        server.signal(signal.SIGSTOP)
        self.check(3, "^UNKNOWN - no server answers")

    def test_wrong_numbers_are_refused(self):
        for value, words in (("attic=1", "there is no zone 'attic'"),
                             ("0", "from 1 to"), ("yard", "from 1 to"),
                             ("yard=x", "from 1 to")):
            run = subprocess.run(
                [program("intercom-server"), "-D", "null", "-l",
                 "127.0.0.1:%d" % free_port(), "--expect", value],
                capture_output=True, text=True, stdin=subprocess.DEVNULL)
            self.assertNotEqual(run.returncode, 0)
            self.assertRegex(run.stderr, words)
        run = subprocess.run(
            [program("intercom-server"), "--expect", "1", "--psk-file", "x"],
            capture_output=True, text=True, stdin=subprocess.DEVNULL)
        self.assertEqual(run.returncode, 2)
        self.assertIn("with --psk-file each loudspeaker", run.stderr)


if __name__ == "__main__":
    main()
