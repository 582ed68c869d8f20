#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Pages through a real sound server: tests/sound-server runs this.

Noise is played to the sink "mouth", whose monitor is the server's microphone;
the client plays to "room", whose monitor is recorded. The programs use ALSA's
default card, as they would on a desktop."""
import glob
import unittest

from e2e_lib import *

SOUND_SERVER = os.environ.get("INTERCOM_SOUND_SERVER")
PIECE = 256 * FRAME


def on(sink, capture=False):
    """The environment of a program that plays to a sink or hears it."""
    env = dict(os.environ)
    del env["ALSA_CONFIG_PATH"]
    if SOUND_SERVER == "pulseaudio":
        env["PULSE_SOURCE" if capture else "PULSE_SINK"] = \
            sink + ".monitor" if capture else sink
    else:
        env["PIPEWIRE_ALSA"] = "{ target.object=%s stream.capture.sink=%s }" \
            % (sink, "true" if capture else "false")
    return env


def fails_with_pulseaudio(test):
    """ALSA's plug-in for it has no delay to tell before it has timing (-EIO),
    and its ring is not the last buffer: the client takes the card for lost, or
    closes it before the end has sounded. Shown, and to be mended."""
    return unittest.expectedFailure(test) if SOUND_SERVER == "pulseaudio" \
        else test


def find_pieces(pieces, path):
    """How many are in a recording, in their order, and with how many gaps: a
    sound server on a busy machine has pauses of its own."""
    with open(path, "rb") as f:
        sound = f.read()
    heard, gaps, end = 0, 0, -1
    for piece in pieces:
        place = sound.find(piece, max(end, 0))
        if place >= 0:
            heard += 1
            gaps += end not in (-1, place)
            end = place + len(piece)
    return heard, gaps


class Desktop(Case):
    def setUp(self):
        super().setUp()
        with open(self.path("speech.raw"), "wb") as f:
            f.write(noise(RATE * FRAME * 30))
        self.start(["aplay", "-q", "-t", "raw", "-f", "cd",
                    self.path("speech.raw")], env=on("mouth"))

    def record(self):
        """Begins a recording of the room, which is never of no sound at all."""
        path = self.path("room.raw")
        self.start(["arecord", "-q", "-t", "raw", "-f", "cd", path],
                   env=on("room", capture=True))
        wait_until(lambda: os.path.exists(path) and os.path.getsize(path) > 0,
                   "the room's recording")
        return path

    def page(self, seconds, *mode):
        """One page; returns its samples, what the client says, the room."""
        port = free_port()
        server = self.start(
            [program("intercom-server"), "-D", "default", "-i", "-d",
             str(seconds), "-l", "127.0.0.1:%d" % port, *mode],
            env=on("mouth", capture=True), stdin=subprocess.PIPE)
        room = self.record()
        client = self.start(
            [program("intercom-client"), "-D", "default", "--once", "--save",
             self.folder, "127.0.0.1:%d" % port], env=on("room"))
        wait_until(lambda: server.write("status\n") or
                   server.count("1 clients"), "the client")
        server.write("\n")
        line = client.wait_line(r"ended \(")
        with wave.open(glob.glob(self.path("*.wav"))[0]) as w:
            page = w.readframes(w.getnframes())
        self.assertEqual(len(page) // FRAME, int(RATE / CHUNK * seconds) * CHUNK)
        return page, line, room

    def check(self, seconds, *mode):
        page, line, room = self.page(seconds, *mode)
        pieces = [page[i:i + PIECE] for i in range(0, len(page), PIECE)]
        try:
            wait_until(lambda: find_pieces(pieces, room)[0] == len(pieces),
                       "the whole page in the room", 3)
        except AssertionError:
            pass
        heard, gaps = find_pieces(pieces, room)
        figures = "%d of %d pieces were heard, with %d gaps; %s" % (
            heard, len(pieces), gaps, line.split("ended ")[1])
        print(figures, file=sys.stderr)
        self.assertEqual(heard, len(pieces), figures)
        self.assertRegex(line, r"ended \(complete\)")

    @fails_with_pulseaudio
    def test_live_page_of_50_ms(self):
        self.check(0.05)

    @fails_with_pulseaudio
    def test_live_page_of_half_a_second(self):
        self.check(0.5)

    @fails_with_pulseaudio
    def test_live_page_of_5_seconds(self):
        self.check(5)

    @fails_with_pulseaudio
    def test_stored_page_of_50_ms(self):
        self.check(0.05, "--mode", "store")

    @fails_with_pulseaudio
    def test_stored_page_of_half_a_second(self):
        self.check(0.5, "--mode", "store")

    @fails_with_pulseaudio
    def test_stored_page_of_5_seconds(self):
        self.check(5, "--mode", "store")


if __name__ == "__main__":
    if not SOUND_SERVER:
        sys.exit("tests/sound-server runs this")
    main()
