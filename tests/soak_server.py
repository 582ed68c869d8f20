# SPDX-License-Identifier: MIT
"""soak_server.py MINUTES [SEED]: a server among random pages, loudspeakers,
callers and strangers, on a disk that hangs now and then, for so long.

Every connection and every page must be accounted for, and whenever it is quiet
the server must hold what it held when it was quiet first.
"""
import collections
import os
import random
import select
import socket
import sys
import threading
import time

from dbus_client import Client, DBusError, Variant
from e2e_bus import BusCase
from e2e_hang import Disk, KINDS
from e2e_lib import connect, noise, reset, wait_until, wav_bytes, write_file

ACTIONS = 150  # between two times of quiet
LOUDSPEAKERS = 20
LEAK_KIB = 2048
QUIET = 120  # seconds, at most
ERRORS = {"Busy", "Limit", "NoDevice", "NotAudio", "Stopped", "NotFound"}
REASONS = {"complete", "stopped", "preempted", "busy", "no-device",
           "not-audio", "failed"}  # unplugged in mid-page


class Crowd(threading.Thread):
    """Loudspeakers that take all that comes, and come back."""

    def __init__(self, ports):
        super().__init__(daemon=True)
        self.connects = self.served = 0
        self.over = threading.Event()
        self.poller = select.epoll()
        self.sockets = {}
        for i in range(LOUDSPEAKERS):
            self.come(ports[i % len(ports)])
        self.start()

    def come(self, port):
        s = connect(port)
        self.connects += 1
        self.sockets[s.fileno()] = s, port
        self.poller.register(s.fileno(), select.EPOLLIN)

    def run(self):
        while not self.over.is_set():
            for fd, _ in self.poller.poll(0.1):
                s, port = self.sockets[fd]
                if s.recv(1 << 16):
                    continue
                self.served += 1
                self.poller.unregister(fd)
                del self.sockets[fd]
                s.close()
                self.come(port)

    def leave(self):
        self.over.set()
        self.join()
        for s, _ in self.sockets.values():
            s.close()


class Soak(BusCase):
    """Not a test case of its own: main() runs it."""

    def runTest(self):
        raise AssertionError("run by main()")

    def begin(self, seed):
        self.random = random.Random(seed)
        self.disk = Disk(self.folder)
        self.hung = False
        self.soaked = self.server("--archive", self.disk.folder,
                                  "--archive-limit", "20M", card_options="",
                                  extra_env=self.disk.env())
        self.listener = self.listener()
        self.crowd = Crowd(list(self.ports.values()))
        self.rude = []     # connections that do not take what they should
        self.silent = []   # callers that do not read
        self.connects = 0  # but for the crowd's
        self.abusers = 0
        self.done = collections.Counter()
        self.errors = collections.Counter()
        self.reasons = collections.Counter()
        self.events = collections.Counter()
        self.sums = collections.Counter()
        self.begun, self.ended = set(), set()

    def server(self, *args, extra_env, **kwargs):
        self.extra_env = extra_env
        return super().server(*args, **kwargs)

    def env(self, **more):
        return super().env(**more, **getattr(self, "extra_env", {}))

    # --- what is done

    def options(self):
        options = {"priority": Variant("i", self.random.randrange(10))}
        if self.random.random() < 0.5:
            options["queue"] = Variant("b", True)
        return options

    def zones(self):
        return self.random.choice(([], ["lobby"], ["yard"]))

    def page(self, page, *args, **options):
        try:
            page(*args, **options)
        except DBusError as error:
            self.errors[error.name.rsplit(".", 1)[1]] += 1

    def act_talk(self):
        self.page(self.listener.talk, self.zones(),
                  self.random.uniform(0, 0.4), **self.options())

    def act_play(self):
        path = self.path("play.wav")
        write_file(path, wav_bytes(noise(self.random.randrange(20000) * 2,
                                         self.random.random()), 16000, 1))
        with open(path, "rb") as f:
            os.unlink(path)  # the next one is another file
            self.page(self.listener.play, f.fileno(), self.zones(),
                      **self.options())

    def act_play_rubbish(self):
        with open("/etc/passwd", "rb") as f:
            self.page(self.listener.play, f.fileno(), **self.options())

    def act_stop(self):
        self.listener.call("Stop", "u", (0,))

    def act_caller_that_dies(self):
        caller = Client(self.address)
        caller.send("Talk", "asda{sv}", (self.zones(), 0.0, self.options()))
        if self.random.random() < 0.5:
            time.sleep(0.05)
        caller.close()

    def act_caller_that_never_reads(self):
        caller = Client(self.address)
        for _ in range(200):
            caller.send(self.random.choice(("Status", "Clients")))
        self.silent.append(caller)
        if len(self.silent) > 10:
            self.silent.pop(0).close()

    def come(self, **kwargs):
        self.connects += 1
        return connect(self.random.choice(list(self.ports.values())), **kwargs)

    def act_abuser(self):
        s = self.come()
        s.sendall(bytes(5000))
        self.abusers += 1
        self.rude.append(s)

    def act_crawler(self):
        self.rude.append(self.come(rcvbuf=2048))

    def act_leaver(self):
        if self.rude:
            s = self.rude.pop(self.random.randrange(len(self.rude)))
            self.random.choice((reset, socket.socket.close))(s)

    def act_unplug(self):
        self.card.set("unplugged")
        self.page(self.listener.talk, [], 0.1)
        self.card.clear("unplugged")

    def act_disk(self):
        if self.hung:
            self.disk.answer()
        else:
            self.disk.hang(self.random.choice(KINDS))
        self.hung = not self.hung

    # --- what must add up

    def ask(self):
        try:
            return self.listener.call("Status")[0]
        except DBusError as error:  # so many have asked
            assert error.name.endswith(".Limit"), error
            self.errors["Limit"] += 1
            return None

    def status(self):
        """Now; and what was told until now is counted."""
        status = wait_until(self.ask, "an answer")
        for message in self.listener.signals:
            self.events[message.member] += 1
            if message.member == "PageStarted":
                self.begun.add(message.body[0])
            elif message.member == "PageEnded":
                page, _, _, reached, lost, _, reason = message.body
                assert page not in self.ended, "page %d ended twice" % page
                self.ended.add(page)
                self.reasons[reason] += 1
                self.sums.update(reached=reached, lost=lost)
        self.listener.signals.clear()
        return status

    def make_quiet(self):
        if self.hung:
            self.act_disk()
        for sock in self.rude + self.silent:
            sock.close()
        self.rude, self.silent = [], []
        self.act_stop()
        wait_until(lambda: not self.status()["pages"], "the pages to end",
                   patience=QUIET)
        wait_until(lambda: self.status()["clients"] == LOUDSPEAKERS,
                   "the others to be gone", patience=QUIET)
        wait_until(lambda: not [n for n in os.listdir(self.disk.folder)
                                if n.endswith(".part")], "the files",
                   patience=QUIET)
        return self.status()

    def account(self, status):
        """Explains every counter."""
        connects = self.connects + self.crowd.connects
        left = status["accepted"] - LOUDSPEAKERS - self.sums["reached"] - \
            self.sums["lost"]
        assert status["accepted"] == connects, (status, connects)
        assert status["pages_begun"] == self.events["PageStarted"] == \
            len(self.begun), (status, self.events)
        assert self.begun <= self.ended, self.begun - self.ended
        # Who did not leave while it waited has had a page, or lost it.
        assert 0 <= left <= self.connects, left
        assert self.sums["lost"] <= self.connects, self.sums
        assert self.crowd.served <= self.sums["reached"] <= \
            self.crowd.served + self.connects, (self.crowd.served, self.sums)
        assert status["abused"] <= self.abusers, (status, self.abusers)
        assert status["stuck"] <= self.connects, status
        for name in "refused", "refused_address", "unproven":
            assert status[name] == 0, status
        assert set(self.errors) <= ERRORS, self.errors
        assert set(self.reasons) <= REASONS, self.reasons

    def measure(self):
        """Descriptors, threads and KiB."""
        def held():
            return (self.soaked.fd_count(),
                    len(os.listdir("/proc/%d/task" % self.soaked.pid)))
        if hasattr(self, "quiet"):
            wait_until(lambda: held() <= self.quiet[:2],
                       "%s to be as %s" % (held(), self.quiet[:2]))
        else:
            time.sleep(2)  # nothing tells that the last thread is gone
        return *held(), self.soaked.rss_kib()

    def soak(self, minutes):
        acts = [name for name in dir(self) if name.startswith("act_")]
        acts += ["act_talk", "act_play"] * 6
        end = time.monotonic() + minutes * 60
        while time.monotonic() < end or not hasattr(self, "quiet"):
            for _ in range(ACTIONS):
                name = self.random.choice(acts)
                getattr(self, name)()
                self.done[name] += 1
                self.status()
                time.sleep(self.random.uniform(0, 0.05))
            status = self.make_quiet()
            self.account(status)
            measured = self.measure()
            print("%d pages, %d connections, %d descriptors, %d threads, "
                  "%d KiB" % (status["pages_begun"], status["accepted"],
                              *measured), flush=True)
            if not hasattr(self, "quiet"):
                self.quiet = measured
        self.report(status, measured)

    def report(self, status, measured):
        print("done:", dict(self.done))
        print("refused:", dict(self.errors), "ended:", dict(self.reasons))
        print("status:", {k: v for k, v in status.items()
                          if isinstance(v, int)})
        print("clients:", dict(self.sums), "of whom the crowd %d"
              % self.crowd.served)
        assert measured[2] <= self.quiet[2] + LEAK_KIB, "memory leaks"
        self.crowd.leave()
        wait_until(lambda: self.status()["clients"] == 0, "all to leave")


def main():
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 1
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else int(time.time())
    print("soaking for %g minutes with seed %d" % (minutes, seed), flush=True)
    soak = Soak()
    soak.setUp()
    failed = 1
    try:
        soak.begin(seed)
        soak.soak(minutes)
        soak.soaked.stop()
        assert soak.soaked.child.returncode == 0, soak.soaked.output()
        failed = 0
    except (AssertionError, DBusError) as error:
        print("FAILED:", repr(error)[:2000])
        print("\n".join(soak.soaked.lines[-20:]))
    finally:
        soak.tearDown()
    print("%d passed, %d failed" % (1 - failed, failed))
    sys.exit(failed)


if __name__ == "__main__":
    main()
