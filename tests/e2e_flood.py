# SPDX-License-Identifier: MIT
"""Floods on the bus: callers that never read what they are answered, and what
becomes of the others, of the sound and of the server meanwhile."""
import json
import os
import pwd
import select
import signal
import socket
import struct
import time
import traceback

from dbus_client import Client, DBusError
from e2e_bus import SystemBusCase
from e2e_lib import (CHUNK, PATIENCE, RATE, SLOWNESS, Witness, connect, main,
                     wait_until)

CONNECTIONS = 200  # of the 256 that the system bus gives to a user
LOUDSPEAKERS = 240
BURST = 20  # calls of each at once; the bus would let 128 wait for an answer
# More would keep the bus itself so busy that nobody is answered by anybody.
CALLS_A_SECOND = int(os.environ.get("INTERCOM_TEST_FLOOD_RATE", "2000"))
SECONDS = float(os.environ.get("INTERCOM_TEST_FLOOD_SECONDS", "6"))
SO_TIMESTAMPNS = 35
PROPERTIES = "org.freedesktop.DBus.Properties"
SERVER = "org.alsaintercom1.Server"


class Aside:
    """A function in a process of its own: it is given a descriptor that
    becomes readable when it has to end, and returns what JSON can say."""

    def __init__(self, function, *args):
        self.stop, self.result = os.pipe(), os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                os.close(self.stop[1])
                text = json.dumps(function(self.stop[0], *args))
                os.write(self.result[1], text.encode())
                status = 0
            except Exception:
                traceback.print_exc()
            finally:
                os._exit(status)
        os.close(self.stop[0])
        os.close(self.result[1])

    def finish(self):
        """What it has returned. It is for the test's end, too."""
        if self.pid is None:
            return None
        os.close(self.stop[1])
        with os.fdopen(self.result[0], "rb") as f:
            text = f.read()
        pid, self.pid = self.pid, None
        if os.waitpid(pid, 0)[1] != 0:
            raise AssertionError("a process of the test has failed")
        return json.loads(text)


def ended(stop):
    return select.select([stop], [], [], 0)[0]


class Caller(Client):
    """Calls as fast as the bus takes it, and never reads."""

    BATCH = 10

    def begin(self, call):
        self.message, _ = self.encode(*call[0], **call[1])
        self.rest = b""
        self.socket.setblocking(False)

    def more(self):
        if not self.rest:
            batch = bytearray(self.message * self.BATCH)
            for at in range(0, len(batch), len(self.message)):
                self.serial += 1
                struct.pack_into("<I", batch, at + 8, self.serial)
            self.rest = bytes(batch)
        try:
            self.rest = self.rest[self.socket.send(self.rest):]
        except BlockingIOError:
            pass


def flood(stop, address, call):
    """As another user, if there can be one. How many calls were sent."""
    if os.getuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.setgroups([])
        os.setgid(nobody.pw_gid)
        os.setuid(nobody.pw_uid)
    poller = select.epoll()
    callers = {}
    for _ in range(CONNECTIONS):
        caller = Caller(address)
        caller.begin(call)
        callers[caller.socket.fileno()] = caller
        poller.register(caller.socket.fileno(), select.EPOLLOUT)
    begin, count = time.monotonic(), -CONNECTIONS * BURST
    while not ended(stop):
        for fd, _ in poller.poll(0.1, 64):
            try:
                callers[fd].more()
            except OSError:  # the bus has had enough
                poller.unregister(fd)
            count += Caller.BATCH
        early = begin + count / CALLS_A_SECOND - time.monotonic()
        if early > 0:
            time.sleep(early)
    for caller in callers.values():
        caller.close()
    return sum(caller.serial for caller in callers.values())


def hear(stop, port):
    """A loudspeaker: the longest time between two of the kernel's arrivals
    within a page."""
    with connect(port) as s:
        s.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        arrivals = []
        while True:
            data, notes, _, _ = s.recvmsg(65536, 64)
            if not data:
                break
            arrivals += [struct.unpack("ll", note) for _, _, note in notes]
        times = [sec + nsec / 1e9 for sec, nsec in arrivals]
        return max(b - a for a, b in zip(times[1:], times[2:]))


def listen(stop, port, count):
    """Other loudspeakers, which take all that comes."""
    poller = select.epoll()
    sockets = {}
    for _ in range(count):
        s = connect(port)
        sockets[s.fileno()] = s
        poller.register(s.fileno(), select.EPOLLIN)
    while not ended(stop):
        for fd, _ in poller.poll(0.1):
            if not sockets[fd].recv(1 << 20):
                poller.unregister(fd)


class Flood(SystemBusCase):
    def setUp(self):
        super().setUp()
        self.running = self.server(bus="system", zones=("lobby",))
        port = self.ports["lobby"]
        self.others = Aside(listen, port, LOUDSPEAKERS - 1)
        self.addCleanup(self.others.finish)
        self.ear = Aside(hear, port)
        self.honest = self.client()
        wait_until(lambda: self.honest.call("Status")[0]["accepted"] ==
                   LOUDSPEAKERS, "the loudspeakers")

    def ask(self, *args, **kwargs):
        """How long an honest question takes."""
        before = time.monotonic()
        try:
            self.honest.call(*args, **kwargs)
        except DBusError as error:
            self.assertEqual(error.name, "org.alsaintercom1.Error.Limit")
        return time.monotonic() - before

    def ask_the_bus(self):
        """The same of the bus itself, which has to be asked twice for an
        answer of the server."""
        return self.ask("GetId", path="/org/freedesktop/DBus",
                        destination="org.freedesktop.DBus",
                        interface="org.freedesktop.DBus")

    def has_own_memory(self):
        with open("/proc/%d/maps" % self.running.pid) as f:
            return SLOWNESS == 1 and "san.so" not in f.read()

    def withstand(self, *args, **kwargs):
        self.honest.talk()
        attack = Aside(flood, self.address, (args, kwargs)) if args else None
        if attack:
            self.addCleanup(attack.finish)
        end = time.monotonic() + SECONDS
        slowest, slowest_bus, kib = 0, 0, 0
        with Witness() as witness:
            while time.monotonic() < end:
                slowest_bus = max(slowest_bus, self.ask_the_bus())
                slowest = max(slowest, self.ask("Status"))
                kib = max(kib, self.running.rss_kib())
                time.sleep(0.1)
        own_memory = self.has_own_memory()
        before = time.monotonic()
        self.running.signal(signal.SIGTERM)
        self.assertEqual(self.running.wait(4 * PATIENCE), 0)
        stopped = time.monotonic() - before
        calls = attack.finish() if attack else 0
        gap = self.ear.finish()
        print("\n%s: %d calls, %.1f MB, honest Status() %.0f ms (the bus "
              "itself %.0f), gap %.0f ms (a chunk has %.0f), SIGTERM %.0f ms"
              % (args[0] if args else "no flood", calls, kib / 1024,
                 slowest * 1000, slowest_bus * 1000, gap * 1000,
                 CHUNK / RATE * 1000, stopped * 1000), end=" ", flush=True)
        # Several times what is right, and more where the machine was busy.
        self.assertLess(slowest, 5 * SLOWNESS + 20 * slowest_bus)
        self.assertLess(gap, 0.5 * SLOWNESS + 10 * witness.worst_seconds)
        self.assertLess(stopped, 5 * SLOWNESS)
        if own_memory:
            self.assertLess(kib, 32 * 1024)

    def test_nobody_calls(self):
        self.withstand()

    def test_status(self):
        self.withstand("Status")

    def test_all_properties(self):
        self.withstand("GetAll", "s", (SERVER,), interface=PROPERTIES)

    def test_introspection(self):
        self.withstand("Introspect",
                       interface="org.freedesktop.DBus.Introspectable")

    def test_a_meter_and_what_does_not_exist(self):
        self.withstand("Meter", "u", (7,))


if __name__ == "__main__":
    main()
