# SPDX-License-Identifier: MIT
"""intercom-client end to end, with servers of ten lines and a virtual card."""
import os
import random
import re
import signal
import socket
import struct
import threading
import time

from e2e_lib import (Card, Case, FRAME, Notify, PATIENCE, RATE, SLOWNESS,
                     contents, free_port, in_time, main, noise, program, reset,
                     wait_until, wav_bytes, write_file)

def tone(seconds, rate=RATE, channels=2, amplitude=12000):
    """A loud triangle, so that silence and breaks are easy to find."""
    period = rate // 100
    one = bytearray()
    for n in range(period):
        value = amplitude - abs(4 * amplitude * n // period - 2 * amplitude)
        one += struct.pack("<h", value) * channels
    frames = int(seconds * rate)
    data = bytes(one) * (frames // period + 1)
    return data[:frames * 2 * channels]


def header(size, rate=RATE, channels=2, bits=16, tag=1):
    frame = channels * bits // 8
    riff = 0xFFFFFFFF if size == 0xFFFFFFFF else 36 + size
    return (b"RIFF" + struct.pack("<I", riff) + b"WAVEfmt " +
            struct.pack("<IHHIIHH", 16, tag, channels, rate, rate * frame,
                        frame, bits) +
            b"data" + struct.pack("<I", size))


ENDLESS = 0xFFFFFFFF


class Server:
    """A server as anybody could write it."""

    def __init__(self, port=0, host="127.0.0.1"):
        self.socket = socket.create_server((host, port))
        self.socket.settimeout(PATIENCE)
        self.port = self.socket.getsockname()[1]
        self.name = "127.0.0.1:%d" % self.port
        self.connections = []

    def accept(self):
        connection, _ = self.socket.accept()
        connection.settimeout(PATIENCE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connections.append(connection)
        return connection

    def page(self, data):
        """Sends everything and closes, like the first scripts."""
        connection = self.accept()
        connection.sendall(data)
        connection.close()

    def close(self):
        for connection in self.connections:
            connection.close()
        self.socket.close()


class Live(threading.Thread):
    """Sends samples in chunks, at the pace at which they are spoken."""

    def __init__(self, connection, data, rate=RATE, frame=FRAME, chunk=1024,
                 stated=ENDLESS, close=True, channels=2, jitter=0.0):
        super().__init__(daemon=True)
        self.connection = connection
        self.data = data
        self.rate = rate
        self.chunk = chunk
        self.frame = frame
        self.close = close
        self.jitter = jitter  # seconds by which a chunk may be late
        self.random = random.Random(7)
        self.resumed = threading.Event()
        self.resumed.set()
        self.sent = 0
        self.header = header(stated, rate, channels)
        self.stopping = False
        self.hurried = 0
        self.error = None
        self.start()

    def pause(self):
        self.resumed.clear()

    def resume(self):
        self.resumed.set()

    def hurry(self, seconds):
        """Sends so much of it at once."""
        self.hurried += seconds

    def stop(self):
        self.stopping = True
        self.resumed.set()
        self.join(PATIENCE)

    def run(self):
        try:
            self.connection.sendall(self.header)
            begin = time.monotonic()
            size = self.chunk * self.frame
            while self.sent < len(self.data) and not self.stopping:
                self.resumed.wait(PATIENCE)
                piece = self.data[self.sent:self.sent + size]
                due = begin + (self.sent + len(piece)) / self.frame / self.rate
                delay = due - self.hurried - time.monotonic() + \
                    self.random.uniform(0, self.jitter)
                if delay > 0:
                    time.sleep(delay)
                if not self.resumed.is_set():
                    continue
                self.connection.sendall(piece)
                self.sent += len(piece)
            if self.close:
                self.connection.close()
        except OSError as error:
            self.error = error


class ClientCase(Case):
    def setUp(self):
        super().setUp()
        self.servers = []

    def tearDown(self):
        try:
            super().tearDown()
        finally:
            for server in self.servers:
                server.close()

    def server(self, port=0):
        server = Server(port)
        self.servers.append(server)
        return server

    def client(self, card, *args, device="card", env=None, prefix=(), **kwargs):
        full = card.env()
        full.update({"XDG_STATE_HOME": self.path("state")})
        full.update(env or {})
        return self.start([*prefix, program("intercom-client"), "-v", "-D",
                           device, *args], env=full, **kwargs)

    def with_server(self, *args, card=None, **kwargs):
        """A card, a server, and a client between them."""
        card = card or Card(self.folder)
        server = self.server()
        return card, server, self.client(card, *args, server.name, **kwargs)

    def assert_heard(self, client, card, data):
        self.assert_clean(client.wait_line("ended"))
        self.assertTrue(card.sound().startswith(data))

    def page_heard(self, server, client, card, data):
        server.page(wav_bytes(data))
        self.assert_heard(client, card, data)

    def counters(self, line):
        """The numbers in the line about the end of a page."""
        found = re.search(
            r"ended \(([a-z-]+)\): (\d+) frames? \([^)]*\), "
            r"(?:latency ([\d.]+) ms, )?"
            r"(?:in step within \d+ us, )?(\d+) xruns?, "
            r"(\d+) starvations? \((\d+) ms\), (\d+) ms dropped, "
            r"(\d+) card loss(?:es)?$", line)
        self.assertTrue(found, line)
        result = {"result": found.group(1),
                  "latency": float(found.group(3) or 0)}
        names = ("xruns", "starvations", "starved_ms", "dropped_ms", "losses")
        result["frames"] = int(found.group(2))
        for index, name in enumerate(names):
            result[name] = int(found.group(4 + index))
        return result

    def assert_clean(self, line):
        counters = self.counters(line)
        self.assertEqual(counters["result"], "complete", line)
        for name in ("xruns", "starvations", "dropped_ms", "losses"):
            self.assertEqual(counters[name], 0, line)


def samples(sound, channels=2):
    """The first channel of S16 sound."""
    values = memoryview(sound[:len(sound) // 2 * 2]).cast("h")
    return values[::channels] if channels > 1 else values


def biggest_step(sound):
    values = samples(sound)
    return max((abs(b - a) for a, b in zip(values, values[1:])), default=0)


class Pages(ClientCase):
    def test_a_page_sounds_bit_exactly_and_is_saved(self):
        saved = self.path("saved.wav")
        card, server, client = self.with_server("--save", saved)
        data = noise(RATE * FRAME)
        self.page_heard(server, client, card, data)
        client.wait_line("Saved the page")
        self.assertFalse(any(card.sound()[len(data):]), "only silence follows")
        self.assertEqual(contents(saved), wav_bytes(data))

    def test_page_after_page_with_another_format_each(self):
        card, server, client = self.with_server()
        formats = ((8000, 1, 1), (48000, 2, 2), (44100, 1, 3), (96000, 2, 4),
                   (22050, 6, 2), (8000, 32, 2), (192000, 2, 3), (4000, 1, 2))
        expected = b""
        for number, (rate, channels, width) in enumerate(formats, 1):
            data = noise(rate // 5 * channels * width, number)
            server.page(wav_bytes(data, rate, channels, width))
            self.assert_clean(client.wait_line("ended", number))
            played = card.sound()
            where = played.find(data, len(expected))
            self.assertEqual(where, len(expected), (rate, channels, width))
            expected = played

    def test_float_a_law_and_mu_law(self):
        card, server, client = self.with_server()
        for number, (tag, bits) in enumerate(((3, 32), (6, 8), (7, 8)), 1):
            before = len(card.sound())
            data = b"".join(struct.pack("<f", (n % 200 - 100) / 100)
                            for n in range(4000)) if tag == 3 \
                else noise(4000, tag)
            server.page(header(len(data), 8000, 1, bits, tag) + data)
            self.assert_clean(client.wait_line("ended", number))
            self.assertEqual(card.sound()[before:before + len(data)], data)

    def test_a_card_of_another_format_is_bridged_by_alsa(self):
        card, server, client = self.with_server(device="plugcard", card=Card(
            self.folder, options='format "S16_LE" rate 48000 channels 2'))
        server.page(wav_bytes(noise(8000), 8000, 1, 2))
        line = client.wait_line("ended")
        self.assertEqual(self.counters(line)["result"], "complete")
        self.assertGreaterEqual(len(card.sound()), 24000 * 4)

    def test_a_header_that_comes_byte_by_byte(self):
        card, server, client = self.with_server()
        data = noise(40000)
        page = wav_bytes(data)
        connection = server.accept()
        for byte in page[:60]:
            connection.sendall(bytes((byte,)))
        connection.sendall(page[60:])
        connection.close()
        self.assert_heard(client, card, data)

    def test_chunks_that_nobody_knows_are_skipped(self):
        card, server, client = self.with_server()
        data = noise(40000)
        page = wav_bytes(data)
        odd = b"junk" + struct.pack("<I", 7) + b"1234567\0"
        server.page(page[:12] + odd + page[12:36] + odd + page[36:] + odd)
        self.assert_heard(client, card, data)
        self.assertFalse(any(card.sound()[len(data):]),
                         "what follows the data is no sound")

    def test_what_is_no_page_is_named_once_and_the_next_one_sounds(self):
        card, server, client = self.with_server()
        bad = (b"GET / HTTP/1.0\r\n\r\n" + bytes(100),
               header(400, rate=1) + bytes(400),
               header(400, channels=0, bits=16) + bytes(400),
               header(400, tag=85) + bytes(400))
        for number, page in enumerate(bad, 1):
            connection = server.accept()
            connection.sendall(page)
            client.wait_line("This is not a page: .", number)
            connection.close()
        data = noise(40000)
        self.page_heard(server, client, card, data)

    def test_a_page_without_samples_is_no_error(self):
        card, server, client = self.with_server()
        server.page(wav_bytes(b""))
        client.wait_line("has no samples")
        server.page(wav_bytes(noise(4000)))
        self.assert_clean(client.wait_line("ended"))

    def test_an_endless_page_ends_with_the_connection(self):
        card, server, client = self.with_server()
        data = noise(60000)
        server.page(header(ENDLESS) + data)
        self.assert_heard(client, card, data)

    def test_a_page_shorter_than_the_latency(self):
        card, server, client = self.with_server("--latency", "1000")
        data = noise(FRAME * 3)
        self.page_heard(server, client, card, data)

    def test_a_page_of_one_byte_too_few_is_cut_short_and_faded(self):
        card, server, client = self.with_server()
        data = tone(0.5025)
        server.page(wav_bytes(data + bytes(4))[:-5])
        line = client.wait_line("ended")
        self.assertEqual(self.counters(line)["result"], "cut-short")
        sound = card.sound()
        whole = (len(data) - 1) // FRAME * FRAME
        self.assertTrue(sound.startswith(data[:whole]))
        self.assertLess(biggest_step(sound), 700, "a break is faded")

    def test_the_card_is_closed_between_pages_and_kept_with_hold(self):
        for hold in (False, True):
            card, server, client = self.with_server(
                *(["--hold"] if hold else []),
                card=Card(self.folder, "hold%d" % hold))
            for number in range(1, 4):
                server.page(wav_bytes(noise(40000, number)))
                self.assert_clean(client.wait_line("ended", number))
            self.assertEqual(len(card.events("open")), 1 if hold else 3)
            sound = card.sound()
            where = -1
            for number in range(1, 4):
                where = sound.find(noise(40000, number), where + 1)
                self.assertGreaterEqual(where, 0)

    def test_lead_in_is_silence_before_the_page(self):
        for lead_in in (30, 700):
            card, server, client = self.with_server(
                "--lead-in", str(lead_in),
                card=Card(self.folder, "lead%d" % lead_in))
            data = noise(RATE * FRAME)
            server.page(wav_bytes(data))
            silence = bytes(RATE * lead_in // 1000 * FRAME)
            self.assert_heard(client, card, silence + data)

    @in_time
    def test_delay_sounds_later_and_loses_nothing(self):
        card, server, client = self.with_server("--delay", "600",
                                                "--latency", "50")
        data = noise(RATE * FRAME * 2)
        live = Live(server.accept(), data)
        wait_until(lambda: card.events("start"), "the start")
        self.assertGreaterEqual(live.sent // FRAME, RATE * 65 // 100 - 1024)
        self.assert_heard(client, card, data)
        self.assertGreaterEqual(
            self.counters(client.wait_line("ended"))["latency"], 500)

    @in_time
    def test_nothing_is_clipped_by_a_card_that_opens_slowly(self):
        card, server, client = self.with_server(
            card=Card(self.folder, options="open_delay 600"))
        data = noise(RATE * FRAME * 3 // 2)
        Live(server.accept(), data)
        self.assert_heard(client, card, data)


class Once(ClientCase):
    def test_once_tells_whether_the_page_was_complete(self):
        page = wav_bytes(noise(40000))
        for data, status in ((page, 0), (page[:-8], 1), (wav_bytes(b""), 0)):
            saved = self.path("%d.wav" % len(data))
            _, server, client = self.with_server(
                "--once", "--save", saved,
                card=Card(self.folder, "once%d" % len(data)))
            server.page(data)
            self.assertEqual(client.wait(), status, client.output())
            self.assertEqual(contents(saved), wav_bytes(data[44:]))

    def test_once_with_a_card_that_is_gone_at_the_end(self):
        for returns, status in ((False, 1), (True, 0)):
            card, server, client = self.with_server(
                "--once", card=Card(self.folder, "card%d" % status))
            page = Live(server.accept(), tone(3), close=False)
            wait_until(card.sound, "the beginning")
            card.set("unplugged")
            client.wait_line("is lost")
            if returns:
                card.clear("unplugged")
                client.wait_line("is back")
                played = len(card.sound())
                wait_until(lambda: len(card.sound()) > played, "more of it")
            page.join(PATIENCE)
            page.connection.close()
            self.assertEqual(client.wait(), status, client.output())

    def test_once_with_a_signal_instead_of_a_page(self):
        _, server, client = self.with_server("--once")
        client.wait_line("connected")
        client.signal(signal.SIGTERM)
        self.assertEqual(client.wait(), 1)


class Saving(ClientCase):
    def test_a_directory_gets_a_file_for_each_page(self):
        folder = self.path("pages")
        os.mkdir(folder)
        _, server, client = self.with_server("--save", folder)
        for number in range(1, 4):
            server.page(wav_bytes(noise(4000, number)))
            client.wait_line("Saved the page", number)
        names = sorted(os.listdir(folder))
        self.assertEqual(len(names), 3, names)
        for name in names:
            self.assertRegex(name, r"^\d{8}-\d{6}(-\d+)?\.wav$")
        self.assertEqual({contents(os.path.join(folder, n)) for n in names},
                         {wav_bytes(noise(4000, n)) for n in range(1, 4)})

    def test_a_full_disk_costs_the_file_and_not_the_sound(self):
        # The limit of a file's size is 64 blocks of 512 or 1024 bytes; the
        # card's own file must stay below it.
        _, server, client = self.with_server(
            "--save", self.path("saved.wav"),
            prefix=("sh", "-c", 'ulimit -f 600; exec "$@"', "sh"))
        data = noise(8000 * 2 * 2) * 10
        server.page(wav_bytes(data, 96000, 2, 2))
        server.page(wav_bytes(noise(400), 96000, 2, 2))
        self.assertEqual(
            self.counters(client.wait_line("ended"))["result"], "complete")
        client.wait_line("Saved the page")

    def test_a_file_that_cannot_be_written_is_named(self):
        card, server, client = self.with_server("--save",
                                                "/nonexistent/page.wav")
        data = noise(40000)
        server.page(wav_bytes(data))
        client.wait_line("Cannot save the page as '/nonexistent/page.wav'")
        self.assert_heard(client, card, data)

    @in_time
    def test_a_stopped_client_leaves_a_correct_file(self):
        saved = self.path("saved.wav")
        card, server, client = self.with_server("--save", saved)
        live = Live(server.accept(), tone(20))
        wait_until(lambda: len(card.sound()) > 20000, "sound")
        client.signal(signal.SIGTERM)
        self.assertEqual(client.wait(), 0)
        live.stop()
        data = contents(saved)
        self.assertEqual(data, wav_bytes(data[44:]))
        self.assertTrue(tone(20).startswith(data[44:]))
        self.assertGreater(len(data), 20000)


class Network(ClientCase):
    def test_a_server_that_comes_late_and_goes_is_told_once(self):
        card = Card(self.folder)
        port = free_port()
        client = self.client(card, "127.0.0.1:%d" % port)
        client.wait_line("Cannot connect: Connection refused")
        server = self.server(port)
        connection = server.accept()
        client.wait_line("connected, waiting")
        server.socket.close()
        connection.close()
        client.wait_line("ended before a page")
        client.wait_line("Cannot connect: Connection refused", 2)
        server = self.server(port)
        server.page(wav_bytes(noise(4000)))
        self.assert_clean(client.wait_line("ended \\("))
        self.assertEqual(client.count("connected, waiting"), 2)
        self.assertEqual(client.count("Cannot connect"), 2)

    def test_a_server_that_closes_at_once_is_told_once(self):
        _, server, client = self.with_server()
        for _ in range(4):
            server.accept().close()
        self.assertEqual(client.count("connected, waiting"), 1)
        self.assertEqual(client.count("ended before a page"), 1)

    @in_time
    def test_a_gap_shorter_than_the_latency_is_inaudible(self):
        card, server, client = self.with_server("--latency", "400")
        data = noise(RATE * FRAME * 2)
        live = Live(server.accept(), data)
        wait_until(lambda: len(card.sound()) > 40000, "sound")
        live.pause()
        # This sleep is the stimulus: a gap of half the buffer.
        time.sleep(0.2)
        live.resume()
        self.assert_heard(client, card, data)

    @in_time
    def test_jitter_below_the_latency_is_inaudible(self):
        card, server, client = self.with_server("--latency", "300")
        data = noise(RATE * FRAME * 5)
        Live(server.accept(), data, jitter=0.15)
        self.assert_heard(client, card, data)

    @in_time
    def test_chunks_longer_than_the_latency_are_no_starvation(self):
        card, server, client = self.with_server("--latency", "400")
        data = noise(RATE * FRAME * 5)
        Live(server.accept(), data, chunk=RATE)
        self.assert_heard(client, card, data)

    @in_time
    def test_a_longer_gap_is_faded_counted_and_made_up_for(self):
        card, server, client = self.with_server()
        data = tone(7.0025)
        live = Live(server.accept(), data)
        wait_until(lambda: live.sent > 3 * RATE * FRAME, "a live page")
        live.pause()
        time.sleep(0.6)
        live.resume()
        counters = self.counters(client.wait_line("ended"))
        self.assertEqual(counters["result"], "complete")
        self.assertEqual(counters["starvations"], 1, counters)
        self.assertEqual(counters["xruns"], 0, counters)
        self.assertGreater(counters["starved_ms"], 0)
        # About as much was dropped as arrived late.
        self.assertGreater(counters["dropped_ms"], 300, counters)
        # A client held up in a debugger drops the time it lost itself, too.
        self.assertLess(counters["dropped_ms"], 700 * SLOWNESS, counters)
        self.assertLess(biggest_step(card.sound()), 1500, "seams are faded")

    def test_a_stored_page_never_loses_a_frame(self):
        card, server, client = self.with_server()
        data = noise(RATE * FRAME * 4)
        connection = server.accept()
        page = wav_bytes(data)
        # A large part at once, then a long pause, then the rest.
        connection.sendall(page[:RATE * FRAME])
        wait_until(lambda: len(card.sound()) > RATE * FRAME - 8000, "sound")
        time.sleep(0.5)
        connection.sendall(page[RATE * FRAME:])
        connection.close()
        counters = self.counters(client.wait_line("ended"))
        self.assertEqual(counters["starvations"], 1)
        self.assertEqual(counters["dropped_ms"], 0)
        self.assertEqual(counters["frames"], RATE * 4)
        sound = card.sound()
        half = data[RATE * FRAME + 2000:]
        self.assertGreater(sound.find(half), 0, "the rest is bit-exact")

    @in_time
    def test_a_connection_that_breaks_is_faded_and_taken_up_again(self):
        card, server, client = self.with_server()
        connection = server.accept()
        live = Live(connection, tone(20), close=False)
        wait_until(lambda: len(card.sound()) > 80000, "sound")
        live.stop()
        reset(connection)
        client.wait_line("the connection broke in mid-page: Connection reset")
        line = client.wait_line("ended \\(")
        self.assertEqual(self.counters(line)["result"], "cut-short")
        self.assertLess(biggest_step(card.sound()), 700)
        server.page(wav_bytes(noise(4000)))
        self.assert_clean(client.wait_line("ended \\(", 2))

    @in_time
    def test_max_duration_ends_a_page_and_the_next_one_sounds(self):
        card, server, client = self.with_server("--max-duration", "0.5")
        connection = server.accept()
        live = Live(connection, tone(30))
        line = client.wait_line("ended \\(")
        counters = self.counters(line)
        self.assertEqual(counters["result"], "limit")
        self.assertEqual(counters["frames"], RATE // 2)
        self.assertLess(biggest_step(card.sound()), 700)
        live.stop()
        server.page(wav_bytes(noise(RATE // 2 * FRAME)))
        self.assert_clean(client.wait_line("ended \\(", 2))


class Several(ClientCase):
    @in_time
    def test_the_first_listed_takes_over_and_the_other_is_resumed(self):
        card = Card(self.folder)
        first, second = self.server(), self.server()
        client = self.client(card, first.name, second.name)
        one, two = first.accept(), second.accept()
        low = tone(60, amplitude=3000)
        live = Live(two, low)
        client.wait_line("Page from %s begins" % second.name)
        wait_until(lambda: len(card.sound()) > 80000, "sound")
        one.sendall(wav_bytes(tone(1, amplitude=20000)))
        one.close()
        client.wait_line(r"Page from %s ended \(taken-over" % second.name)
        client.wait_line(r"Page from %s ended \(complete" % first.name)
        client.wait_line("Page from %s begins" % second.name, 2)
        before = len(card.sound())
        wait_until(lambda: len(card.sound()) > before + 80000, "sound again")
        live.stop()
        client.wait_line(r"Page from %s ended \(complete" % second.name)
        values = samples(card.sound())
        self.assertGreater(max(values), 19000, "the first was heard")
        self.assertGreater(card.sound().find(tone(0.9, amplitude=20000)), 0)

    @in_time
    def test_a_later_one_does_not_disturb(self):
        card = Card(self.folder)
        first, second = self.server(), self.server()
        client = self.client(card, first.name, second.name)
        one, two = first.accept(), second.accept()
        data = noise(RATE * FRAME * 2)
        Live(one, data)
        client.wait_line("Page from %s begins" % first.name)
        two.sendall(wav_bytes(noise(40000)))
        two.close()
        client.wait_line("Page from %s was not heard" % second.name)
        self.assert_heard(client, card, data)

    def test_one_that_cannot_be_found_does_not_disturb(self):
        card, server, client = self.with_server("no-such-host.invalid")
        data = noise(RATE * FRAME)
        self.page_heard(server, client, card, data)


class Faults(ClientCase):
    def live_client(self, card, *args, seconds=60):
        _, server, client = self.with_server(*args, card=card)
        live = Live(server.accept(), tone(seconds))
        return client, live

    def sounding_client(self, *args):
        """Starts a client that plays a live page on a card."""
        card = Card(self.folder)
        client, live = self.live_client(card, *args)
        self.sounding(card)
        return card, client, live

    def sounding(self, card, size=40000):
        before = len(card.sound())
        wait_until(lambda: len(card.sound()) > before + size, "sound")

    def ended(self, client, live):
        live.stop()
        return self.counters(client.wait_line("ended \\("))

    def completed(self, client, live):
        counters = self.ended(client, live)
        self.assertEqual(counters["result"], "complete")
        return counters

    @in_time
    def test_a_card_that_is_missing_at_start_is_found_later(self):
        for fault in ("unplugged", "busy"):
            card = Card(self.folder, fault)
            card.set(fault)
            client, live = self.live_client(card)
            client.wait_line("Cannot open the playback device 'card'")
            wait_until(lambda: live.sent > 3 * RATE * FRAME, "a live page")
            card.clear(fault)
            client.wait_line("The playback device 'card' is back")
            self.sounding(card)
            counters = self.completed(client, live)
            # The client joined at the newest frame, and not 3 s late.
            self.assertGreater(counters["dropped_ms"], 1000)
            self.assertLess(counters["latency"], 500)
            self.assertEqual(client.count("Cannot open"), 1)

    def test_a_name_that_is_no_card_is_told_at_the_start(self):
        client = self.client(Card(self.folder), "127.0.0.1:1",
                             device="plughw:CARD=Nobody")
        client.wait_line("There is no card 'plughw:CARD=Nobody' now; "
                         "intercom-client -L")

    @in_time
    def test_a_short_page_without_a_card_does_not_hold_up_the_next(self):
        card = Card(self.folder)
        card.set("busy")
        client, live = self.live_client(card, seconds=1)
        client.wait_line("Cannot open the playback device 'card': Device or "
                         "resource busy at open; another program uses it; ")
        live.join(PATIENCE)
        next_one = Live(self.servers[-1].accept(), tone(60))
        client.wait_line("begins", 2)
        self.assertLess(next_one.sent, RATE * FRAME)
        self.assertEqual(
            self.counters(client.wait_line("ended \\("))["result"], "unheard")
        card.clear("busy")
        self.sounding(card)
        next_one.stop()

    @in_time
    def test_a_card_that_is_unplugged_and_returns(self):
        card, client, live = self.sounding_client()
        wait_until(lambda: live.sent > 3 * RATE * FRAME, "a live page")
        card.set("unplugged")
        client.wait_line("The playback device 'card' is lost")
        card.clear("unplugged")
        client.wait_line("is back")
        self.sounding(card)
        counters = self.completed(client, live)
        self.assertEqual(counters["losses"], 1)

    @in_time
    def test_a_card_that_stalls_is_lost_after_two_seconds(self):
        card, client, live = self.sounding_client()
        card.set("stalled")
        client.wait_line("is lost")
        card.clear("stalled")
        self.sounding(card)
        self.assertGreaterEqual(self.ended(client, live)["losses"], 1)

    @in_time
    def test_an_xrun_is_recovered_and_counted(self):
        card, client, live = self.sounding_client()
        card.set("xrun")
        wait_until(lambda: card.events("xrun"), "the xrun")
        self.sounding(card)
        counters = self.completed(client, live)
        self.assertEqual(counters["xruns"] + counters["starvations"], 1)
        self.assertEqual(counters["losses"], 0)

    @in_time
    def test_a_suspend_is_resumed(self):
        for resume in (0, 1):
            card = Card(self.folder, "suspend%d" % resume,
                        options="resume %d" % resume)
            client, live = self.live_client(card)
            self.sounding(card)
            card.set("asleep")
            card.set("suspend")
            wait_until(lambda: card.events("suspend"), "the suspend")
            card.clear("asleep")
            self.sounding(card)
            self.completed(client, live)
            client.signal(signal.SIGUSR1)
            self.assertIn(", 1 suspend,", client.wait_line("Counters"))

    @in_time
    def test_a_card_that_is_gone_costs_no_time(self):
        card, client, live = self.sounding_client()
        card.set("unplugged")
        client.wait_line("is lost")
        before, sent = client.cpu_seconds(), live.sent
        wait_until(lambda: live.sent > sent + 5 * RATE * FRAME, "5 s")
        used = client.cpu_seconds() - before
        # A spinning client would have used five seconds of CPU time.
        self.assertLess(used, 0.5)
        print("CPU of 5 s without a card: %.2f s" % used)
        card.clear("unplugged")
        self.sounding(card)
        self.ended(client, live)

    def test_sigterm_ends_it_at_once_in_every_state(self):
        def refused(card):
            return self.client(card, "127.0.0.1:%d" % free_port()), \
                "Cannot connect"

        def waiting(card):
            _, server, client = self.with_server(card=card)
            server.accept()
            return client, "connected"

        def in_header(card):
            client, line = waiting(card)
            self.servers[-1].connections[-1].sendall(b"RIFF")
            return client, line

        def playing(card, *args, seconds=30, line="Opened"):
            _, server, client = self.with_server(*args, card=card)
            server.page(wav_bytes(tone(seconds)))
            return client, line

        def without_card(card):
            card.set("busy")
            return playing(card, seconds=2, line="Cannot open")

        def stalled(card):
            card.set("stalled")
            return playing(card, seconds=0.3)

        def hanging_hook(card):
            return playing(card, "--before", "echo hook; sleep 1000",
                           seconds=2, line="^hook")

        for state in (refused, waiting, in_header, playing, without_card,
                      stalled, hanging_hook):
            client, line = state(Card(self.folder, state.__name__))
            client.wait_line(line)
            client.signal(signal.SIGTERM)
            self.assertEqual(client.wait(), 0, client.output())


class Hooks(ClientCase):
    def test_both_get_the_facts_and_before_is_waited_for(self):
        card = Card(self.folder)
        server = self.server()
        log = self.path("hooks")
        tell = ('echo "$INTERCOM_SERVER|$INTERCOM_FORMAT|$INTERCOM_SECONDS|'
                '$INTERCOM_RESULT" >>%s' % log)
        client = self.client(
            card, "--before", "read x <%s; %s" % (self.path("fifo"), tell),
            "--after", tell + "; echo after done", server.name)
        os.mkfifo(self.path("fifo"))
        data = noise(RATE * FRAME // 2)
        server.page(wav_bytes(data))
        client.wait_line("begins")
        with open(self.path("fifo"), "w") as f:
            self.assertEqual(card.sound(), b"")
            f.write("go\n")
        self.assert_clean(client.wait_line("ended"))
        client.wait_line("after done")
        self.assertTrue(card.sound().startswith(data))
        facts = "%s|S16_LE 44100 Hz 2 channels|0.500|" % server.name
        self.assertEqual(contents(log).decode().splitlines(),
                         [facts + "begins", facts + "complete"])

    def test_hooks_that_fail_or_hang_never_block_a_page(self):
        card, server, client = self.with_server(
            "--before", "sleep 1000 & sleep 1000", "--after", "exit 3")
        data = noise(RATE * FRAME // 2)
        server.page(wav_bytes(data))
        client.wait_line("--before took longer than 5 s")
        self.assert_clean(client.wait_line("ended \\("))
        client.wait_line("--after ended with status 3")
        self.assertTrue(card.sound().startswith(data))

    def test_after_is_run_when_the_client_is_stopped(self):
        _, server, client = self.with_server("--after",
                                             "echo $INTERCOM_RESULT is it")
        server.page(wav_bytes(tone(30)))
        client.wait_line("Opened")
        client.signal(signal.SIGINT)
        self.assertEqual(client.wait(), 0)
        client.wait_line("stopped is it")


class VolumeCase(ClientCase):
    def setUp(self):
        super().setUp()
        self.card = Card(self.folder)
        self.volume = self.path("volume")
        self.set_volume("50 60")
        library = os.environ.get("VCTL_SO", program("vctl.so"))
        with open(self.card.conf, "a") as f:
            f.write('ctl_type.vctl { lib "%s" }\n'
                    'ctl.!default { type vctl file "%s" }\n'
                    % (library, self.volume))

    def set_volume(self, text):
        write_file(self.volume, text + "\n")

    def get_volume(self):
        return contents(self.volume).decode().strip()

    def notes(self):
        folder = os.path.join(self.path("state"), "alsa-intercom")
        return os.listdir(folder) if os.path.isdir(folder) else []

    def wait_volume(self, text):
        wait_until(lambda: self.get_volume() == text, "volume " + text)


class Volume(VolumeCase):
    def in_a_page(self, volume, text):
        """Starts a client with --volume and waits until the volume is set."""
        _, server, client = self.with_server("--volume", volume,
                                             card=self.card)
        server.page(wav_bytes(tone(30)))
        self.wait_volume(text)
        return server, client

    def test_it_is_set_for_a_page_and_put_back(self):
        for args in ((), ("--mixer", "Master")):
            _, server, client = self.with_server("--volume", "80", *args,
                                                 card=self.card)
            client.wait_line("connected")
            self.assertEqual(self.get_volume(), "50 60")
            server.page(wav_bytes(tone(1)))
            self.wait_volume("160 160")
            self.assert_clean(client.wait_line("ended"))
            self.wait_volume("50 60")
            wait_until(lambda: not self.notes(), "no note")
            client.stop()

    def test_a_signal_puts_it_back(self):
        server, client = self.in_a_page("0", "0 0")
        client.signal(signal.SIGTERM)
        self.assertEqual(client.wait(), 0)
        self.assertEqual(self.get_volume(), "50 60")

    def test_the_next_start_puts_back_what_a_crash_left(self):
        server, client = self.in_a_page("80", "160 160")
        client.signal(signal.SIGKILL)
        client.wait()
        self.assertEqual(self.get_volume(), "160 160")
        client = self.client(self.card, server.name)
        client.wait_line("Restored the volume of 'Master' on 'default'")
        self.assertEqual(self.get_volume(), "50 60")
        wait_until(lambda: not self.notes(), "no note")

    def test_a_volume_that_another_client_has_set_is_left_alone(self):
        server, client = self.in_a_page("80", "160 160")
        other = self.client(self.card, "--once", "--volume", "10",
                            server.name, device="null")
        server.page(wav_bytes(tone(0.1)))
        self.assertEqual(other.wait(), 0)
        other.wait_line("Cannot note the old volume")
        self.assertEqual(self.get_volume(), "160 160")
        client.stop()
        self.assertEqual(self.get_volume(), "50 60")

    def test_a_mixer_that_is_missing_costs_no_page(self):
        _, server, client = self.with_server("--volume", "80", "--mixer",
                                             "Tuba", card=self.card)
        for number in (1, 2):
            server.page(wav_bytes(noise(40000)))
            self.assert_clean(client.wait_line("ended", number))
        self.assertEqual(client.count("Cannot find a playback volume"), 1)
        os.unlink(self.volume)
        server.page(wav_bytes(noise(40000)))
        self.assert_clean(client.wait_line("ended", 3))
        client.wait_line("Cannot open the mixer of 'default'")


class Telling(ClientCase):
    def test_systemd_is_told(self):
        notify = Notify(self.path("notify"))
        self.addCleanup(notify.close)
        _, server, client = self.with_server(env={
            "NOTIFY_SOCKET": notify.path, "WATCHDOG_USEC": "200000"})
        notify.wait(b"READY=1")
        notify.wait(b"STATUS=Connected to 1 of 1 servers")
        notify.wait(b"WATCHDOG=1")
        server.page(wav_bytes(noise(RATE * FRAME)))
        notify.wait(b"STATUS=Page from %s: playing" % server.name.encode())
        notify.wait(b"STATUS=Connected to 1 of 1 servers")
        notify.wait(b"WATCHDOG=1")
        client.signal(signal.SIGTERM)
        notify.wait(b"STOPPING=1")
        self.assertEqual(client.wait(), 0)

    def test_sigusr1_prints_state_and_counters(self):
        server = self.server()
        client = self.client(Card(self.folder), server.name,
                             "127.0.0.1:%d" % free_port())
        server.page(wav_bytes(noise(RATE * FRAME)))
        client.wait_line("ended \\(")
        client.signal(signal.SIGUSR1)
        client.wait_line("State: server %s: connected" % server.name)
        client.wait_line("State: card 'card' closed")
        self.assertIn("1 page, 1 complete, 44100 frames",
                      client.wait_line("Counters"))

    def test_the_meter_is_drawn_on_a_terminal(self):
        for columns, line in (
                (80, r"^ +\d\.\d s \[#+-*\] +-\d+ dB  buffer +\d+ ms  "
                     r"latency +\d+ ms  playing$"),
                (40, r"^ +\d\.\d s \[#+-*\] +-\d+ dB  latency +\d+ ms$")):
            card = Card(self.folder, "card-%d" % columns)
            server = self.server()
            _, screen = self.on_terminal(
                [program("intercom-client"), "-V", "-D", "card", server.name],
                card.env(), columns)
            server.page(wav_bytes(tone(2)))
            screen.wait_shown(line)
            screen.type("typed")
            # The log's lines are above it; nothing is left of it.
            screen.wait_shown(r"losses$")
            text = "".join(screen.shown())
            self.assertRegex(text, r"intercom-client: Page from \S+ begins: "
                                   r"[^:[]*intercom-client: Page .* ended")
            self.assertNotRegex(text, r"\[#|typed")

    def test_options_that_are_wrong_are_explained(self):
        cases = ((("--latency", "0"), "--latency '0'"),
                 (("--delay", "1001"), "--delay '1001'"),
                 (("--volume", "loud"), "--volume 'loud'"),
                 (("--mixer", "Master"), "--mixer needs --volume"),
                 (("[::1",), r"'\[::1': the closing \] is missing"),
                 ((":2348",), "':2348': the host name is missing"),
                 (("--nonsense",), "nonsense"))
        for args, words in cases:
            client = self.start([program("intercom-client"), *args])
            self.assertEqual(client.wait(), 2)
            self.assertRegex(client.output(), words)

    def test_help_is_the_text_that_is_kept(self):
        self.check_help("intercom-client")

    def test_the_version_is_told(self):
        client = self.start([program("intercom-client"), "--version"])
        self.assertEqual(client.wait(), 0)
        self.assertRegex(client.output(), r"^intercom-client \(alsa-intercom\)")


if __name__ == "__main__":
    main()
