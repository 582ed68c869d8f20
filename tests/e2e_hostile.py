# SPDX-License-Identifier: MIT
"""intercom-client against servers whose headers lie: each ends in one log line
and a closed connection, in bounded memory, and the next page sounds."""
import struct
import threading

from e2e_client import ClientCase
from e2e_lib import Card, PATIENCE, is_closed, main, noise, wav_bytes

MIB = 1 << 20
HEADER_MAX = 16 * MIB  # the longest header that a client accepts
SAMPLES = bytes(400)


def chunk(name, data=b"", size=None):
    return name + struct.pack("<I", len(data) if size is None else size) + data


def form(tag=1, channels=2, rate=44100, align=None, bits=16, size=None,
         more=b""):
    if align is None:
        align = channels * bits // 8
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, rate,
                                      rate * align % (1 << 32), align, bits)
                 + more, size)


def riff(*chunks, size=0xffffffff):
    return b"RIFF" + struct.pack("<I", size) + b"WAVE" + b"".join(chunks)


DATA = chunk(b"data", SAMPLES, 0xffffffff)
EXTENSIBLE = struct.pack("<HHI", 22, 16, 3)
LIES = (
    # name, what is sent, what the log says
    ("no channels", riff(form(channels=0), DATA), "names 0 channels"),
    ("many channels", riff(form(channels=65535, align=0xfffe), DATA),
     "names 65535 channels"),
    ("another block align", riff(form(align=6), DATA), "block align is 6"),
    ("block align that wraps", riff(form(channels=32, bits=32, align=1),
                                    DATA), "block align is 1"),
    ("4 GHz", riff(form(rate=4000000000), DATA), "names 4000000000 Hz"),
    ("0 Hz", riff(form(rate=0), DATA), "names 0 Hz"),
    ("no bits", riff(form(bits=0, align=0), DATA), "PCM of 0 bits"),
    ("many bits", riff(form(bits=65535, align=4), DATA), "PCM of 65535 bits"),
    ("MP3", riff(form(tag=85), DATA), "a WAV file of MP3"),
    ("a format whose size wraps", riff(form(size=0xffffffff), DATA),
     "format has 4294967295 bytes"),
    ("a format that is too short", riff(chunk(b"fmt ", b"\1\0\2\0"), DATA),
     "format has 4 bytes"),
    ("an unknown extensible format",
     riff(form(tag=0xfffe, more=EXTENSIBLE + b"\xff" * 16), DATA),
     "extensible format is of an unknown kind"),
    ("an extensible format that is cut off",
     riff(form(tag=0xfffe, more=b"\0\0"), DATA),
     "extensible format is cut off"),
    ("a chunk of 4 GB", riff(chunk(b"LIST", size=0xffffffff), form(), DATA),
     "chunk of 4294967295 bytes"),
    ("a chunk of 4 GB before data",
     riff(form(), chunk(b"LIST", size=0xfffffffe), DATA),
     "chunk of 4294967294 bytes"),
    ("two formats", riff(form(), form(channels=1), DATA), "two formats"),
    ("samples before the format", riff(DATA, form()),
     "samples come before their format"),
    ("big-endian", b"RIFX" + riff(form(), DATA)[4:], "it is a big-endian WAV file"),
    ("another kind of file", b"OggS" + bytes(100), "it is an Ogg file"),
    ("another protocol", b"HTTP/1.1 400 Bad Request\r\n\r\n",
     "does not begin with RIFF"),
    ("zeros", bytes(1000), "does not begin with RIFF"),
    ("control characters", b"RIFF\x1b[2J\x07" + bytes(100),
     "does not begin with RIFF"),
)
NO_PAGE = "This is not a page: "


class Flood(threading.Thread):
    """Sends the same bytes repeatedly until that fails or all are sent."""

    def __init__(self, connection, block, count):
        super().__init__(daemon=True)
        self.connection = connection
        self.block = block
        self.count = count
        self.sent = 0
        self.refused = False
        self.start()

    def run(self):
        try:
            while self.sent < self.count:
                self.connection.sendall(self.block)
                self.sent += 1
        except (BrokenPipeError, ConnectionResetError):
            self.refused = True


class Hostile(ClientCase):
    def setUp(self):
        super().setUp()
        self.card = Card(self.folder)
        self.lying = self.server()
        self.client_process = self.client(self.card, self.lying.name)
        self.complaints = self.pages = 0

    def assert_one_line(self, words):
        self.complaints += 1
        line = self.client_process.wait_line(NO_PAGE, self.complaints)
        self.assertRegex(line, words)

    def assert_next_page_sounds(self):
        """Checks also that there is no second line about the lie."""
        client = self.client_process
        before = len(self.card.sound())
        self.pages += 1
        data = noise(4000, self.pages)
        self.lying.page(wav_bytes(data))
        self.assert_clean(client.wait_line(r"ended \(", self.pages))
        self.assertIn(data, self.card.sound()[before:])
        self.assertEqual(client.count(NO_PAGE), self.complaints)
        self.assertIsNone(client.child.poll())

    def test_a_header_that_lies_is_named_once_and_the_next_page_sounds(self):
        for name, lie, words in LIES:
            with self.subTest(name):
                connection = self.lying.accept()
                connection.sendall(lie)
                self.assert_one_line(words)
                self.assertTrue(is_closed(connection))
                connection.close()
                self.assert_next_page_sounds()

    def flood(self, begin, block):
        """A header without an end; halfway, memory must not have grown."""
        connection = self.lying.accept()
        before = self.client_process.rss_kib()
        connection.sendall(begin)
        half = Flood(connection, block, HEADER_MAX // 2 // len(block))
        half.join(PATIENCE)
        self.assertFalse(half.refused, "the first half is accepted")
        self.assertLess(self.client_process.rss_kib() - before,
                        4 * MIB // 1024)
        rest = Flood(connection, block, 1 << 30)
        self.assert_one_line("samples do not begin within|did not end within")
        rest.join(PATIENCE)
        self.assertTrue(rest.refused, "there is an end")
        self.assertLess(rest.sent * len(block), 2 * HEADER_MAX)
        connection.close()
        self.assert_next_page_sounds()

    def test_empty_chunks_without_an_end(self):
        self.flood(riff(form()), chunk(b"junk") * 8192)

    def test_small_chunks_without_an_end(self):
        self.flood(riff(), chunk(b"junk", b"12345\0", 5) * 8192)

    def test_large_chunks_without_an_end(self):
        self.flood(riff(form()), chunk(b"junk", bytes(MIB - 8)))

    def test_a_page_of_4_gb_that_is_not_sent_takes_no_memory(self):
        before = self.client_process.rss_kib()
        connection = self.lying.accept()
        connection.sendall(riff(form(), chunk(b"data", SAMPLES, 0x6fffffff)))
        self.client_process.wait_line("begins: ")
        self.assertLess(self.client_process.rss_kib() - before,
                        16 * MIB // 1024)
        connection.close()
        self.pages += 1
        self.client_process.wait_line(r"ended \(cut-short\)", 1)
        self.assert_next_page_sounds()


if __name__ == "__main__":
    main()
