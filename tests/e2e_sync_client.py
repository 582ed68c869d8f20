# SPDX-License-Identifier: MIT
"""intercom-client and pages that say when they shall sound. How well it keeps to
that is measured by bench/skew; here is what becomes of each page, and why."""
import os
import re
import socket
import struct
import subprocess
import threading
import time

from e2e_client import ENDLESS, ClientCase, Live, header, samples
from e2e_lib import (Card, FRAME, RATE, contents, free_port, in_time, main,
                     noise, preload, program, receive_all, wait_until,
                     write_file)

PLAYED, SCHEDULE, TRUSTED, REAL_TIME = 1, 2, 4, 8
LIVE = SCHEDULE | REAL_TIME
# What chronyd has the kernel know: STA_PLL | STA_NANO, 20 us.
SYNCHRONISED, UNSYNCHRONISED = "0x2001 20", "0x0040 16000000"
IN_STEP = r"The page is (?:timed|not in step)"
CLICK = 8  # frames


def page_header(size, flags, sound_ns, budget_us, ahead_us=0, error_us=20):
    chunk = b"page" + struct.pack("<IBBHIqII", 24, 1, flags, 0, error_us,
                                  sound_ns, budget_us, ahead_us)
    plain = header(size)
    riff = size if size == ENDLESS else size + 36 + len(chunk)
    return (plain[:4] + struct.pack("<I", riff) + plain[8:36] + chunk +
            plain[36:])


class Scheduled(threading.Thread):
    """Sends a page with a schedule to several connections, in real time, or a
    stored one at once."""

    def __init__(self, connections, data, flags=LIVE, budget=0.12, away=0.0,
                 lead=0.0, chunk=1024, gap=None, at=None):
        super().__init__(daemon=True)
        self.connections = connections
        self.data = data
        self.flags = flags
        self.budget = budget
        self.away = away  # s by which the wall clock here is ahead
        self.lead = lead if flags & PLAYED else 0
        self.chunk = chunk * FRAME
        self.gap = gap or (0, 0)  # when, and for how long nothing is sent
        self.at = at or {}  # s: what to do then
        self.receipts = []
        self.start()

    def due(self, sent):
        if not self.flags & REAL_TIME:
            return 0
        at = sent / FRAME / RATE
        due = max(min(at, 0.2 + (at - 0.2) / 1.5), at - self.lead) \
            if self.lead else at
        return sum(self.gap) if self.gap[0] <= due < sum(self.gap) else due

    def run(self):
        begun, now = time.monotonic(), time.time_ns()
        sound = now + int((self.budget + self.away) * 1e9)
        for connection in self.connections:
            connection.sendall(page_header(
                len(self.data), self.flags, sound, int(self.budget * 1e6),
                int(self.lead * 1e6)))
        for sent in range(0, len(self.data), self.chunk):
            piece = self.data[sent:sent + self.chunk]
            wait = begun + self.due(sent + len(piece)) - time.monotonic()
            if wait > 0:
                time.sleep(wait)  # the pace of the page
            for when in sorted(self.at):
                if self.due(sent) >= when:
                    self.at.pop(when)()
            for connection in self.connections:
                connection.sendall(piece)
        for connection in self.connections:
            connection.shutdown(socket.SHUT_WR)
        for connection in self.connections:
            self.receipts.append(receive_all(connection).decode())


def clicks(seconds):
    """A click in the middle of each of them."""
    data = bytearray(seconds * RATE * FRAME)
    for second in range(seconds):
        at = (second * RATE + RATE // 2) * FRAME
        data[at:at + CLICK * FRAME] = b"\xff\x7f" * (CLICK * FRAME // 2)
    return bytes(data)


def count_clicks(sound):
    loud = [i for i, value in enumerate(samples(sound)) if value > 16000]
    return sum(1 for i, at in enumerate(loud)
               if i == 0 or at - loud[i - 1] > RATE // 10)


class SyncCase(ClientCase):
    def setUp(self):
        super().setUp()
        self.clocks(SYNCHRONISED)

    def clocks(self, text, folder=""):
        """What the kernel says of the client's wall clock from now on."""
        write_file(self.path(os.path.join(folder, "adjtimex")), text)

    def new_clock(self, name, text=SYNCHRONISED):
        """The environment of a program with a wall clock of its own."""
        os.mkdir(self.path(name))
        self.clocks(text, name)
        return preload("vclock.so", VCLOCK=self.path(name))

    def set_clock(self, name, seconds):
        """It is that much ahead from now on, at once."""
        path = self.path(name + "/realtime")
        write_file(path + ".new", "%g\n" % seconds)
        os.rename(path + ".new", path)

    def card(self, name="card", options="drift 100", **kwargs):
        return Card(self.folder, name, options=options, patient=False,
                    **kwargs)

    def listening(self, *args, card=None, **kwargs):
        card = card or self.card()
        server = self.server()
        client = self.client(card, *args, server.name, env=preload(
            "vclock.so", VCLOCK=self.folder), **kwargs)
        return card, server, client

    def assert_way(self, client, pattern, page=1):
        """One line for each page tells by what it is timed, or why not."""
        client.wait_line("ended \\(", page)
        self.assertRegex(client.wait_line(IN_STEP, page), pattern)
        self.assertEqual(client.count(IN_STEP), page, client.output())

    def assert_complete(self, client, page=1):
        counters = self.counters(client.wait_line("ended \\(", page))
        self.assertEqual(counters["result"], "complete", client.output())
        return counters

    def assert_whole(self, client, page=1):
        """Every frame was heard, and on schedule. A card that begins some
        frames late, on a slow machine, has them jumped over."""
        counters = self.assert_complete(client, page)
        line = client.wait_line("ended \\(", page)
        self.assertEqual(counters["dropped_ms"], 0, line)
        heard = re.search(r"\(([\d.]+) s, ([\d.]+) s heard\)", line)
        self.assertTrue(heard is None or heard[1] == heard[2], line)
        self.assertRegex(line, r"in step within \d+ us")
        self.assertEqual(client.count("out of step"), 0, client.output())


class OnSchedule(SyncCase):
    @in_time
    def test_by_the_wall_clocks(self):
        server = self.server()
        cards = [self.card("fast", "drift 100"), self.card("slow", "drift -100")]
        clients = [self.client(card, server.name, env=preload(
            "vclock.so", VCLOCK=self.folder)) for card in cards]
        page = Scheduled([server.accept() for _ in clients], clicks(4),
                         LIVE | TRUSTED)
        for card, client in zip(cards, clients):
            self.assert_whole(client)
            self.assert_way(client, "by the wall clocks, which are within 40 us")
            self.assertEqual(count_clicks(card.sound()), 4)
        page.join()
        for receipt in page.receipts:
            self.assertRegex(receipt, r" sync_us=\d+ ")

    @in_time
    def test_by_arrivals_when_the_server_has_no_clock(self):
        card, server, client = self.listening()
        Scheduled([server.accept()], clicks(3))
        self.assert_whole(client)
        self.assert_way(client, "by when it arrives: the server's clock is not")
        self.assertEqual(count_clicks(card.sound()), 3)

    @in_time
    def test_by_arrivals_when_this_machine_has_no_clock(self):
        self.clocks(UNSYNCHRONISED)
        card, server, client = self.listening()
        Scheduled([server.accept()], clicks(3), LIVE | TRUSTED)
        self.assert_whole(client)
        self.assert_way(client, "by when it arrives: this machine's clock is")
        self.assertEqual(count_clicks(card.sound()), 3)

    @in_time
    def test_clocks_that_disagree_are_believed_neither_then_nor_next_time(self):
        card, server, client = self.listening()
        Scheduled([server.accept()], clicks(2), LIVE | TRUSTED, away=-0.05)
        self.assert_whole(client)
        self.assertRegex(client.wait_line(IN_STEP), "by the wall clocks")
        self.assertRegex(client.wait_line(IN_STEP, 2),
                         "by when it arrives: the clocks disagree")
        Scheduled([server.accept()], clicks(2), LIVE | TRUSTED, away=-0.05)
        self.assert_whole(client, 2)
        self.assertRegex(client.wait_line(IN_STEP, 3), "the last page has shown")
        self.assertEqual(client.count(IN_STEP), 3)
        self.assertEqual(count_clicks(card.sound()), 4)

    @in_time
    def test_clocks_that_are_seconds_apart(self):
        card, server, client = self.listening()
        Scheduled([server.accept()], clicks(2), LIVE | TRUSTED, away=6)
        self.assert_whole(client)
        self.assert_way(client, "by when it arrives: the clocks are seconds")

    @in_time
    def test_a_played_page_and_a_stored_one(self):
        card, server, client = self.listening()
        Scheduled([server.accept()], clicks(5), LIVE | TRUSTED | PLAYED, lead=2)
        self.assert_whole(client)
        Scheduled([server.accept()], clicks(2), SCHEDULE | TRUSTED)
        self.assert_whole(client, 2)
        self.assert_way(client, "by the wall clocks", 2)
        self.assertEqual(count_clicks(card.sound()), 7)

    @in_time
    def test_a_card_that_tells_its_position_in_steps(self):
        card, server, client = self.listening(
            card=self.card(options="drift -100 step 48"))
        Scheduled([server.accept()], clicks(3), LIVE | TRUSTED)
        self.assert_whole(client)
        self.assertEqual(count_clicks(card.sound()), 3)

    @in_time
    def test_a_card_that_tells_its_position_once_a_period(self):
        """Its periods are short, however much time there is."""
        card, server, client = self.listening(
            card=self.card(options="drift -100 step -1"))
        Scheduled([server.accept()], clicks(3), LIVE | TRUSTED, budget=0.5)
        self.assert_whole(client)
        self.assertEqual(count_clicks(card.sound()), 3)

    @in_time
    def test_a_short_time_from_capture_to_sound(self):
        card, server, client = self.listening()
        Scheduled([server.accept()], clicks(2), LIVE | TRUSTED, budget=0.04,
                  chunk=256)
        self.assert_whole(client)

    @in_time
    def test_a_delay_that_is_negative(self):
        card, server, client = self.listening("--delay", "-20.5")
        Scheduled([server.accept()], clicks(2), LIVE | TRUSTED)
        self.assert_whole(client)

    @in_time
    def test_the_cards_rate_is_kept(self):
        card, server, client = self.listening()
        Scheduled([server.accept()], clicks(5), LIVE | TRUSTED)
        self.assert_whole(client)
        kept = self.path("state/alsa-intercom/card-rate-card")
        wait_until(lambda: os.path.exists(kept), kept)
        ppm = float(re.fullmatch(rb"intercom-card-rate 1 ppm=(\S+)\n",
                                 contents(kept)).group(1))
        self.assertGreater(ppm, 0)  # it is 100


class Interrupted(SyncCase):
    @in_time
    def test_an_xrun(self):
        card, server, client = self.listening()
        Scheduled([server.accept()], clicks(4), LIVE | TRUSTED,
                  at={1.2: lambda: card.set("xrun")})
        counters = self.assert_complete(client)
        self.assertEqual(counters["xruns"], 1)
        self.assertEqual(client.count("out of step"), 0, client.output())
        self.assertEqual(count_clicks(card.sound()), 4)

    @in_time
    def test_a_gap_in_the_network(self):
        card, server, client = self.listening()
        Scheduled([server.accept()], clicks(4), LIVE | TRUSTED, gap=(1.7, 0.5))
        counters = self.assert_complete(client)
        self.assertEqual(counters["starvations"], 1)
        self.assertGreater(counters["dropped_ms"], 0)  # what was late then
        self.assertEqual(client.count("out of step"), 0, client.output())
        self.assertEqual(count_clicks(card.sound()), 4)

    @in_time
    def test_a_gap_in_a_played_page_costs_no_frame(self):
        card, server, client = self.listening()
        Scheduled([server.accept()], clicks(5), LIVE | TRUSTED | PLAYED,
                  gap=(1.7, 0.5))
        self.assert_whole(client)
        self.assertEqual(count_clicks(card.sound()), 5)

    @in_time
    def test_a_card_that_is_lost_and_comes_back(self):
        card, server, client = self.listening()
        Scheduled([server.accept()], clicks(6), LIVE | TRUSTED,
                  at={1.2: lambda: card.set("unplugged"),
                      1.4: lambda: card.clear("unplugged")})
        client.wait_line("is lost")
        counters = self.assert_complete(client)
        self.assertEqual(counters["losses"], 1)
        self.assertEqual(client.count("out of step"), 0, client.output())
        self.assertGreaterEqual(count_clicks(card.sound()), 4)


    @in_time
    def test_wall_clocks_that_step(self):
        """In the middle of a page, by the clocks or not, it does nothing; the
        next pages do not believe what has become of the clocks."""
        server = self.server()
        ways = (("ahead", 3, SYNCHRONISED), ("back", -3, SYNCHRONISED),
                ("unsynchronised", 3, UNSYNCHRONISED))
        cards = [self.card(name) for name, _, _ in ways]
        clients = [self.client(card, server.name,
                               env=self.new_clock(name + "-clock", text))
                   for card, (name, _, text) in zip(cards, ways)]

        def page(number, scale):
            def step():
                for name, seconds, _ in ways:
                    self.set_clock(name + "-clock", seconds * scale)
            Scheduled([server.accept() for _ in clients], clicks(2),
                      LIVE | TRUSTED, at={0.9: step})
            for client in clients:
                self.assert_whole(client, number)
                self.assertNotRegex(client.wait_line("ended \\(", number),
                                    "[1-9] (xrun|starvation)")

        page(1, 1)
        for client in clients[:2]:
            self.assertEqual(client.count("by the wall clocks"), 1)
        page(2, 0)  # and back
        for client in clients[:2]:
            client.wait_line("by when it arrives: the clocks disagree")
        for client, card in zip(clients, cards):
            self.assertEqual(client.count(IN_STEP),
                             2 if client == clients[2] else 3)
            self.assertEqual(count_clicks(card.sound()), 4)

    @in_time
    def test_two_servers_of_which_one_has_no_schedule(self):
        """The page is in step again after others, in step or not, have had the
        loudspeaker."""
        first, second = self.server(), self.server()
        card = self.card()
        client = self.client(card, first.name, second.name, env=preload(
            "vclock.so", VCLOCK=self.folder))
        before = [first.accept()]
        plain = clicks(1)
        Scheduled([second.accept()], clicks(7), LIVE | TRUSTED, at={
            1.2: lambda: Live(before[0], plain, stated=len(plain)),
            4.2: lambda: Scheduled([first.accept()], clicks(1),
                                   LIVE | TRUSTED)})
        client.wait_line(r"ended \(complete\)", 3)
        ends = [line for line in client.output().splitlines()
                if " ended (" in line]
        self.assertEqual(
            [re.search(r"ended \((\S+)\)", line)[1] for line in ends],
            ["taken-over", "complete", "taken-over", "complete", "complete"])
        self.assertEqual(["in step within" in line for line in ends],
                         [True, False, True, True, True], client.output())
        self.assertEqual(client.count("by the wall clocks"), 4)
        self.assertEqual(client.count("out of step"), 0, client.output())


class Real(SyncCase):
    """With the server's own schedule, keys and zones."""

    def prepare(self, *names):
        for name in names:
            os.mkdir(self.path(name))
        keys = self.start([program("intercomctl"), "keygen", "--psk-file",
                           self.path("server.psk"), *names])
        self.assertEqual(keys.wait(), 0, keys.output())
        self.ports = {zone: free_port() for zone in ("lobby", "yard")}
        microphone = Card(self.folder, "mic", capture="clicks 1",
                          patient=False)
        zones = [word for zone, port in self.ports.items() for word in (
            "-l", "%s=127.0.0.1:%d" % (zone, port))]
        server = self.start(
            [program("intercom-server"), "-D", "card", "-i", "-d", "0",
             "--sync", "--psk-file", self.path("server.psk"), *zones],
            stdin=subprocess.PIPE, env={
                **microphone.env(), **self.new_clock("server-clock")})
        server.wait_line("this machine's clock is right to about 20 us")
        return server

    def loudspeaker(self, name, zone, text=SYNCHRONISED):
        card = self.card(name)
        client = self.client(
            card, "--psk-file", self.path(name + ".psk"),
            "127.0.0.1:%d" % self.ports[zone],
            env=self.new_clock(name + "-clock", text))
        return card, client

    @in_time
    def test_zones_with_keys_and_who_comes_late(self):
        server = self.prepare("hall", "gym", "late")
        hall = self.loudspeaker("hall", "lobby")
        gym = self.loudspeaker("gym", "yard", UNSYNCHRONISED)
        for _, client in hall, gym:
            client.wait_line("waiting for a page")
        server.write("\n")
        wait_until(lambda: count_clicks(hall[0].sound()), "a click")
        # The page keeps the moments that it began with.
        self.set_clock("server-clock", 2)
        late = self.loudspeaker("late", "yard")
        wait_until(lambda: count_clicks(late[0].sound()), "a click")
        server.write("\n")
        for _, client in hall, gym, late:
            self.assert_whole(client)
        self.assert_way(hall[1], "by the wall clocks, which are within 40 us")
        self.assert_way(gym[1], "by when it arrives: this machine's clock is")
        self.assert_way(late[1], "by the wall clocks, which are within 40 us")
        server.wait_line("heard all of it")


class NotOnSchedule(SyncCase):
    """The page is played as it was before there were schedules: bit by bit."""

    def assert_untouched(self, client, card, data):
        self.assert_complete(client)
        self.assertTrue(data in card.sound())
        self.assertNotRegex(client.wait_line("ended \\("), "in step")

    def test_no_sync(self):
        card, server, client = self.listening("--no-sync")
        data = noise(RATE * FRAME * 2)
        Scheduled([server.accept()], data, LIVE | TRUSTED)
        self.assert_untouched(client, card, data)
        self.assertEqual(client.count(IN_STEP), 0)

    def test_a_stored_page_without_clocks(self):
        self.clocks(UNSYNCHRONISED)
        card, server, client = self.listening()
        data = noise(RATE * FRAME * 2)
        Scheduled([server.accept()], data, SCHEDULE | TRUSTED)
        self.assert_untouched(client, card, data)
        self.assert_way(client, "not in step with others: this machine's")

    def test_a_stored_page_with_clocks_that_are_seconds_apart(self):
        card, server, client = self.listening()
        data = noise(RATE * FRAME * 2)
        Scheduled([server.accept()], data, SCHEDULE | TRUSTED, away=-6)
        self.assert_untouched(client, card, data)
        self.assert_way(client, "not in step with others: the clocks are")

    def test_a_stored_page_whose_arrival_contradicts_the_clocks(self):
        card, server, client = self.listening()
        data = noise(RATE * FRAME * 2)
        Scheduled([server.accept()], data, SCHEDULE | TRUSTED, away=-3)
        self.assert_untouched(client, card, data)
        self.assertRegex(client.wait_line(IN_STEP, 2),
                         "not in step with others: the clocks disagree")

    def late(self, *args, card=None, flags=LIVE | TRUSTED | PLAYED, **kwargs):
        card, server, client = self.listening(*args, card=card)
        data = noise(RATE * FRAME * 3)
        Scheduled([server.accept()], data, flags, lead=2, **kwargs)
        if flags & PLAYED or not flags & REAL_TIME:
            self.assert_untouched(client, card, data)
        else:
            # It catches up, as without --sync, but its first word is heard.
            self.assert_complete(client)
            self.assertTrue(data[:RATE // 5 * FRAME] in card.sound())
        line = client.wait_line("cannot sound when it should")
        needs, gives = re.search(r"needs (\d+) ms, --sync gives (\d+);",
                                 line).groups()
        self.assertGreater(int(needs), int(gives))
        self.assertEqual(client.count("cannot sound when"), 1)

    def test_a_hook_that_takes_too_long(self):
        self.late("--before", "sleep 0.3")

    @in_time
    def test_a_hook_that_takes_too_long_for_a_live_page(self):
        self.late("--before", "sleep 0.3", flags=LIVE | TRUSTED)

    def test_a_lead_in_that_takes_too_long(self):
        self.late("--lead-in", "300")

    def test_a_card_that_opens_too_slowly(self):
        self.late(card=self.card(options="open_delay 300"))

    def test_no_time_at_all(self):
        self.late(budget=0)

    def test_a_stored_page_that_is_late(self):
        self.late("--before", "sleep 0.3", flags=SCHEDULE | TRUSTED)

    def test_a_card_without_a_clock(self):
        card, server, client = self.listening(device="null")
        data = noise(RATE * FRAME * 2)
        Scheduled([server.accept()], data, LIVE | TRUSTED)
        counters = self.counters(client.wait_line("ended \\("))
        self.assertEqual(counters["frames"], RATE * 2)
        self.assertEqual(counters["dropped_ms"], 0)
        self.assertEqual(client.count("'null' has no steady clock"), 1)


if __name__ == "__main__":
    main()
