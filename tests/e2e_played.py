# SPDX-License-Identifier: MIT
"""Recordings from the server to real clients and to plain players: sent early
to those that can take it, heard whole, and over when they are stopped."""
import struct
import subprocess
import time

from dbus_client import Variant
from e2e_bus import BusCase, ServedCase
from e2e_lib import (Card, main, noise, program, receive, receive_all,
                     wait_until, wav_bytes, without_page_chunk, write_file)

RATE = 8000
FRAME = 2
LEAD_S = 2.0


class PlayedCase(ServedCase):
    def loudspeaker(self, name, *args):
        card = Card(self.folder, name)
        before = self.connected()
        client = self.start(
            [program("intercom-client"), "-D", "card", "--name", name,
             "127.0.0.1:%d" % self.ports["lobby"], *args], env=card.env())
        wait_until(lambda: self.connected() > before, name)
        return client, card

    def connected(self):
        return self.client().call("Status")[0]["clients"]

    def recording(self, seconds, seed):
        sound = noise(int(seconds * RATE) * FRAME, seed)
        path = self.path("sound-%d.wav" % seed)
        write_file(path, wav_bytes(sound, RATE, 1))
        return path, sound

    def play(self, path, *args):
        self.ctl("play", path, "--require-heard", *args)

    def make_known(self):
        """Who has given a receipt is sent the next page early."""
        self.play(self.recording(0.3, 100)[0])


class Whole(PlayedCase):
    def test_a_hook_costs_no_sample(self):
        _, card = self.loudspeaker("hall", "--before", "sleep 1")
        first, sound = self.recording(1.2, 1)
        self.play(first)  # in real time, since the client is not known yet
        self.assertIn(sound, card.sound())
        second, sound = self.recording(1.2, 2)
        self.play(second)
        self.assertIn(sound, card.sound())

    def test_pages_that_follow_one_another(self):
        _, card = self.loudspeaker("hall")
        self.make_known()
        paths, sounds = zip(*[self.recording(0.5, seed) for seed in range(4)])
        plays = [self.ctl_begin("play", "--queue", "--require-heard", path)
                 for path in paths]
        for play in plays:
            self.assertEqual(play.wait(), 0, play.output())
        for sound in sounds:
            self.assertIn(sound, card.sound())

    def test_a_chunk_says_that_it_is_a_recording(self):
        (lobby,) = self.listen("lobby")
        path, sound = self.recording(0.5, 3)
        play = self.ctl_begin("play", path)
        data = receive_all(lobby)
        lobby.close()
        self.assertEqual(play.wait(), 0)
        self.assertEqual(without_page_chunk(data), wav_bytes(sound, RATE, 1))
        flags, = struct.unpack_from("<B", data, 45)
        self.assertEqual(flags, 1 | 8)
        # A player that is not known gets it in real time.
        self.assertEqual(struct.unpack_from("<I", data, 64), (0,))


class KnownCase(PlayedCase):
    def known_socket(self):
        """A socket from an address that has given a receipt."""
        self.loudspeaker("hall")
        self.make_known()
        return self.listen("lobby")[0]


class Early(KnownCase):
    def test_who_is_known_has_the_lead(self):
        lobby = self.known_socket()
        path, sound = self.recording(20, 4)
        play = self.ctl_begin("play", path)
        begun = time.monotonic()
        lead = 0
        size = 76
        while lead < LEAD_S * 0.8:
            size += len(receive(lobby, 800))
            lead = (size - 76) / FRAME / RATE - (time.monotonic() - begun)
            self.assertLess(size, len(sound), "no lead at the page's end")
        self.assertLess(lead, LEAD_S + 0.1)
        # Only what is due counts as sent.
        elapsed = self.client().call("Status")[0]["pages"][0]["seconds"]
        self.assertLess(elapsed, time.monotonic() - begun + 0.1)
        self.ctl("stop")
        play.wait()

    def test_a_stop_is_silence(self):
        client, card = self.loudspeaker("hall")
        self.make_known()
        path, sound = self.recording(20, 5)
        listener = self.listener()
        page = listener.play(self.opened(path), keep=Variant("b", True))
        wait_until(lambda: len(card.sound()) > 2 * RATE * FRAME, "two seconds")
        self.assertEqual(listener.call("Stop", "u", (page,)), [1])
        body = listener.wait_signal("PageEnded", lambda b: b[0] == page)
        self.assertIn("stopped", body)
        client.wait_line(r"ended \(cut-short\)")
        heard = card.sound()
        self.assertIn(sound[:RATE * FRAME], heard)
        # Not the two seconds that the client had in advance.
        self.assertLess(sum(map(bool, heard[1::2])),
                        body[2] + RATE)

    def test_who_comes_late_gets_what_is_due(self):
        self.loudspeaker("hall")
        self.make_known()
        path, sound = self.recording(20, 6)
        play = self.ctl_begin("play", path)
        play.wait_line("is on the air")
        time.sleep(1)  # of the page, to be missed
        begun = self.client().call("Status")[0]["pages"][0]["seconds"]
        (late,) = self.listen("lobby")
        data = receive(late, 76 + 1600)
        at = sound.find(data[76:])
        self.assertGreater(at, 0)
        self.assertGreaterEqual(at / FRAME / RATE, begun - 0.05)
        elapsed = self.client().call("Status")[0]["pages"][0]["seconds"]
        self.assertLess(at / FRAME / RATE, elapsed + 0.05)
        self.ctl("stop")
        play.wait()


class NoLead(KnownCase):
    def setUp(self):
        BusCase.setUp(self)
        self.running = self.server("--ahead", "0")

    def test_a_server_without_ahead(self):
        lobby = self.known_socket()
        path, _ = self.recording(3, 7)
        play = self.ctl_begin("play", path)
        data = receive_all(lobby)
        lobby.close()
        play.wait()
        self.assertEqual(struct.unpack_from("<I", data, 64), (0,))


class Pipes(PlayedCase):
    def test_a_sentence_has_its_size(self):
        (lobby,) = self.listen("lobby")
        sound = noise(3 * RATE * FRAME, 8)
        play = self.ctl_begin("play", "-", stdin=subprocess.PIPE)
        play.child.stdin.write(wav_bytes(b"", RATE, 1)[:40] +
                               struct.pack("<I", 0x7ffff000))
        play.child.stdin.flush()
        # Nothing is on the air before it is there.
        self.assertEqual([p["state"] for p in self.wait_pages()],
                         ["preparing"])
        play.child.stdin.write(sound)
        play.child.stdin.close()
        data = receive_all(lobby)
        lobby.close()
        self.assertEqual(play.wait(), 0)
        self.assertEqual(without_page_chunk(data)[44:], sound)

    def wait_pages(self):
        wait_until(self.pages, "a page")
        return self.pages()

    def test_speech_is_sent_as_it_comes(self):
        (lobby,) = self.listen("lobby")
        play = self.ctl_begin("play", "--live", "-", stdin=subprocess.PIPE)
        sound = noise(RATE * FRAME // 10, 9)
        play.child.stdin.write(wav_bytes(b"", RATE, 1)[:40] +
                               struct.pack("<I", 0xFFFFFFFF) + sound[:FRAME])
        play.child.stdin.flush()
        play.wait_line("is on the air")
        play.child.stdin.write(sound[FRAME:])
        play.child.stdin.flush()
        # Its header has no RIFF chunk: it is a live page. The last bytes
        # may be no samples, which the end tells.
        data = receive(lobby, 44 + len(sound) - 500)
        play.child.stdin.close()
        self.assertEqual((data + receive_all(lobby))[44:], sound)
        lobby.close()
        self.assertEqual(play.wait(), 0)

    def test_a_file_is_not_spoken(self):
        path, _ = self.recording(0.3, 10)
        text = self.ctl("play", "--live", path, status=1)
        self.assertRegex(text, "live.*this is a file, not a pipe")


if __name__ == "__main__":
    main()
