# SPDX-License-Identifier: MIT
"""Version 1.0 beside this one, and plain players and servers beside both: who
meets whom, as pages of each kind, with and without keys.

OLD_BUILDDIR has the programs of version 1.0: scripts/test --old builds them.
"""
import fcntl
import os
import socket
import struct
import subprocess
import threading
import time
import wave

from dbus_client import Variant
from e2e_client import ENDLESS, ClientCase, Live, header
from e2e_lib import (Card, FRAME, PATIENCE, RATE, connect, contents, free_port,
                     helped_options, in_time, main, noise, program, receive,
                     receive_all, wait_until, wav_bytes, without_page_chunk,
                     write_file)
from e2e_played import PlayedCase
from e2e_tls import TlsCase

TIMES = 2  # pages of each cell: the first one has an end, and a next one
PLAYED_S = 1.5
# Of those that take a zone from each other, and of their header.
PLAYED_RATE, PLAYED_FRAME, HEAD_SIZE = 8000, 2, 76
# How a server makes a page of each kind.
KINDS = {
    "live": ("-d", "0.5"),
    "spoken": ("-d", "0"),  # its header states no size
    "stored": ("-d", "0.5", "--mode", "store"),
    "played": (),
}
# Those that a version has an option for.
OPTIONAL_KINDS = {
    "synchronous": ("sync", ("-d", "0.5", "--sync")),
}


def versioned(version, name):
    """A program of this version, "new", or of 1.0, "old"."""
    return program(name) if version == "new" else \
        os.path.join(os.environ["OLD_BUILDDIR"], name)


class Program:
    """intercom-client of either version on a card of its own."""

    def __init__(self, case, version, port, *args, card_options=""):
        self.version = version
        self.card = Card(case.folder, version, options=card_options)
        self.heard = 0
        self.count = 0
        self.process = case.start(
            [versioned(version, "intercom-client"), "-v", "-D", "card", *args,
             "127.0.0.1:%d" % port], env=self.card.env())

    def begin(self):
        """Nothing: it stays, and connects again by itself."""

    def check(self, case, frames):
        """It has heard the next page, and of that all."""
        self.count += 1
        line = self.process.wait_line("ended \\(", self.count)
        case.assertRegex(
            line, "\\(complete\\): %d frames .* 0 xruns, 0 starvations "
            "\\(0 ms\\), 0 ms dropped, 0 card losses$"
            % (len(frames) // FRAME))
        sound = self.card.sound()
        if ", in step" in line:
            # It follows the server's clock, and no sample is what it was.
            case.assertGreater(len(sound) - self.heard, 0.99 * len(frames))
            self.heard = len(sound)
            return
        at = sound.find(frames, self.heard)
        case.assertGreaterEqual(at, 0, "not all of it was heard: " + line)
        case.assertFalse(any(sound[self.heard:at]), "more was heard")
        self.heard = at + len(frames)


class Netcat:
    """nc, into a file."""
    version = "plain"

    def __init__(self, case, version, port, *args):
        self.case, self.port = case, port
        self.path = case.path("netcat-%d.wav" % port)

    def begin(self):
        self.process = self.case.start(
            ["sh", "-c", "exec nc -d 127.0.0.1 %d >'%s'"
             % (self.port, self.path)])

    def check(self, case, frames):
        case.assertEqual(self.process.wait(), 0, self.process.output())
        data = contents(self.path)
        if b"page" in data[:100]:
            data = without_page_chunk(data)
        case.assertTrue(data[44:] == frames, "not all of it has come")


class Wave:
    """Python's wave, on the socket."""
    version = "plain"

    def __init__(self, case, version, port, *args):
        self.port = port

    def begin(self):
        self.socket = connect(self.port)
        self.frames = b""
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        with self.socket as s, s.makefile("rb") as f, wave.open(f) as w:
            # It believes a size of 0xFFFFFFFF, and reads to the end.
            while True:
                frames = w.readframes(4096)
                if not frames:
                    return
                self.frames += frames

    def check(self, case, frames):
        self.thread.join(PATIENCE)
        case.assertTrue(self.frames == frames, "not all of it has come")


CLIENTS = {"new": Program, "old": Program, "netcat": Netcat, "wave": Wave}


def each_cell(servers, clients, kinds):
    """Makes tests of a class's method check_cell(), one for each cell."""
    def decorate(case):
        for server in servers:
            for client in clients:
                for kind in kinds(server):
                    add_cell(case, server, client, kind)
        return case
    return decorate


def add_cell(case, *cell):
    def test(self):
        self.check_cell(*cell)
    test.__name__ = "test_%s_server_%s_client_%s" % cell
    setattr(case, test.__name__, in_time(test))


def kinds_of(version):
    """The kinds of pages that a version makes, and how."""
    options = helped_options(versioned(version, "intercom-server"))
    return {**KINDS, **{kind: args for kind, (option, args)
                        in OPTIONAL_KINDS.items() if option in options}}


class TogetherCase(TlsCase):
    """A server of either version, whose archive has what was paged."""
    secret = False

    def serve(self, version, *args):
        env = self.prepare()
        self.archive = self.path("archive")
        os.mkdir(self.archive)
        self.kept = set()
        server = self.start(
            [versioned(version, "intercom-server"), "-v", "-i", "-D", "card",
             "-l", "127.0.0.1:%d" % self.port, "--archive", self.archive,
             *self.server_keys(), *args], env=env, stdin=subprocess.PIPE)
        self.notify.wait(b"READY=1")
        return server

    def server_keys(self):
        """Keys as version 1.0 makes them, for the server."""
        if not self.secret:
            return ()
        subprocess.run([versioned("old", "intercomctl"), "keygen",
                        "--psk-file", self.path("server.psk"), "hall"],
                       check=True, capture_output=True, timeout=PATIENCE)
        return "--psk-file", self.path("server.psk")

    def client_keys(self):
        return ("--psk-file", self.path("hall.psk")) if self.secret else ()

    def wait_came(self, server, count):
        """Until so many have come so far; version 1.0 counts one that leaves as
        a client still."""
        wait_until(lambda: server.write("status\n") or server.count(
            "Clients: %d came|^%d connections? so far" % (count, count)),
            "connection %d" % count)

    def page(self, server, kind, number):
        """Makes a page of that kind; returns its frames."""
        if kind == "played":
            frames = noise(int(PLAYED_S * RATE) * FRAME, seed=number)
            path = self.wav_file("play-%d.wav" % number, frames)
            server.write("play %s\n" % path)
        else:
            frames = self.sound
            server.write("\n")
        if kind == "spoken":
            server.wait_line("is on the air", number)
            time.sleep(0.5)  # of speech
            server.write("\n")
        server.wait_line("Page %d: .*reached" % number)
        kept = self.archived()
        if kind in KINDS:
            # In step with others, it need not be the microphone's to the bit.
            self.assertTrue(kept and kept in frames, "another sound")
        return kept

    def archived(self):
        """The frames of the page that the archive has more than before."""
        def new():
            return {name for name in os.listdir(self.archive)
                    if name.endswith(".wav") and name[0] != "."} - self.kept
        (name,) = wait_until(new, "the page in the archive")
        self.kept.add(name)
        return self.frames_of(os.path.join(self.archive, name))

    def check_cell(self, server_version, client_name, kind):
        args = kinds_of(server_version)[kind]
        server = self.serve(server_version, *args)
        client = CLIENTS[client_name](self, client_name, self.port,
                                      *self.client_keys())
        for number in range(1, TIMES + 1):
            client.begin()
            self.wait_came(server, number)
            frames = self.page(server, kind, number)
            self.assertIn("1 client reached, 0 lost", server.wait_line(
                "Page %d: .*reached" % number))
            client.check(self, frames)
            if (client.version, kind) == ("new", "synchronous"):
                client.process.wait_line("ended .*, in step", number)
            if server_version == "new":
                self.check_receipt(server, client.version, number,
                                   len(frames) // FRAME)
        # Neither server takes offence at what a client says.
        server.write("status\nquit\n")
        self.assertEqual(server.wait(), 0)
        self.assertEqual(server.count(
            "[1-9]\\d* (dropped: sent|that sent) data"), 0)

    def check_receipt(self, server, version, number, frames):
        if version == "new":
            server.wait_line("receipt of 127.0.0.1:\\d+: complete, %d frames "
                             "heard" % frames, number)
        else:
            server.wait_line("no receipt of 127.0.0.1:\\d+: it closed", number)


def socket_count(process):
    """How many it has; one that is closed meanwhile does not matter."""
    folder = "/proc/%d/fd" % process.pid
    return sum("socket:" in os.path.realpath(os.path.join(folder, fd))
               for fd in os.listdir(folder))


@each_cell(["new", "old"], CLIENTS, kinds_of)
class Plain(TogetherCase):
    """Without keys."""

    @in_time
    def test_a_receipt_that_meets_a_close(self):
        """Version 1.0 closes a second after all has arrived."""
        server = self.serve("old", *KINDS["live"])
        client = Program(self, "new", self.port, card_options="delay 2500")
        self.wait_came(server, 1)
        waiting = socket_count(server)
        for number in range(1, TIMES + 1):
            frames = self.page(server, "live", number)
            # Only the connection for the next page is left.
            self.wait_came(server, number + 1)
            wait_until(lambda: socket_count(server) <= waiting, "the close")
            self.assertEqual(client.process.count("ended \\("), number - 1)
            client.check(self, frames)


@each_cell(["new", "old"], ["new", "old"], kinds_of)
class Secret(TogetherCase):
    """With keys, where both can."""
    secret = True


# What a plain server does after the last byte.

def close(connection):
    connection.close()


def half_close(connection):
    """Waits until the client has closed too; it may say something."""
    connection.shutdown(socket.SHUT_WR)
    receive_all(connection)
    connection.close()


def reset(connection):
    """Once the client has taken everything, the end included."""
    connection.shutdown(socket.SHUT_WR)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                          struct.pack("ii", 1, 0))
    wait_until(lambda: not is_unacknowledged(connection), "the client")
    connection.close()


def is_unacknowledged(connection):
    """Whether something is on its way, be it only the end."""
    queued, = struct.unpack("i", fcntl.ioctl(connection, 0x5411, bytes(4)))
    state = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    return queued > 0 or state == 4  # SIOCOUTQ, TCP_FIN_WAIT1


def endless(frames):
    """A file of no stated size, as a pipe would write it."""
    return header(ENDLESS) + frames


FILES = {"stored": wav_bytes, "played": endless}
ENDS = {"close": close, "half_close": half_close, "reset": reset}


@each_cell([*ENDS, "netcat"], ["new", "old"],
           lambda server: FILES if server == "netcat" else ["live", *FILES])
class PlainServer(ClientCase):
    """A server of ten lines, or nc with a file."""

    def check_cell(self, server_name, client_name, kind):
        port = free_port()
        listener = self.server(port) if server_name in ENDS else None
        client = Program(self, client_name, port)
        for number in range(1, TIMES + 1):
            frames = noise(RATE // 2 * FRAME, seed=number)
            if listener:
                connection = listener.accept()
                self.send(connection, kind, frames)
                ENDS[server_name](connection)
            else:
                self.serve_file(port, FILES[kind](frames))
            client.check(self, frames)

    def send(self, connection, kind, frames):
        if kind == "live":
            Live(connection, frames, close=False).join(PATIENCE)
        else:
            connection.sendall(FILES[kind](frames))

    def serve_file(self, port, data):
        path = self.path("page.wav")
        write_file(path, data)
        nc = self.start(["sh", "-c", "exec nc -N -l 127.0.0.1 %d <'%s'"
                         % (port, path)])
        self.assertEqual(nc.wait(), 0, nc.output())


class Taker(threading.Thread):
    """A plain player that takes page after page."""

    def __init__(self, port, host="127.0.0.1"):
        super().__init__(daemon=True)
        self.address = port, host
        self.pages = []
        self.begun = []  # when the first frame of each came
        self.start()

    def run(self):
        while True:
            with connect(*self.address) as s:
                try:
                    head = receive(s, HEAD_SIZE + PLAYED_FRAME)
                except (AssertionError, ConnectionError):
                    return  # the server has ended
                self.begun.append(time.monotonic())
                self.pages.append(head[HEAD_SIZE:])
                self.pages[-1] += receive_all(s)


class Preemption(PlayedCase):
    """A recording takes the zone from another one. Who is not known to be of
    this version has heard no more of that than was due, and all of the new one
    at once."""

    def setUp(self):
        super().setUp()
        self.low, self.low_sound = self.recording(20, 1)
        self.high, self.high_sound = self.recording(2, 2)

    def program(self, version, address):
        """A client, and its card."""
        card = Card(self.folder, version)
        before = self.connected()
        client = self.start([versioned(version, "intercom-client"), "-v",
                             "-D", "card", address], env=card.env())
        wait_until(lambda: self.connected() > before, version)
        return client, card

    def taker(self, *address):
        before = self.connected()
        taker = Taker(*address)
        wait_until(lambda: self.connected() > before, "the player")
        return taker

    def preempt(self):
        """Plays the one, and after 3 seconds the other."""
        caller = self.listener()
        low = caller.play(self.opened(self.low), priority=Variant("i", 1))
        wait_until(lambda: any(page["seconds"] > 3 for page in self.pages()),
                   "some of the first page")
        self.asked = time.monotonic()
        caller.play(self.opened(self.high), priority=Variant("i", 9))
        self.due = caller.wait_signal("PageEnded", lambda b: b[0] == low)[2]
        caller.wait_signal("PageEnded", lambda b: b[0] == low + 1)

    def check_begin(self, when):
        print("begins %.3f s after it was asked for" % (when - self.asked))
        self.assertLess(when - self.asked, 0.5)

    def check_program(self, client, card):
        client.wait_line("ended \\(complete\\)")
        sound = card.sound()
        first = len(os.path.commonprefix([sound, self.low_sound]))
        self.assertGreater(first, 2 * PLAYED_RATE * PLAYED_FRAME)
        self.assertLessEqual(first // PLAYED_FRAME, self.due)
        at = sound.find(self.high_sound, first)
        self.assertGreaterEqual(at, 0, "not all of it was heard")
        self.check_begin(played_at(card, at // PLAYED_FRAME))

    def check_taker(self, taker, due):
        """DUE are the frames that it may have of the first page."""
        low, high = wait_until(
            lambda: len(taker.pages) == 2 and
            len(taker.pages[1]) >= len(self.high_sound) and taker.pages,
            "both pages")
        self.assertTrue(self.low_sound.startswith(low), "another sound")
        self.assertIn(len(low) // PLAYED_FRAME, due)
        self.assertTrue(high == self.high_sound, "not all of it has come")
        self.check_begin(taker.begun[1])

    @in_time
    def test_at_an_old_client(self):
        client, card = self.program("old", "127.0.0.1:%d" % self.ports["lobby"])
        self.preempt()
        self.check_program(client, card)

    @in_time
    def test_at_a_plain_player(self):
        taker = self.taker(self.ports["lobby"])
        self.preempt()
        self.check_taker(taker, range(self.due + 1))


class Beside(Preemption):
    """The same, beside a loudspeaker of this version that is sent them early;
    it has an address and a zone of its own."""

    def setUp(self):
        super().setUp()
        self.program("new", "[::1]:%d" % self.port)
        self.make_known()
        # Of an address that is known, and so a witness of what is sent there.
        self.early = self.taker(self.port, "::1")

    def server(self, *args, **kwargs):
        self.port = free_port(socket.AF_INET6)
        return super().server("-l", "early=[::1]:%d" % self.port, *args,
                              **kwargs)

    def preempt(self):
        super().preempt()
        self.check_taker(self.early, range(self.due + PLAYED_RATE,
                                           self.due + 3 * PLAYED_RATE))


def played_at(card, position):
    """When the card has played that frame, in seconds of CLOCK_MONOTONIC."""
    for line in contents(card.log).decode().splitlines():
        if line[0] != "#":
            begin, count, when = map(int, line.split())
            if begin <= position < begin + count:
                return when / 1e9 + (position - begin) / PLAYED_RATE
    raise AssertionError("frame %d was not played" % position)


if __name__ == "__main__":
    main()
