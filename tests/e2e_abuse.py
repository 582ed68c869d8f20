# SPDX-License-Identifier: MIT
"""Strangers attack a server, and an honest client must notice nothing.

Every address in 127.0.0.0/8 is this machine, so an attack can use many.
"""
import errno
import os
import re
import resource
import socket
import stat
import subprocess
import threading
import time

from e2e_bus import BusCase
from e2e_lib import (Card, FRAME, PATIENCE, contents, free_port,
                     has_own_memory, is_closed,
                     main, noise, page_size, program, receive, receive_all,
                     reset, wait_until, write_file)
from e2e_server import ServerCase
from e2e_tls import TlsCase

RATE = 44100
# What "status" calls them; those that are zero are left out.
COUNTERS = {"connections so far": "came", "connection so far": "came",
            "turned away: too many": "refused",
            "turned away: too many from one address": "refused_address",
            "turned away: without a key": "unproven",
            "dropped: sent data": "abused",
            "dropped: took too little": "stuck"}
# The log lines that strangers cause.
STRANGERS = (r"refused|Refused|not let in|dropped|Dropped|"
             r"Accepting|Pauses|Turned away")


def connect_from(source, port, rcvbuf=None):
    s = socket.socket()
    s.settimeout(PATIENCE)
    if rcvbuf:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
    s.bind((source, 0))
    s.connect(("127.0.0.1", port))
    return s


class Attack:
    """Repeats an action from several addresses, each in a thread of its own,
    until the with statement ends."""

    def __init__(self, act, *sources):
        self.act = act
        self.ended = threading.Event()
        self.count = 0
        self.failure = None
        self.threads = [threading.Thread(target=self._run, args=(s,))
                        for s in sources]

    def _run(self, source):
        while not self.ended.is_set():
            try:
                self.act(source)
                self.count += 1
            except (ConnectionError, BrokenPipeError):
                self.count += 1
            except OSError as e:
                # No port is free for the moment: all have been used.
                if e.errno not in (errno.EADDRNOTAVAIL, errno.EADDRINUSE):
                    self.failure = e
                    return

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        for t in self.threads:
            t.join(PATIENCE)
        if self.failure:
            raise self.failure

    def wait(self, count):
        wait_until(lambda: self.count >= count or self.failure,
                   "%d attacks" % count, patience=4 * PATIENCE)


class AbuseCase(ServerCase):
    def server(self, *args, **kwargs):
        """A server that loses no sound while this machine is busy."""
        return super().server("--buffer-size", "524288", "--max-lag", "60",
                              *args, **kwargs)

    def from_(self, source, count=1, **kwargs):
        sockets = [connect_from(source, self.port, **kwargs)
                   for _ in range(count)]
        for s in sockets:
            self.addCleanup(s.close)
        return sockets

    def _count(self, server):
        """How many clients the server has now: forces a fresh status."""
        zone = r"^Zone \S+: \d+ clients?$"
        before = server.count(zone)
        server.write("status\n")
        line = server.wait_line(zone, before + 1)
        return int(line.split()[-2])

    def counters(self, server):
        zone = r"^Zone \S+: \d+ client"
        before = server.count(zone)
        server.write("status\n")
        server.wait_line(zone, before + 1)
        counters = dict.fromkeys(COUNTERS.values(), 0)
        told = re.findall(r"^(\d+) (connections? so far|turned away: .*|"
                          r"dropped: .*)$", server.output(), re.M)
        newest = max(i for i, t in enumerate(told) if t[1].endswith("so far"))
        for count, name in told[newest:]:
            counters[COUNTERS[name]] = int(count)
        return counters

    def wait_counter(self, server, name, value):
        wait_until(lambda: self.counters(server)[name] >= value,
                   "%s: %d" % (name, value))
        self.assertEqual(self.counters(server)[name], value)

    def honest(self, server):
        """Connects a client and waits until the server has accepted it."""
        before = self.counters(server)["came"]
        (s,) = self.clients(1)
        wait_until(lambda: self.counters(server)["came"] > before,
                   "the honest client")
        return s

    def page(self, server, number, seconds, s=None, then=lambda: None):
        """Sends a page; when an honest client has had every byte of it, the
        others act, and the page ends."""
        done = self.collect([s or self.honest(server)])
        server.write("\n")
        (data,) = done()
        size = page_size(seconds)
        self.assertEqual(len(data), 44 + size)
        self.assertEqual(data[44:], self.sound[:size])
        then()
        return server.wait_line("Page %d: .*reached" % number,
                                patience=3 * PATIENCE)

    def check_log(self, server, limit):
        """The log has at most LIMIT lines about strangers, and no byte that a
        terminal would obey."""
        self.assertLessEqual(server.count(STRANGERS), limit, server.output())
        self.assertNotRegex(server.output().replace("\n", ""),
                            r"[\x00-\x1f\x7f-\x9f]")

    def usage(self, server):
        return server.fd_count(), server.rss_kib()

    def check_usage(self, server, before):
        """The server needs no more descriptors, and hardly more memory."""
        wait_until(lambda: server.fd_count() <= before[0],
                   "descriptors to be closed", patience=2 * PATIENCE)
        if has_own_memory(server):
            self.assertLess(server.rss_kib(), before[1] + 4096)


class Limits(AbuseCase):
    def test_an_address_that_fills_up_leaves_room_for_others(self):
        server = self.server("-d", "0.5", "--max-per-address", "5")
        first = self.from_("127.0.0.2", 5)
        self.wait_clients(server, 5)
        for s in self.from_("127.0.0.2", 20):
            self.assertTrue(is_closed(s))
        others = self.from_("127.0.0.3", 5)
        self.wait_clients(server, 10)
        self.assertEqual(self.counters(server)["refused_address"], 20)
        self.assertIn("11 clients reached, 0 lost",
                      self.page(server, 1, 0.5))
        self.assertEqual(len({receive_all(s) for s in first + others}), 1)
        server.wait_line("Client 127.0.0.2:.* was refused: its address has 5 "
                         "connections already .--max-per-address.")
        self.check_log(server, 4)
        server.stop()
        self.assertRegex(server.output(), "Turned away since the start: "
                         "0 beyond --max-clients, 20 beyond "
                         "--max-per-address, 0 without")

    def test_who_leaves_makes_room_for_another_of_his_address(self):
        server = self.server("--max-per-address", "2")
        for round_ in range(1, 4):
            held = self.from_("127.0.0.2", 2)
            wait_until(lambda: self._count(server) == 2, "two clients")
            (third,) = self.from_("127.0.0.2")
            self.assertTrue(is_closed(third))
            self.wait_counter(server, "refused_address", round_)
            reset(held[0])
            held[1].close()
            wait_until(lambda: self._count(server) == 0, "nobody")
        self.assertEqual(self.counters(server)["came"], 6)

    def full_at(self, limit, *args):
        server = self.server(*args)
        self.from_("127.0.0.2", limit)
        self.wait_clients(server, limit)
        (s,) = self.from_("127.0.0.2")
        self.assertTrue(is_closed(s))
        self.wait_counter(server, "refused_address", 1)

    def test_the_default_is_a_quarter(self):
        self.full_at(100, "--max-clients", "400")

    def test_the_default_is_at_least_a_building_of_loudspeakers(self):
        self.full_at(64, "--max-clients", "100")

    def test_forty_loudspeakers_behind_one_address_come_again_and_again(self):
        server = self.server("-d", "0.1")
        for page in range(1, 4):
            sockets = self.from_("127.0.0.2", 40)
            self.press_enter(server, 40)
            for s in sockets:
                receive_all(s)
            server.wait_line("Page %d: .*40 clients reached, 0 lost" % page)
        self.assertEqual(server.count(STRANGERS), 0)

    def test_inherited_sockets_and_every_family_are_limited(self):
        """IPv4 mapped into IPv6 counts as the same address, and all local
        sockets as one."""
        v4, v6, path = free_port(), free_port(), self.path("socket")
        card = Card(self.folder, "activated", capture=noise(40000))
        server = self.start(
            ["systemd-socket-activate", "-l", "127.0.0.1:%d" % v4,
             "-l", "[::ffff:127.0.0.1]:%d" % v6, "-l", path,
             "--fdname=four:six:local",
             "--setenv=ALSA_CONFIG_PATH", "--setenv=INTERCOM_ALSA_CONF",
             program("intercom-server"), "-D", "card", "-i",
             "--max-per-address", "2"], env=card.env(), stdin=subprocess.PIPE)
        # The first connection activates the server.
        server.wait_line("Listening on", 3)

        def client(zone, count):
            if zone == "local":
                s = socket.socket(socket.AF_UNIX)
                self.addCleanup(s.close)
                s.settimeout(PATIENCE)
                s.connect(path)
            else:
                s = connect_from("127.0.0.2", {"four": v4, "six": v6}[zone])
                self.addCleanup(s.close)
            if not count:
                self.assertTrue(is_closed(s))
            else:
                wait_until(lambda: server.write("status\n") or server.count(
                    "Zone %s: %d clients?$" % (zone, count)), "a client")

        for zone, count in (("four", 1), ("six", 1), ("four", 0), ("six", 0),
                            ("local", 1), ("local", 2), ("local", 0)):
            client(zone, count)
        self.wait_counter(server, "refused_address", 3)
        server.wait_line("Client a local socket was refused")

    def test_a_page_goes_out_when_descriptors_have_run_out(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_NOFILE, (80, 80))

        server = self.server("-d", "0.5", preexec_fn=limit)
        s = self.honest(server)
        self.from_("127.0.0.2", 100)
        server.wait_line("Accepting pauses at .* clients: Too many open files")
        self.page(server, 1, 0.5, s)
        self.check_log(server, 2)


class Floods(AbuseCase):
    SOURCES = ["127.0.%d.%d" % (n, n) for n in range(1, 5)]

    def flood(self, act, *args, count=500, end=lambda: None):
        """Warms up, pages during an attack, and then compares what is left."""
        server = self.server("-d", "2", *args)
        self.page(server, 1, 2)
        before = self.usage(server)
        s = self.honest(server)
        with Attack(act, *self.SOURCES) as attack:
            self.page(server, 2, 2, s)
            attack.wait(count)
        end()
        self.check_usage(server, before)
        return server

    def connect_and_close(self, source):
        connect_from(source, self.port).close()

    def connect_and_reset(self, source):
        reset(connect_from(source, self.port))

    def test_connecting_and_closing(self):
        server = self.flood(self.connect_and_close)
        self.check_log(server, 5)

    def test_connecting_and_resetting(self):
        server = self.flood(self.connect_and_reset)
        self.check_log(server, 5)

    def test_more_connections_than_an_address_may_have(self):
        held = []

        def hold(source):
            held.append(connect_from(source, self.port))
            if len(held) > 300:
                held.pop(0).close()

        server = self.flood(hold, "--max-per-address", "20",
                            end=lambda: [s.close() for s in held])
        self.assertGreater(self.counters(server)["refused_address"], 0)
        self.check_log(server, 10)

    def test_more_clients_than_there_may_be(self):
        """All addresses together fill all places but the honest client's."""
        server = self.server("-d", "1", "--max-clients", "50",
                             "--max-per-address", "30")
        before = self.usage(server)
        s = self.honest(server)
        held = []
        for source in self.SOURCES:
            held += self.from_(source, 30)
        self.wait_counter(server, "refused", 71)
        self.assertEqual(self._count(server), 50)
        self.assertEqual(self.counters(server)["refused_address"], 0)
        self.page(server, 1, 1, s, lambda: [h.close() for h in held])
        # The last page, which the server keeps, has a descriptor too.
        self.check_usage(server, (before[0] + 1, before[1]))
        self.check_log(server, 3)

    def test_garbage(self):
        def shout(source):
            s = connect_from(source, self.port)
            try:
                s.sendall(b"\x1b[2J\r\n\0" * 2000)
                is_closed(s)
            finally:
                s.close()

        server = self.flood(shout)
        self.assertGreater(self.counters(server)["abused"], 0)
        server.wait_line("sent data that no client sends, and was dropped")
        self.check_log(server, 10)

    def test_megabytes(self):
        def pour(source):
            s = connect_from(source, self.port)
            try:
                for _ in range(256):
                    s.sendall(bytes(65536))
            finally:
                s.close()

        server = self.flood(pour, count=50)
        self.assertGreater(self.counters(server)["abused"], 0)
        self.check_log(server, 10)

    def test_half_closing(self):
        def half_close(source):
            s = connect_from(source, self.port)
            s.shutdown(socket.SHUT_WR)
            # The server serves it during a page; this does not wait for that.
            s.close()

        self.check_log(self.flood(half_close), 5)

    def test_two_hundred_that_never_read(self):
        server = self.server("-d", "2")
        self.page(server, 1, 2)
        before = self.usage(server)
        for source in self.SOURCES:
            self.from_(source, 50, rcvbuf=4096)
        self.wait_clients(server, 200)
        line = self.page(server, 2, 2)
        self.assertIn("1 client reached, 200 lost", line)
        self.assertEqual(self.counters(server)["stuck"], 200)
        self.check_usage(server, before)
        self.check_log(server, 12)


class OneByOne(AbuseCase):
    def test_a_systemd_that_does_not_read_holds_up_nothing(self):
        server = self.server("-d", "3")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filler:
            filler.setblocking(False)
            with self.assertRaises(BlockingIOError):
                while True:
                    filler.sendto(b"STATUS=full", self.notify.path)
        self.page(server, 1, 3)
        self.assertEqual(self.notify.wait(b"STATUS=full"), b"STATUS=full")
        self.notify.wait(b"STATUS=0 clients, 0 pages")

    def test_a_little_may_be_a_mistake_and_much_is_not(self):
        server = self.server("-d", "0.5")
        silent, small, large = self.accepted(server, 3)
        small.sendall(b"x" * 4096)
        large.sendall(b"x" * 4097)
        self.assertTrue(is_closed(large))
        self.wait_counter(server, "abused", 1)
        server.write("\n")
        self.assertEqual(receive_all(small), receive_all(silent))
        server.wait_line("Page 1: .*2 clients reached, 0 lost")

    def test_many_small_pieces_are_much(self):
        server = self.server()
        (s,) = self.accepted(server)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self.assertRaises(ConnectionError):
            while True:
                s.sendall(b"x")
        self.wait_counter(server, "abused", 1)

    def test_a_reset_in_every_state(self):
        server = self.server("-d", "0")
        stays = self.honest(server)
        before = server.fd_count()

        def gone():
            wait_until(lambda: server.fd_count() <= before, "the reset")

        waiting = self.honest(server)
        reset(waiting)
        gone()
        # Connected, and perhaps not yet accepted.
        for _ in range(50):
            reset(connect_from("127.0.0.2", self.port))
        gone()
        on_air, unread, silent = (self.honest(server) for _ in range(3))
        server.write("\n")
        on_air_data = receive(on_air, 30000)
        before = server.fd_count() - 3
        for s in (on_air, unread):
            reset(s)
        silent.sendall(b"x")
        reset(silent)
        gone()
        data = receive(stays, 30000)
        self.assertEqual(data, on_air_data)
        closing = self.honest(server)
        receive(closing, 44)
        server.write("\n")
        # The client has everything; the server waits for it to close.
        receive_all(closing)
        reset(closing)
        data += receive_all(stays)
        self.assertEqual(data[44:], self.sound[:len(data) - 44])
        server.wait_line("Page 1: .* 2 clients reached, 3 lost")
        self.assertEqual(server.count(STRANGERS), 0)

    def test_who_takes_a_page_in_crumbs_does_not_keep_it(self):
        """Otherwise 64 such clients would keep the server from paging."""
        server = self.server("-r", "192000", "-d", "1", "--mode", "store",
                             sound=noise(200000 * FRAME))
        for page in range(1, 4):
            (s,) = self.from_("127.0.0.2", rcvbuf=4096)
            wait_until(lambda: self._count(server) == 1, "the client")
            server.write("\n")
            line = self.eat_slowly(s, server, "Page %d: .*reached" % page)
            self.assertIn("0 clients reached, 1 lost", line)
            # A machine may give this process no time for 10 s: then nothing
            # at all was received, and the attempt is repeated.
            if server.count("took too little of a page and was dropped"):
                break
        self.assertEqual(
            server.count("took too little of a page and was dropped"), 1,
            server.output())
        self.assertEqual(self.counters(server)["stuck"], page)

    def eat_slowly(self, sock, server, pattern):
        end = time.monotonic() + 4 * PATIENCE
        while time.monotonic() < end:
            try:
                sock.recv(512)
            except ConnectionResetError:
                break
            try:
                return server.wait_line(pattern, patience=0.1)
            except AssertionError:
                pass
        return server.wait_line(pattern)


class Files(AbuseCase):
    def test_an_archive_is_not_for_everybody_whatever_the_umask(self):
        server = self.archiving("-d", "0.2", preexec_fn=lambda: os.umask(0))
        self.page(server, 1, 0.2)
        server.wait_line("Archived ")
        (file,) = os.scandir(self.archive)
        self.assertEqual(stat.S_IMODE(file.stat().st_mode), 0o640)

    def test_saving_follows_no_link(self):
        """In a shared directory, somebody may have put a FIFO there."""
        server = self.server("-d", "0.2")
        victim, path = self.path("victim"), self.path("page.wav")
        write_file(victim, "precious")
        os.symlink(victim, path)
        client = self.start([program("intercom-client"), "-D", "null",
                             "--once", "--save", path,
                             "127.0.0.1:%d" % self.port])
        self.press_enter(server)
        self.assertEqual(client.wait(), 0, client.output())
        self.assertFalse(os.path.islink(path))
        self.assertEqual(contents(victim), b"precious")
        with open(path, "rb") as f:
            self.assertEqual(f.read()[44:],
                             self.sound[:page_size(0.2)])


class Tls(TlsCase, AbuseCase):
    def test_one_address_does_not_drive_out_the_handshakes_of_others(self):
        server = self.tls_server("-d", "0.5")
        (slow,) = self.clients(1)
        slow.settimeout(0)
        before = server.fd_count()
        for n in range(4):
            self.from_("127.0.0.2", 100)
            # At most 64 of these may be left.
            wait_until(lambda: server.fd_count() <= before + 64, "the oldest "
                       "to be closed")
            if n == 0:
                self.wait_unproven(server, 1)
            try:
                # Five seconds are over on a slow machine: it was told so.
                self.assertIn(slow.recv(1), (b"", b"\x15"))
                break
            except BlockingIOError:
                pass
        self.assertEqual(self.heard(server, "yard"),
                         self.sound[:page_size(0.5)])
        self.check_log(server, 12)

    def wait_unproven(self, server, count):
        wait_until(lambda: self.counters(server)["unproven"] >= count,
                   "%d strangers" % count)

    def test_garbage_and_resets_in_the_handshake(self):
        server = self.tls_server("-d", "1")
        self.heard(server, "yard")
        before = self.usage(server)

        def babble(source):
            s = connect_from(source, self.port)
            s.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
            reset(s)
            s = connect_from(source, self.port)
            try:
                s.sendall(noise(2000))
                is_closed(s)
            finally:
                s.close()

        with Attack(babble, "127.0.0.2", "127.0.0.3") as attack:
            frames = self.heard(server, "yard")
            attack.wait(200)
        self.assertEqual(frames, self.sound[:page_size(1)])
        self.check_usage(server, before)
        self.assertGreater(self.counters(server)["unproven"], 100)
        self.check_log(server, 15)

    def test_a_name_that_a_terminal_would_obey_is_not_logged(self):
        server = self.tls_server()
        names = ("\x1b[2Jevil", "\x9b31m", "a b", "a\nserver: all is well")
        for n, name in enumerate(names, 1):
            subprocess.run(["openssl", "s_client", "-quiet", "-tls1_3",
                            "-connect", "127.0.0.1:%d" % self.port,
                            "-psk_identity", name, "-psk", self.key("yard")],
                           stdin=subprocess.DEVNULL, capture_output=True,
                           timeout=PATIENCE)
            self.wait_unproven(server, n)
        server.wait_line("there is no key for '\\?'", len(names))
        self.assertNotRegex(server.output(), "evil|well|31m")
        self.check_log(server, 6)


class Bus(BusCase):
    def test_the_status_counts_what_was_turned_away(self):
        self.server("--max-clients", "5", "--max-per-address", "3",
                    zones=("yard",))
        asker = self.client()

        def count(name):
            return asker.call("Status")[0][name]

        held = [connect_from("127.0.0.2", self.ports["yard"])
                for _ in range(4)]
        wait_until(lambda: count("refused_address") == 1, "the address")
        held += [connect_from("127.0.0.3", self.ports["yard"])
                 for _ in range(3)]
        wait_until(lambda: count("refused") == 1, "the total")
        held[0].sendall(bytes(5000))
        wait_until(lambda: count("abused") == 1, "the garbage")
        status = asker.call("Status")[0]
        self.assertEqual(
            {k: status[k] for k in ("max_clients", "max_per_address",
                                    "accepted", "unproven", "stuck")},
            {"max_clients": 5, "max_per_address": 3, "accepted": 5,
             "unproven": 0, "stuck": 0})
        self.assertIn("\n1 turned away: too many\n"
                      "1 turned away: too many from one address\n"
                      "1 dropped: sent data\nZONE ", self.ctl("status"))
        for s in held:
            s.close()


if __name__ == "__main__":
    main()
