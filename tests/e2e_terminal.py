# SPDX-License-Identifier: MIT
"""A person at the server's terminal: the status line, the meter, commands."""
import signal
import subprocess

from e2e_lib import (Card, FRAME, PATIENCE, RATE, free_port, main, noise,
                     page_frames, page_size, program, receive_all, write_file)
from e2e_server import ServerCase


class TerminalCase(ServerCase):
    def at_terminal(self, *args, columns=80, **kwargs):
        """Starts a server whose standard streams are a terminal."""
        env = self.prepare(**kwargs)
        child, self.screen = self.on_terminal(
            [program("intercom-server"), "-D", "card", "-l",
             "127.0.0.1:%d" % self.port, *args], env, columns)
        self.notify.wait(b"READY=1")
        return child

    def one_client_hears(self):
        """Presses Enter with a client connected that closes at the end;
        returns a function that returns what it receives."""
        done = self.collect(self.clients(1), lambda sock: sock.close())
        self.screen.wait("1 client, off air")
        self.screen.type("\n")
        return lambda: done()[0]


class Terminal(TerminalCase):
    def test_the_status_line_counts_clients(self):
        self.at_terminal()
        (first,) = self.clients(1)
        self.screen.wait_shown("^1 client, off air; Enter begins a page$")
        (second,) = self.clients(1)
        self.screen.wait_shown("^2 clients, off air")
        first.close()
        second.close()
        text = self.screen.wait_shown("^0 clients, off air")
        self.assertEqual(text.count("off air"), 1)

    def test_what_is_not_understood_cannot_command_the_terminal(self):
        self.at_terminal()
        # The line editor would echo these: it takes them as they are after ^V.
        self.screen.type("\x16\x1b]0;owned\x16\x07\n")
        self.screen.wait(r"'\?\]0;owned\?' is neither a zone nor a command")
        self.screen.type("play \x16\x1b[2J\x16\u009b\n")
        self.screen.wait(r"Cannot open '\?\[2J\?\?': No such file")

    def test_a_page_of_a_given_length_with_a_meter(self):
        child = self.at_terminal("-d", "1.5", "-V")
        done = self.one_client_hears()
        self.screen.wait_shown("^Page 1 is on the air: speak now$")
        shown = self.screen.wait(
            r"1 client, ON AIR (\d\.\d) s, (\d\.\d) s left "
            r"\[.{30}\] +(-?\d+ dB|CLIP)")
        self.assertAlmostEqual(float(shown[1]) + float(shown[2]),
                               page_frames(1.5) / RATE, delta=0.11)
        self.screen.wait_shown(
            r"Page 1 is on the air: speak now\n"
            r"Page 1: \d+ frames .* 1 client\s+reached, 0 lost, 0 skips, "
            r"0 overruns\nPage 1: 1 player gives no receipts\n"
            r"0 clients, off air; Enter begins a page\n>$")
        self.assertEqual(done()[44:], self.sound[:page_size(1.5)])
        self.assertIsNone(child.poll())

    def test_a_page_without_an_end_is_ended_by_enter(self):
        self.at_terminal("-d", "0")
        done = self.one_client_hears()
        shown = self.screen.wait(r"ON AIR \d+\.\d s\x1b")
        self.assertNotIn(" left", self.screen.text[:shown.end()])
        self.screen.type("\n")
        self.screen.wait(r"Page 1: \d+ frames")
        self.assertEqual((len(done()) - 44) % FRAME, 0)

    def test_a_chime_and_a_slow_card_are_shown(self):
        chime = self.wav_file("chime.wav", noise(3 * RATE * FRAME))
        self.at_terminal(
            "-d", "0", "--chime", chime,
            card=Card(self.folder, "slow", capture=noise(400000),
                      options="open_delay 700"))
        self.screen.type("\n")
        self.screen.wait(r"opening 0\.0 s")
        self.screen.wait_shown("^Page 1: the chime plays, wait for its end$")
        self.screen.wait(r"CHIME \d\.\d s")
        self.screen.wait(r"ON AIR \d\.\d s")

    def test_quiet_draws_nothing(self):
        self.at_terminal("-q", "-d", "0.2")
        (sock,) = self.clients(1)
        self.notify.wait(b"STATUS=1 client, 0 pages")
        self.screen.type("\n")
        self.assertGreater(len(receive_all(sock)), 44)
        self.screen.type("\n\n")
        self.clients(1)
        self.assertNotIn("client", self.screen.text)
        self.assertNotIn("Page", self.screen.text)

    def test_control_d_ends_the_server_after_the_page(self):
        child = self.at_terminal("-d", "1")
        done = self.one_client_hears()
        self.screen.wait("ON AIR")
        self.screen.type("\x04")
        self.assertEqual(done()[44:], self.sound[:page_size(1)])
        self.assertEqual(child.wait(PATIENCE), 0)
        self.screen.wait("Page 1: .* 1 client reached")

    def test_an_interrupt_ends_the_page_and_the_server(self):
        child = self.at_terminal("-d", "0")
        done = self.one_client_hears()
        self.screen.wait("ON AIR")
        child.send_signal(signal.SIGINT)
        self.assertEqual((len(done()) - 44) % FRAME, 0)
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
        self.screen.wait("No page: a page of the same or a higher priority")
        self.screen.type("stop\n")
        self.screen.wait("Page 1: ")
        self.screen.type("help\n")
        self.screen.wait("status +shows zones, clients and pages")
        self.screen.wait(r"help, \? +shows this list")
        said = self.screen.wait("quit .*")
        self.screen.type("?\n")
        self.screen.wait("Enter +begins a page", said.end())
        self.screen.type("zone yard\n")
        self.screen.wait("Page 2 is on the air")
        self.screen.type("zone\n")
        self.screen.wait("'zone' is neither a zone nor a command")
        self.screen.type("status\n")
        self.screen.wait(r"0 connections so far\r\n"
                         r"Zone all: 0 clients\r\n"
                         r"Zone yard: 0 clients\r\n"
                         r"Page 2: speech, \d+\.\d s, 0 clients\r\n")

    def test_it_says_at_its_start_where_it_listens(self):
        self.at_terminal("-l", "yard=localhost:0")
        self.screen.wait("Zone all listens on 127.0.0.1:%d\r\n" % self.port)
        self.screen.wait(r"Zone yard listens on \S+:[1-9]\d*\r\n")
        self.screen.wait("The microphone is 'card': S16_LE, 44100 Hz, "
                         "2 channels\r\n")


    def test_what_is_typed_stays_whatever_is_shown_meanwhile(self):
        self.at_terminal("-d", "0")
        self.screen.wait_shown("off air; Enter begins a page\n>$")
        self.screen.type("yar")
        (client,) = self.clients(1)
        self.screen.wait_shown("^1 client, off air.*\n> yar$")
        client.send(bytes(5000))  # which the log tells
        text = self.screen.wait_shown(
            r"^intercom-server: Client \S+ (?s:.*)\n0 clients, off air.*\n"
            "> yar$")
        self.assertEqual(text.count("off air"), 1)
        self.screen.type("d\n")
        text = self.screen.wait_shown(
            "^> yard\n'yard' is neither a zone nor a command; try help\n"
            "0 clients, off air.*\n>$")
        self.screen.type("\n")
        self.screen.wait_shown("^0 clients, ON AIR.*\n>$")
        self.screen.type("hel")
        self.screen.wait_shown("ON AIR [1-9].*\n> hel$")

    def test_lines_are_not_glued_at_the_bottom_of_the_screen(self):
        self.at_terminal(columns=40)
        for count in range(4):
            self.screen.wait_shown(
                r"\A(?:(?s:.*?)progress\n){%d}((?!progress)(?s:.))*\n?"
                r"0 clients, off air; Enter begins a page\n>\n\Z" % count)
            self.screen.type("help\n")
        self.screen.wait_shown(r"(?:(?s:.*?)progress\n){4}0 clients.*\n>$")
        lines = self.screen.shown()
        self.assertEqual(lines.count("> help"), 4)
        self.assertEqual(lines.count("stop        ends every page"), 4)
        self.assertEqual([l for l in lines if "off air" in l], lines[-2:-1])

    def test_a_narrow_terminal_keeps_the_meter(self):
        loud = b"\xff\x7f" * 88200
        self.at_terminal("-V", "-d", "30", columns=40, sound=loud)
        self.screen.type("\n")
        self.screen.wait_shown(
            r"^0 clients, ON AIR \d\.\d s \[#+\]   CLIP\n>$")
        self.screen.resize(80)
        self.screen.wait(r"ON AIR \d\.\d s, \d+\.\d s left \[#{28,30}\]   CLIP")
        self.screen.resize(20)
        seen = self.screen.wait(r"\r0 clients, ON AIR \d\x1b")
        self.screen.wait(r"\r0 clients, ON AIR \d\x1b", seen.end())

    def test_nothing_is_left_of_the_prompt(self):
        child = self.at_terminal()
        self.screen.wait_shown("^>$")
        self.screen.type("quit\n")
        self.assertEqual(child.wait(PATIENCE), 0)
        self.screen.wait_shown("^> quit$")


class Input(ServerCase):
    def test_a_line_that_is_too_long_is_no_command(self):
        server = self.server("-d", "0.2")
        server.write("x" * 5000)
        server.wait_line("A line of more than 4096 characters is not a "
                         "command")
        # Nor is the rest of it, be it the line that begins a page.
        server.write("\n" + "y" * 4096)
        server.wait_line("A line of more", 2)
        server.write("\nstatus\nquit\n")
        self.assertEqual(server.wait(), 0)
        self.assertEqual(server.count("on the air|neither a zone"), 0)

    def test_commands_may_come_from_a_file(self):
        commands = self.path("commands")
        write_file(commands, "status\nhelp\n")
        with open(commands) as f:
            server = self.server("-d", "0.2", stdin=f)
        self.assertEqual(server.wait(), 0)
        self.assertEqual(server.count(r"^Zone all: 0 clients"), 1)
        self.assertEqual(server.count(r"^quit  "), 1)

    def test_without_a_person_the_log_tells_of_pages(self):
        """Without a terminal and without -i, no commands are read."""
        server = self.server("-v", "-d", "0.2", "--bus", "none",
                             "--idle-exit", "1", interactive=False,
                             stdin=subprocess.DEVNULL)
        server.wait_line(r"Nobody is connected: the server ends")
        self.assertEqual(server.wait(), 0)


if __name__ == "__main__":
    main()
