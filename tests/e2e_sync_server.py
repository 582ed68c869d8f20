# SPDX-License-Identifier: MIT
"""intercom-server --sync: what it promises in the header of each connection,
and how it keeps that."""
import collections
import os
import struct
import threading
import time

from e2e_bus import BusCase
from e2e_lib import (CHUNK, Card, FRAME, free_port, in_time, main, noise, page_size,
                     program, receive, receive_all, wait_until, wav_bytes,
                     without_page_chunk)
from e2e_hang import Disk
from e2e_server import ServerCase

PLAYED, SCHEDULE, TRUSTED, REAL_TIME = 1, 2, 4, 8
HEADER = 76
NS = 1000000000
RATE = 48000
# A retimer knows its card to within this, where nothing held it up.
BLUR_NS = 1000000

Said = collections.namedtuple(
    "Said", "flags error_us sound_ns budget_us ahead_us")


def said(header):
    """The RIFF chunk "page" of a header of 76 bytes."""
    assert header[36:44] == b"page\x18\0\0\0", header
    version, flags, zero, *rest = struct.unpack_from("<BBHIqII", header, 44)
    assert (version, zero) == (1, 0), header
    return Said(flags, *rest)


def epoch(schedule):
    return schedule.sound_ns - schedule.budget_us * 1000


def ns_of(frames, rate):
    return frames * NS // rate


class SyncCase(ServerCase):
    def sync_server(self, *args, capture="clicks 1", options="", patient=False,
                    **kwargs):
        card = Card(self.folder, "mic%d" % len(self.processes),
                    capture=capture, options=options, patient=patient)
        return self.server("-r", str(RATE), "-c", "1", *args, card=card,
                           **kwargs)

    def loudspeaker(self):
        card = Card(self.folder, "speaker", patient=False)
        return self.start([program("intercom-client"), "-D", "card",
                           "127.0.0.1:%d" % self.port], env=card.env())

    def assert_flags(self, schedule, flags):
        """The wall clock of the machine is trusted or not, and has an error
        then."""
        self.assertEqual(schedule.flags & ~TRUSTED, flags)
        if schedule.flags & TRUSTED:
            self.assertLessEqual(schedule.error_us, 500)

    def assert_now(self, schedule):
        """What begins now sounds when its budget is over."""
        self.assertLess(abs(epoch(schedule) - time.time_ns()), NS)

    def assert_same_line(self, whole, part, rate, frame):
        """PART, received later on, is promised for the same moments as the
        same frames of WHOLE. Returns the number of its first one."""
        at = whole[HEADER:].find(part[HEADER:HEADER + 4096])
        self.assertGreaterEqual(at, 0)
        self.assertEqual(at % frame, 0)
        difference = said(part).sound_ns - said(whole).sound_ns
        self.assertLessEqual(abs(difference - ns_of(at // frame, rate)), 1)
        return at // frame

    def assert_clicks(self, data, rate, seconds, blur_ns=BLUR_NS):
        """Each click of the microphone, on a whole second of CLOCK_MONOTONIC,
        is where the schedule says."""
        begin_ns = (epoch(said(data)) - time.time_ns() + time.monotonic_ns())
        loud = [n for n, (value,) in enumerate(
                    struct.iter_unpack("<h", data[HEADER:]))
                if value > 16000]
        clicks = [n for i, n in enumerate(loud)
                  if i == 0 or n > loud[i - 1] + rate // 1000]
        phases = [(begin_ns + ns_of(n, rate)) % NS for n in clicks]
        # The card also clicks 50 ms after each tenth second.
        phases = [p if p < NS // 2 else p - NS for p in phases
                  if not 0.04 * NS < p < 0.06 * NS]
        self.assertGreaterEqual(len(phases), seconds)
        for phase in phases:
            self.assertLess(abs(phase), blur_ns, phases)


class Live(SyncCase):
    def test_without_it_a_page_is_as_it_ever_was(self):
        server = self.server("-d", "0.5")
        data = self.hear(server)
        self.assertEqual(data[36:40], b"data")
        self.assertEqual(data[44:], self.sound[:page_size(0.5)])
        self.assertNotIn("step", server.output())

    def test_a_budget_is_a_chunk_and_a_tenth_of_a_second(self):
        server = self.sync_server("-d", "0.2", "--sync")
        server.wait_line("All loudspeakers sound in step, 121 ms after")
        data = self.hear(server)
        schedule = said(data)
        self.assert_flags(schedule, SCHEDULE | REAL_TIME)
        # Less what the resampler looks ahead.
        self.assertEqual(schedule.budget_us, 100000 + CHUNK * 1000000 // RATE -
                         16 * 1000000 // RATE)
        self.assertEqual(schedule.ahead_us, 0)
        self.assert_now(schedule)
        _, frames = self.parse(data)
        self.assertEqual(len(frames), page_size(0.2, RATE, 2))

    def test_zones_and_late_joiners_are_on_one_line(self):
        ports = [self.port_of("lobby"), self.port_of("yard")]
        server = self.sync_server(
            "-d", "0", "--sync=300", *self.listening, listen=False,
            capture=noise(RATE * 20))
        lobby, yard = self.both(server, *ports)
        server.write("\n")
        first = receive(lobby, HEADER)
        other = receive(yard, HEADER)
        self.assertEqual(first, other)
        self.assertEqual(said(first).budget_us,
                         300000 - 16 * 1000000 // RATE)
        first += receive(lobby, RATE)
        (late,) = self.connect(ports[1])
        second = receive(late, HEADER + 4096)
        wait_until(lambda: server.write("\n") or
                   server.count("Page 1: .*reached"), "the end")
        first += receive_all(lobby)
        self.assertGreater(self.assert_same_line(first, second, RATE, 2),
                           RATE // 2)

    def port_of(self, zone):
        port = free_port()
        self.listening = getattr(self, "listening", []) + [
            "-l", "%s=127.0.0.1:%d" % (zone, port)]
        return port

    def test_nothing_arrives_before_it_was_said(self):
        """A card that is fast by 2000 ppm would bring it 6 ms early."""
        server = self.sync_server("-d", "3", "--sync", "--period-size", "128",
                                  options="drift 2000")
        (s,) = self.on_air(server)
        schedule = said(receive(s, HEADER))
        size, worst = 0, NS
        while piece := s.recv(65536):
            size += len(piece)
            worst = min(worst, time.time_ns() - epoch(schedule) -
                        ns_of(size // 2, RATE))
        self.assertEqual(size, int(3 * RATE / 128) * 128 * 2)
        self.assertGreater(worst, -BLUR_NS)

    @in_time
    def test_the_microphones_own_rate_is_not_heard(self):
        for ppm in (-500, 500):
            server = self.sync_server("-d", "6", "--sync",
                                      options="drift %d" % ppm)
            self.assert_clicks(self.hear(server), RATE, 5)
            server.stop()

    @in_time
    def test_a_card_that_begins_late_is_on_the_line(self):
        server = self.sync_server("-d", "3", "--sync",
                                  options="start_delay 300")
        data = self.hear(server)
        self.assertFalse(any(data[HEADER:HEADER + RATE // 4 * 2]))
        self.assert_clicks(data, RATE, 2)
        self.assertIn("0 overruns", server.wait_line("Page 1: .*reached"))

    @in_time
    def test_loudspeakers_do_not_wait_for_a_card_that_begins_late(self):
        """They would give up the schedule before the first frame."""
        server = self.sync_server("-d", "3", "--sync",
                                  options="start_delay 500")
        client = self.loudspeaker()
        self.press_enter(server)
        line = client.wait_line("ended \\(complete")
        self.assertIn("in step within", line)
        self.assertIn(" 0 ms dropped", line)
        self.assertEqual(client.count("out of step"), 0, client.output())

    @in_time
    def test_an_overrun_is_silence_of_its_length(self):
        server = self.sync_server("-d", "5", "--sync")
        (s,) = self.on_air(server)
        data = receive(s, HEADER + RATE * 2 * 2)
        self.card.set("xrun")
        data += receive_all(s)
        self.assertIn("1 overrun", server.wait_line("Page 1: .*reached"))
        self.assert_clicks(data, RATE, 4)

    @in_time
    def test_a_card_that_stands_still_is_back_on_the_line(self):
        """It tells of no overrun: USB packets that are lost are not told."""
        server = self.sync_server("-d", "6", "--sync")
        (s,) = self.on_air(server)
        data = receive(s, HEADER + RATE * 2 * 2)
        self.card.set("stalled")
        still = threading.Timer(0.4, self.card.clear, ["stalled"])
        still.start()
        data += receive_all(s)
        still.join()
        self.assertIn("1 overrun", server.wait_line("Page 1: .*reached"))
        self.assert_clicks(data, RATE, 4)

    @in_time
    def test_a_card_of_another_rate_than_it_says_is_kept_on_the_line(self):
        server = self.sync_server("-d", "5", "--sync",
                                  options="drift -10000")
        data = self.hear(server)
        self.assert_clicks(data, RATE, 4, 10 * BLUR_NS)
        self.assertNotIn(" 0 overruns", server.wait_line("Page 1: .*reached"))

    def test_a_device_of_long_periods_gets_the_time_that_it_takes(self):
        """Chunks of 128 frames come 32 at a time."""
        server = self.sync_server("-d", "2", "--sync=12", "--period-size",
                                  "128", capture="tone 440",
                                  options="step -1 period_bytes_min 8192")
        data = self.hear(server)
        self.assertEqual(said(data).budget_us,
                         4096 * 1000000 // RATE + 39000)
        server.wait_line(r"Page 1 sounds 125 ms after it is spoken, not 12 \(--"
                         r"sync\): .*pieces of 85.3 ms, and 0.3 ms are held")

    @in_time
    def test_the_shortest_time_that_is_accepted_is_enough(self):
        server = self.sync_server("-d", "2", "--sync=42.8")
        client = self.loudspeaker()
        # A busy machine may take a page of it out of step, but not each.
        for page in range(1, 6):
            self.press_enter(server)
            line = client.wait_line("ended \\(complete", page)
            server.wait_line("Page %d: " % page)
            if "in step within" in line:
                return
        self.fail(client.output())

    def test_a_chime_is_not_resampled(self):
        chime = noise(RATE * 2, seed=7)
        path = self.wav_file("gong.wav", chime, RATE, 1)
        server = self.sync_server("-d", "1", "--sync", "--chime", path,
                                  options="drift 300")
        data = self.hear(server)
        self.assertEqual(data[HEADER:HEADER + len(chime)], chime)
        self.assertEqual(len(data), HEADER + len(chime) +
                         page_size(1, RATE, 2))

    def test_every_format_is_retimed(self):
        for fmt, width, header in (("U8", 1, 76), ("S24_3LE", 3, 100),
                                   ("S24_LE", 3, 100), ("S32_LE", 4, 100),
                                   ("FLOAT_LE", 4, 112), ("A_LAW", 1, 112),
                                   ("MU_LAW", 1, 112)):
            with self.subTest(format=fmt):
                server = self.sync_server("-f", fmt, "-d", "0.3", "--sync",
                                          capture="tone 440",
                                          options="drift 200")
                data = self.hear(server)
                size = page_size(0.3, RATE, width)
                self.assertEqual(len(data), header + size)
                self.assertGreater(len(set(data[-size // 2:])), 20)
                server.stop()


class Laggards(SyncCase):
    HEADER = 112

    def test_one_that_lags_is_ended_and_comes_back_in_step(self):
        server = self.sync_server("-v", "-d", "0", "--sync", "--max-lag", "0.5",
                                  "-f", "FLOAT_LE", "-r", "192000",
                                  capture="tone 440")
        (slow,) = self.clients(1, rcvbuf=4096)
        (honest,) = self.accepted(server)
        self.wait_clients(server, 2)
        done = self.collect([honest])
        server.write("\n")
        server.wait_line("The page is ended for .*, which lags")
        # It ends although the page goes on, with a whole frame.
        part = receive_all(slow)
        slow.close()
        (again,) = self.connect(self.port)
        back = receive(again, self.HEADER)
        server.write("\n")
        back += receive_all(again)
        (whole,) = done()
        self.assertTrue(whole.startswith(part))
        self.assertEqual((len(part) - self.HEADER) % 4, 0)
        self.assertLess(len(part), len(whole))
        self.assertEqual(whole[-len(back) + self.HEADER:],
                         back[self.HEADER:])
        joined = (len(whole) - len(back)) // 4
        self.assertLessEqual(abs(
            self.sound_ns(back) - self.sound_ns(whole) -
            ns_of(joined, 192000)), 1)
        line = server.wait_line("Page 1: .*reached")
        self.assertIn("2 clients reached, 1 lost, 1 skip", line)

    def sound_ns(self, data):
        return struct.unpack_from("<q", data, data.index(b"page") + 16)[0]


class Stored(SyncCase):
    def test_a_stored_page_sounds_at_once_after_its_end(self):
        sound = noise(RATE * 4)
        server = self.sync_server("-d", "1", "--mode", "store", "--sync=250",
                                  capture=sound, patient=True)
        data = self.hear(server)
        schedule = said(data)
        self.assert_flags(schedule, SCHEDULE)
        self.assertEqual(schedule.budget_us, 250000)
        self.assert_now(schedule)
        # Recorded as it came: what plays it has another clock anyway.
        self.assertEqual(data[HEADER:], sound[:page_size(1, RATE, 2)])


class Spoken(BusCase):
    def hear_louder(self, *args):
        self.server("--sync", "-r", str(RATE), "-c", "1")
        (lobby,) = self.listen("lobby")
        talk = self.ctl_begin("talk", "-d", "0.5", "--gain", "6", *args)
        data = receive_all(lobby)
        self.assertEqual(talk.wait(), 0)
        # Who goes by arrivals is told that the limiter looks ahead.
        self.assertEqual(said(data).budget_us, 100000 + CHUNK * 1000000 // RATE
                         - (16 + RATE // 200) * 1000000 // RATE)
        return data[HEADER:]

    def test_a_louder_page_says_how_long_it_is_held_back(self):
        self.assertEqual(len(self.hear_louder()), page_size(0.5, RATE, 2))

    def test_a_chime_before_it_is_as_late_as_it(self):
        chime = noise(RATE, seed=7)
        path = self.wav_file("gong.wav", chime, RATE, 1)
        data = self.hear_louder("--chime", path)
        self.assertEqual(data[:len(chime)], chime)
        self.assertEqual(len(data), len(chime) + page_size(0.5, RATE, 2))


class Played(BusCase):
    assert_same_line = SyncCase.assert_same_line
    assert_now = SyncCase.assert_now
    assert_flags = SyncCase.assert_flags

    def test_a_recording_has_a_schedule(self):
        self.server("--sync=50")
        (lobby,) = self.listen("lobby")
        sound = noise(8000 * 2 * 4, seed=3)
        path = self.wav_file("sound.wav", sound, 8000, 1)
        play = self.ctl_begin("play", path)
        first = receive(lobby, HEADER + 16000)
        (late,) = self.listen("lobby")
        second = receive(late, HEADER + 4096)
        first += receive_all(lobby)
        self.assertEqual(play.wait(), 0)
        schedule = said(first)
        self.assert_flags(schedule, PLAYED | SCHEDULE | REAL_TIME)
        # It is sent in pieces of 20 ms.
        self.assertEqual(schedule.budget_us, 120000)
        self.assertLess(epoch(schedule), time.time_ns() - 3 * NS)
        self.assertEqual(without_page_chunk(first),
                         wav_bytes(sound, 8000, 1))
        self.assertGreater(self.assert_same_line(first, second, 8000, 2), 0)

    def test_a_disk_that_hangs_costs_what_is_late(self):
        disk = Disk(self.folder)
        os.environ.update(disk.env())
        try:
            self.server("--sync")
        finally:
            for name in disk.env():
                os.environ.pop(name)
        (lobby,) = self.listen("lobby")
        rate, size = 96000, 96000 * 8 * FRAME
        sound = noise(size, seed=4).replace(b"\0\0", b"\1\1")
        path = self.wav_file("disk/sound.wav", sound, rate, 2)
        play = self.ctl_begin("play", path)
        data = receive(lobby, HEADER + 4096)
        disk.hang("read")
        silence = bytes(20000)
        while silence not in data[-30000:]:
            data += receive(lobby, 4096)
        disk.answer()
        data = data[HEADER:] + receive_all(lobby)
        self.assertEqual(play.wait(), 0)
        # All of it is where it belongs, but for what was silence then.
        self.assertEqual(len(data), size)
        begin = data.index(silence)
        begin -= begin % FRAME
        end = data.rindex(silence) + len(silence)
        end += -end % FRAME
        self.assertEqual(data[:begin], sound[:begin])
        self.assertEqual(data[end:], sound[end:])
        self.assertGreater(len(data) - end, 0)


class Options(ServerCase):
    def refuse(self, *args):
        process = self.start([program("intercom-server"), *args])
        self.assertEqual(process.wait(), 2)
        return process.output()

    def test_a_budget_has_room_for_a_chunk(self):
        self.assertIn("a number from 10 to 4000", self.refuse("--sync=9"))
        self.assertIn("a number from 10 to 4000", self.refuse("--sync=4001"))
        self.assertIn(
            "--sync '20': a chunk of 1024 frames (--period-size) is 23.2 ms; "
            "46.0 or more are needed", self.refuse("--sync=20"))


if __name__ == "__main__":
    main()
