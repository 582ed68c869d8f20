# SPDX-License-Identifier: MIT
"""intercom-client and pages that are recordings: their server says so in the
RIFF chunk "page" and sends them before they are due."""
import os
import re
import signal
import socket
import struct
import threading
import time

from e2e_client import ENDLESS, ClientCase, header, tone
from e2e_lib import (Card, FRAME, RATE, contents, has_own_memory, in_time,
                     main, noise, receive_all, wait_until, wav_bytes)

PLAYED = 1
LEAD = 2.0
LAST = 0.3  # s: nothing ends sooner before it is due


def page_header(size, ahead=LEAD, flags=PLAYED, **kwargs):
    """header() with the RIFF chunk."""
    chunk = b"page" + struct.pack("<IBBHIqII", 24, 1, flags, 0, 0xFFFFFFFF, 0,
                                  0, int(ahead * 1e6))
    plain = header(size, **kwargs)
    riff = size if size == ENDLESS else size + 36 + len(chunk)
    return (plain[:4] + struct.pack("<I", riff) + plain[8:36] + chunk +
            plain[36:])


class Ahead(threading.Thread):
    """Sends a page as intercom-server does: 0.2 s as they are spoken, the rest
    at 1.5 times that until the lead is there; the last frame, and the end, 0.3
    s before it is due."""

    def __init__(self, connection, data, stated=True, lead=LEAD, gap=None):
        super().__init__(daemon=True)
        self.connection = connection
        self.data = data
        self.size = len(data) if stated else ENDLESS
        self.lead = lead
        self.gap = gap or (0, 0)  # when, and for how long nothing arrives
        self.stopping = threading.Event()
        self.begun = self.ended = None
        self.start()

    def due(self, sent):
        """When the byte after so many may be sent."""
        at = sent / FRAME / RATE
        last = len(self.data) / FRAME / RATE - LAST
        if sent >= len(self.data) - FRAME:
            return max(at - self.lead, last)
        return max(min(at, 0.2 + (at - 0.2) / 1.5), at - self.lead)

    def wait(self, sent):
        when = self.due(sent)
        if self.gap[0] <= when < sum(self.gap):
            when = sum(self.gap)
        self.stopping.wait(max(0, self.begun + when - time.monotonic()))
        return not self.stopping.is_set()

    def run(self):
        self.begun = time.monotonic()
        self.connection.sendall(page_header(self.size, self.lead))
        sent, last = 0, len(self.data) - FRAME
        while sent < len(self.data) and self.wait(sent):
            end = min(sent + 1024 * FRAME, last) if sent < last else last + FRAME
            self.connection.sendall(self.data[sent:end])
            sent = end
        self.connection.close()
        self.ended = time.monotonic()

    def stop(self):
        self.stopping.set()
        self.join()


class PlayedCase(ClientCase):
    def assert_whole(self, client, card, data, count=1):
        """All of it was heard in one piece, and none was dropped."""
        counters = self.counters(client.wait_line("ended \\(", count))
        self.assertEqual(counters["result"], "complete")
        self.assertEqual(counters["dropped_ms"], 0, counters)
        self.assertEqual(counters["starvations"], 0, counters)
        self.assertTrue(data in card.sound())


class EverySample(PlayedCase):
    def test_a_hook_of_five_seconds(self):
        card, server, client = self.with_server("--before", "sleep 4.9")
        data = noise(RATE * FRAME * 3)
        Ahead(server.accept(), data)
        self.assert_whole(client, card, data)

    def test_a_lead_in_of_ten_seconds(self):
        card, server, client = self.with_server("--lead-in", "10000")
        data = noise(RATE * FRAME * 2)
        Ahead(server.accept(), data, stated=False)
        self.assert_whole(client, card, data)
        self.assertTrue(card.sound().startswith(bytes(RATE * 10 * FRAME)))

    def test_a_card_that_opens_after_three_seconds(self):
        card, server, client = self.with_server(
            card=Card(self.folder, options="open_delay 3000"))
        data = noise(RATE * FRAME * 4)
        Ahead(server.accept(), data, stated=False)
        self.assert_whole(client, card, data)

    def test_a_card_that_is_busy_for_three_seconds(self):
        card = Card(self.folder)
        card.set("busy")
        card, server, client = self.with_server(card=card)
        data = noise(RATE * FRAME * 2)
        page = Ahead(server.accept(), data)
        client.wait_line("Cannot open the playback device")
        page.join()
        time.sleep(1.5)  # the stimulus
        card.clear("busy")
        self.assert_whole(client, card, data)

    def test_a_gap_in_the_network_that_the_lead_covers(self):
        card, server, client = self.with_server()
        data = noise(RATE * FRAME * 8)
        Ahead(server.accept(), data, gap=(4.5, 1.5))
        self.assert_whole(client, card, data)

    def test_a_gap_in_the_network_without_a_lead(self):
        card, server, client = self.with_server()
        data = noise(RATE * FRAME * 4)
        Ahead(server.accept(), data, lead=0, gap=(1.0, 1.5))
        counters = self.counters(client.wait_line("ended \\("))
        self.assertEqual(counters["result"], "complete")
        self.assertEqual(counters["dropped_ms"], 0, counters)
        self.assertEqual(counters["frames"], len(data) // FRAME)
        # In two pieces, each to the bit, and nothing missing between them.
        sound = card.sound()
        first = os.path.commonprefix([sound, data])
        self.assertGreater(len(first), RATE * FRAME // 2)
        first = len(first) // FRAME * FRAME
        self.assertTrue(data[first:] in sound[first:])

    def test_an_unplugged_card(self):
        card, server, client = self.with_server()
        data = noise(RATE * FRAME * 3)
        Ahead(server.accept(), data)
        wait_until(lambda: len(card.sound()) > RATE * FRAME, "sound")
        card.set("unplugged")
        client.wait_line("is lost")
        card.clear("unplugged")
        counters = self.counters(client.wait_line("ended \\("))
        self.assertEqual(counters["result"], "complete")
        self.assertEqual(counters["dropped_ms"], 0, counters)
        sound = card.sound()
        first = os.path.commonprefix([sound, data])
        # Some of it comes twice: what was in the ring when it was looked at.
        rest = data[len(first) // FRAME * FRAME:]
        self.assertTrue(rest in sound)

    def test_pages_in_a_queue_whose_sound_begins_late(self):
        card, server, client = self.with_server("--lead-in", "600")
        pages = [noise(RATE * FRAME * 3 // 2, seed) for seed in range(1, 4)]
        for number, data in enumerate(pages, 1):
            page = Ahead(server.accept(), data, stated=number != 2)
            page.join()
        for number, data in enumerate(pages, 1):
            self.assert_whole(client, card, data, number)

    def test_memory_is_given_back(self):
        card, server, client = self.with_server("--before", "sleep 4.9")
        small, large = noise(4000), noise(RATE * 32 * 4, 2)
        # What a first page costs, ALSA's plug-ins and libc's buffers, stays.
        server.page(page_header(len(small)) + small)
        self.assert_whole(client, card, small)
        connection = server.accept()
        idle = client.rss_kib()
        connection.sendall(page_header(len(large), channels=16) + large)
        connection.close()
        wait_until(lambda: client.rss_kib() > idle + 5000 or idle == 0,
                   "a page in memory")
        self.assert_whole(client, card, large, 2)
        server.accept()
        if has_own_memory(client):
            wait_until(lambda: client.rss_kib() < idle + 2000, "its memory")


class Again(PlayedCase):
    def test_what_cannot_be_kept_is_left_out_and_told(self):
        card = Card(self.folder)
        card.set("busy")
        card, server, client = self.with_server("--name", "hall", card=card)
        connection = server.accept()
        connection.sendall(page_header(ENDLESS) + bytes(RATE * FRAME * 34))
        client.wait_line(r"ended, since 3\d s of it wait")
        counters = self.counters(client.wait_line("ended \\("))
        self.assertEqual(counters["result"], "cut-short")
        self.assertGreaterEqual(counters["dropped_ms"], 32000)
        client.wait_line("begins", 2)
        card.clear("busy")
        data = noise(RATE * FRAME)
        connection.sendall(data)
        time.sleep(1.8)  # else this were a stop
        connection.shutdown(socket.SHUT_WR)
        line = receive_all(connection).decode()
        self.assertTrue(data in card.sound())
        # What was left out before and while it was joined is all told.
        found = re.search(r"arrived=(\d+) heard=(\d+) dropped=(\d+) ", line)
        arrived, heard, dropped = (int(n) for n in found.groups())
        self.assertEqual(arrived, RATE * 35)
        self.assertGreaterEqual(heard, RATE)
        self.assertGreaterEqual(dropped, RATE * 32)

    @in_time
    def test_a_page_that_was_taken_over_is_in_step_again(self):
        card, first, second = Card(self.folder), self.server(), self.server()
        client = self.client(card, first.name, second.name)
        numbers = b"".join(struct.pack("<I", n + 1) for n in range(RATE * 8))
        page = Ahead(second.accept(), numbers)
        wait_until(lambda: len(card.sound()) > RATE * FRAME, "sound")
        other = b"\1\1\1\x7f" * (RATE // 2)
        first.page(wav_bytes(other))
        client.wait_line("ended", 3)
        self.assertEqual(client.count("complete"), 2)
        # The times at which frames sounded, from the card's log.
        delays = self.delays(card, page.begun)
        self.assertGreater(delays[-1], 0.05)
        self.assertLess(abs(delays[-1] - delays[0]), 0.03)

    def delays(self, card, begun):
        """How long after it was due each span of numbers sounded."""
        sound, delays = card.sound(), []
        with open(card.log) as log:
            spans = [line.split() for line in log if line[0] != "#"]
        for at, _, when in ((int(n) for n in span) for span in spans):
            number = int.from_bytes(sound[at * FRAME:(at + 1) * FRAME],
                                    "little")
            if 0 < number <= RATE * 8:
                delays.append(when / 1e9 - begun - (number - 1) / RATE)
        return delays


class Stop(PlayedCase):
    def stop(self, page, card):
        """How many frames are heard from the stop on."""
        page.stopping.set()
        before = len(card.sound()) // FRAME
        page.join()
        return before

    def check_stop(self, at, data, stated=True, args=()):
        card, server, client = self.with_server(*args)
        page = Ahead(server.accept(), data, stated=stated)
        wait_until(lambda: page.begun and len(card.sound()) > at * RATE * FRAME,
                   "sound", step=0.002)
        before = self.stop(page, card)
        counters = self.counters(client.wait_line("ended \\("))
        self.assertEqual(counters["result"], "cut-short")
        sound = card.sound()
        heard = len(sound.rstrip(b"\0")) // FRAME
        self.assertLess(heard - before, RATE * 50 // 1000)
        return sound[:heard * FRAME]

    @in_time
    def test_a_page_of_known_size(self):
        data = tone(6.0025)
        sound = self.check_stop(2, data)
        self.assertTrue(data.startswith(sound[:-RATE * FRAME // 100]))

    @in_time
    def test_a_page_of_unknown_size(self):
        self.check_stop(2, tone(6.0025), stated=False)

    @in_time
    def test_a_third_of_a_second_before_the_end(self):
        # All but the last frame is there.
        self.check_stop(1.55, tone(2))

    @in_time
    def test_before_it_sounds(self):
        card, server, client = self.with_server("--before", "sleep 4")
        page = Ahead(server.accept(), tone(6))
        client.wait_line("begins")
        page.stop()
        counters = self.counters(client.wait_line("ended \\("))
        self.assertEqual(counters["result"], "cut-short")
        self.assertEqual(card.sound(), b"")
        self.assertEqual(card.events("open"), [])
        # And the next page begins at once.
        data = noise(RATE * FRAME // 2)
        connection = server.accept()
        connection.sendall(page_header(len(data)) + data)
        connection.close()
        self.assert_whole(client, card, data, 2)

    def test_the_end_is_no_stop(self):
        for stated in (True, False):
            card, server, client = self.with_server(
                card=Card(self.folder, "stated%d" % stated))
            data = noise(RATE * FRAME * 5 // 2)
            Ahead(server.accept(), data, stated=stated)
            self.assert_whole(client, card, data)


class NoSize(ClientCase):
    @staticmethod
    def state_is(client, state):
        client.signal(signal.SIGUSR1)
        return client.count(state) > 0

    def test_a_page_that_states_no_samples_and_has_some(self):
        told = self.path("told")
        card, server, client = self.with_server("--before", "date >>" + told)
        connection = server.accept()
        connection.sendall(header(0))
        connection.sendall(b"abc")
        wait_until(lambda: self.state_is(client, "receiving a header"),
                   "the state after the header", step=0.1)
        self.assertFalse(os.path.exists(told))
        data = noise(RATE * FRAME)
        connection.sendall(data[3:])
        connection.close()
        client.wait_line("ended \\(complete\\): %d frames" % RATE)
        self.assertEqual(len(contents(told).splitlines()), 1)
        self.assertTrue(b"abc" + data[3:] in card.sound())
        # One that has none: nobody is told.
        connection = server.accept()
        connection.sendall(header(0))
        connection.close()
        client.wait_line("has no samples")
        self.assertEqual(len(contents(told).splitlines()), 1)
        self.assertEqual(len(card.events("open")), 1)


if __name__ == "__main__":
    main()
