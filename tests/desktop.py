#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Pages through a real sound server: tests/sound-server runs this.

Noise is played to the sink "mouth", whose monitor is the server's microphone;
the client plays to "room", whose monitor is recorded. PulseAudio has more: what
is played to "tunnel" sounds at another daemon's sink "far", 250 ms later; and
"desk" takes back what has not sounded when a client closes it. The programs use
ALSA's default card, as they would on a desktop."""
import glob

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
        if sink == "far":
            env["PULSE_SERVER"] = os.environ["INTERCOM_FAR_SERVER"]
    else:
        env["PIPEWIRE_ALSA"] = "{ target.object=%s stream.capture.sink=%s }" \
            % (sink, "true" if capture else "false")
    return env


def find_pieces(pieces, sound):
    """How many are in a recording, in their order, and with how many gaps: a
    sound server on a busy machine has pauses of its own."""
    heard, gaps, end = 0, 0, -1
    for piece in pieces:
        place = sound.find(piece, max(end, 0))
        if place >= 0:
            heard += 1
            gaps += end not in (-1, place)
            end = place + len(piece)
    return heard, gaps


def send_pages(listener, pages):
    """A page to each connection, as soon as it is there; then no more."""
    with listener:
        for page in pages:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(page)
                connection.shutdown(socket.SHUT_WR)
                is_closed(connection)


class Room(Case):
    """Pages to a sink, and what is heard there."""
    SINK = HEARD_AT = "room"
    ARGUMENTS = []

    def record(self):
        """Begins a recording of the room, which is never of no sound at all.
        Its buffer is long, so that a busy machine costs no sound."""
        path = self.path("room.raw")
        self.recorder = self.start(
            ["arecord", "-q", "--buffer-time=2000000", "-t", "raw", "-f", "cd",
             path], env=on(self.HEARD_AT, capture=True))
        wait_until(lambda: os.path.exists(path) and os.path.getsize(path) > 0,
                   "the room's recording")
        return path

    def client(self, port, *args):
        return self.start([program("intercom-client"), "-D", "default",
                           *self.ARGUMENTS, *args, "127.0.0.1:%d" % port],
                          env=on(self.SINK))

    def heard(self, pieces, room):
        """How many of the pieces are in the recording, and with how many gaps,
        once all are, or nothing of them comes any more."""
        def look():
            found.append(find_pieces(pieces, contents(room)))
            return found[-1][0] == len(pieces)
        found = []
        try:
            wait_until(look, "the whole page in the room", 3, 0.2)
        except AssertionError:
            pass
        return found[-1]


class SpokenPages(Room):
    def setUp(self):
        super().setUp()
        write_file(self.path("speech.raw"), noise(RATE * FRAME * 30))
        self.start(["aplay", "-q", "-t", "raw", "-f", "cd",
                    self.path("speech.raw")], env=on("mouth"))

    def page(self, seconds, *mode):
        """One page; returns its samples, what the client says, the room."""
        port = free_port()
        server = self.start(
            [program("intercom-server"), "-D", "default", "-i", "-d",
             str(seconds), "-l", "127.0.0.1:%d" % port, *mode],
            env=on("mouth", capture=True), stdin=subprocess.PIPE)
        room = self.record()
        client = self.client(port, "--once", "--save", self.folder)
        wait_until(lambda: server.write("status\n") or
                   server.count("1 client$"), "the client")
        server.write("\n")
        line = client.wait_line(r"ended \(")
        with wave.open(glob.glob(self.path("*.wav"))[0]) as w:
            page = w.readframes(w.getnframes())
        self.assertEqual(len(page), page_size(seconds))
        return page, line, room

    def check(self, seconds, *mode):
        page, line, room = self.page(seconds, *mode)
        pieces = [page[i:i + PIECE] for i in range(0, len(page), PIECE)]
        # PipeWire's microphone begins with 1024 frames of silence, which is
        # everywhere.
        pieces = [piece for piece in pieces if any(piece)]
        self.assertGreaterEqual(len(pieces), page_size(seconds) // PIECE - 4)
        heard, gaps = self.heard(pieces, room)
        figures = "%d of %d pieces were heard, with %d gaps; %s" % (
            heard, len(pieces), gaps, line.split("ended ")[1])
        print(figures, file=sys.stderr)
        self.assertEqual(heard, len(pieces), figures)
        self.assertRegex(line, r"ended \(complete\)")


class StoredPages(SpokenPages):
    def test_stored_page_of_50_ms(self):
        self.check(0.05, "--mode", "store")

    def test_stored_page_of_half_a_second(self):
        self.check(0.5, "--mode", "store")

    def test_stored_page_of_5_seconds(self):
        self.check(5, "--mode", "store")


class LivePages(SpokenPages):
    @in_time
    def test_live_page_of_50_ms(self):
        self.check(0.05)

    @in_time
    def test_live_page_of_half_a_second(self):
        self.check(0.5)

    @in_time
    def test_live_page_of_5_seconds(self):
        self.check(5)


class PagesAtOnce(Room):
    """A hundred, each sent whole as soon as the client has come back."""

    def check(self, seconds):
        listener = socket.create_server(("127.0.0.1", 0))
        size = page_size(seconds)
        sound = noise(100 * size)
        pages = [sound[i:i + size] for i in range(0, len(sound), size)]
        sender = threading.Thread(target=send_pages, args=(
            listener, [wav_bytes(page) for page in pages]), daemon=True)
        room = self.record()
        client = self.client(listener.getsockname()[1])
        sender.start()
        client.wait_line(r"ended \(", len(pages), 4 * PATIENCE)
        heard, _ = self.heard(pages, room)
        figures = "%d of %d pages were heard whole" % (heard, len(pages))
        print(figures, file=sys.stderr)
        self.assertEqual(client.count(r"ended \(complete\)"), len(pages),
                         client.output())
        self.assertEqual(client.count("is lost"), 0, client.output())
        self.assertEqual(heard, len(pages), figures + "\n" +
                         self.recorder.output() + "\n" + client.output())

    @in_time
    def test_a_hundred_pages_of_50_ms(self):
        self.check(0.05)

    @in_time
    def test_a_hundred_pages_of_half_a_second(self):
        self.check(0.5)


if SOUND_SERVER == "pulseaudio":
    class LivePagesThroughTunnel(LivePages):
        SINK, HEARD_AT = "tunnel", "far"

    class StoredPagesThroughTunnel(StoredPages):
        SINK, HEARD_AT = "tunnel", "far"

    class PagesAtOnceThroughTunnel(PagesAtOnce):
        SINK, HEARD_AT = "tunnel", "far"

    class StoredPagesToTheirEnd(StoredPages):
        """The beginning is silence, which the monitor loses."""
        SINK = HEARD_AT = "desk"
        ARGUMENTS = ["--lead-in=1000"]


if __name__ == "__main__":
    if not SOUND_SERVER:
        sys.exit("tests/sound-server runs this")
    main()
