# SPDX-License-Identifier: MIT
"""A person at the server's terminal: the status line, the meter, commands."""
import os
import pty
import re
import signal
import subprocess
import threading
import time

from e2e_lib import (Card, Notify, PATIENCE, connect, free_port, main, noise,
                     program, receive_all, wav_bytes)
from e2e_server import CHUNK, FRAME, ServerCase


class Screen:
    """The other end of a pseudo-terminal: what was written to it, as text."""

    def __init__(self):
        self.master, self.slave = pty.openpty()
        self.condition = threading.Condition()
        self.text = ""
        self.over = False
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        while True:
            try:
                data = os.read(self.master, 4096)
            except OSError:  # EIO: the last one has closed the terminal
                data = b""
            with self.condition:
                self.text += data.decode(errors="replace")
                self.over = not data
                self.condition.notify_all()
            if not data:
                return

    def type(self, text):
        os.write(self.master, text.encode())

    def wait(self, pattern, beyond=0):
        """The match of what comes after so many characters; and their end."""
        end = time.monotonic() + PATIENCE
        with self.condition:
            while True:
                found = re.compile(pattern).search(self.text, beyond)
                if found:
                    return found
                if self.over or time.monotonic() > end:
                    raise AssertionError("%r does not appear in %r"
                                         % (pattern, self.text))
                self.condition.wait(0.2)

    def close(self):
        """After the programs have ended: else the reader would go on, with
        whatever the descriptor's number then stands for."""
        self.reader.join(PATIENCE)
        os.close(self.master)


class TerminalCase(ServerCase):
    def at_terminal(self, *args, card=None, sound=None):
        """A server whose standard streams are a terminal."""
        self.screen = Screen()
        self.addCleanup(self.screen.close)
        self.sound = noise(400000 * FRAME) if sound is None else sound
        self.card = card or Card(self.folder, "mic", capture=self.sound)
        self.port = free_port()
        self.notify = Notify(self.path("notify"))
        self.addCleanup(self.notify.close)
        env = self.card.env()
        env["NOTIFY_SOCKET"] = self.notify.path
        child = subprocess.Popen(
            [program("intercom-server"), "-D", "card", "-l",
             "127.0.0.1:%d" % self.port, *args], env=env,
            stdin=self.screen.slave, stdout=self.screen.slave,
            stderr=self.screen.slave, start_new_session=True)
        os.close(self.screen.slave)
        self.addCleanup(self.end, child)
        self.notify.wait(b"READY=1")
        return child

    def end(self, child):
        if child.poll() is None:
            child.terminate()
        child.wait(PATIENCE)

    def client(self):
        sock = connect(self.port)
        self.addCleanup(sock.close)
        return sock


class Terminal(TerminalCase):
    def test_the_status_line_counts_clients(self):
        self.at_terminal()
        first = self.client()
        self.screen.wait("\r1 client, off air; Enter begins a page\x1b\\[K")
        second = self.client()
        seen = self.screen.wait("\r2 clients, off air")
        first.close()
        second.close()
        self.screen.wait("\r0 clients, off air", seen.end())

    def test_a_page_of_a_given_length_with_a_meter(self):
        child = self.at_terminal("-d", "1.5", "-V")
        done = self.collect([self.client()])
        self.screen.wait("1 client, off air")
        self.screen.type("\n")
        self.screen.wait(r"Page 1 is on the air: speak now\r\n")
        shown = self.screen.wait(
            r"1 client, ON AIR (\d\.\d) s, (\d\.\d) s left "
            r"\[.{30}\] +(-?\d+) dB")
        self.assertAlmostEqual(float(shown[1]) + float(shown[2]),
                               int(44100 / CHUNK * 1.5) * CHUNK / 44100,
                               delta=0.11)
        # The status line is taken away before this line.
        said = self.screen.wait(r"\r\x1b\[KPage 1: \d+ frames .* 1 client "
                                r"reached, 0 lost, 0 skips, 0 overruns\r\n")
        self.screen.wait("0 clients, off air", said.end())
        self.assertEqual(done()[0][44:],
                         self.sound[:int(44100 / CHUNK * 1.5) * CHUNK * FRAME])
        self.assertIsNone(child.poll())

    def test_a_page_without_an_end_is_ended_by_enter(self):
        self.at_terminal("-d", "0")
        done = self.collect([self.client()])
        self.screen.wait("1 client, off air")
        self.screen.type("\n")
        shown = self.screen.wait(r"ON AIR \d+\.\d s\x1b")
        self.assertNotIn(" left", self.screen.text[:shown.end()])
        self.screen.type("\n")
        self.screen.wait(r"Page 1: \d+ frames")
        self.assertEqual((len(done()[0]) - 44) % FRAME, 0)

    def test_a_chime_and_a_slow_card_are_shown(self):
        chime = self.path("chime.wav")
        with open(chime, "wb") as f:
            f.write(wav_bytes(noise(3 * 44100 * FRAME)))
        self.at_terminal(
            "-d", "0", "--chime", chime,
            card=Card(self.folder, "slow", capture=noise(400000),
                      options="open_delay 700"))
        self.screen.type("\n")
        self.screen.wait(r"opening 0\.0 s")
        self.screen.wait(r"Page 1: the chime goes out, wait for it\r\n")
        self.screen.wait(r"CHIME \d\.\d s")
        self.screen.wait(r"ON AIR \d\.\d s")

    def test_quiet_draws_nothing(self):
        self.at_terminal("-q", "-d", "0.2")
        sock = self.client()
        self.notify.wait(b"STATUS=1 client, 0 pages")
        self.screen.type("\n")
        self.assertGreater(len(receive_all(sock)), 44)
        self.screen.type("\n\n")
        self.client()
        self.assertNotIn("client", self.screen.text)
        self.assertNotIn("Page", self.screen.text)

    def test_control_d_ends_the_server_after_the_page(self):
        child = self.at_terminal("-d", "1")
        done = self.collect([self.client()])
        self.screen.wait("1 client, off air")
        self.screen.type("\n")
        self.screen.wait("ON AIR")
        self.screen.type("\x04")
        self.assertEqual(done()[0][44:],
                         self.sound[:43 * CHUNK * FRAME])
        self.assertEqual(child.wait(PATIENCE), 0)
        self.screen.wait("Page 1: .* 1 client reached")

    def test_an_interrupt_ends_the_page_and_the_server(self):
        child = self.at_terminal("-d", "0")
        done = self.collect([self.client()])
        self.screen.wait("1 client, off air")
        self.screen.type("\n")
        self.screen.wait("ON AIR")
        child.send_signal(signal.SIGINT)
        self.assertEqual((len(done()[0]) - 44) % FRAME, 0)
        self.assertEqual(child.wait(PATIENCE), 0)

    def test_what_is_refused_is_explained(self):
        self.at_terminal("-d", "0", "-l", "yard=127.0.0.1:%d" % free_port())
        self.screen.type("nowhere\n")
        self.screen.wait("'nowhere' is neither a zone nor a command; try help")
        self.screen.type("play %s\n" % self.path("none.wav"))
        self.screen.wait("Cannot open '.*none.wav': No such file or directory")
        self.screen.type("all yard\n")
        self.screen.wait("ON AIR")
        self.screen.type("yard\n")
        self.screen.wait("No page: another page of this or a higher priority")
        self.screen.type("stop\n")
        self.screen.wait("Page 1: ")
        self.screen.type("help\n")
        self.screen.wait("status +shows zones, clients and pages")


class Input(ServerCase):
    def test_a_line_that_is_too_long_is_no_command(self):
        server = self.server("-d", "0.2")
        server.write("x" * 5000)
        server.wait_line("A line of more than 4096 characters is no command")
        server.write("\n")  # the rest of it is the name of no zone
        server.wait_line("'x+' is neither a zone nor a command")
        server.write("quit\n")
        self.assertEqual(server.wait(), 0)

    def test_commands_may_come_from_a_file(self):
        commands = self.path("commands")
        with open(commands, "w") as f:
            f.write("status\nhelp\n")
        with open(commands) as f:
            server = self.server("-d", "0.2", stdin=f)
        self.assertEqual(server.wait(), 0)
        self.assertEqual(server.count(r"^Zone all: 0 clients"), 1)
        self.assertEqual(server.count(r"^quit  "), 1)

    def test_without_a_person_the_log_tells_of_pages(self):
        """With commands neither on a terminal nor asked for."""
        server = self.server("-v", "-d", "0.2", "--bus", "none",
                             "--idle-exit", "1", interactive=False,
                             stdin=subprocess.DEVNULL)
        server.wait_line(r"Nobody is connected: the server ends")
        self.assertEqual(server.wait(), 0)


if __name__ == "__main__":
    main()
