# SPDX-License-Identifier: MIT
"""Other programs at either end: the peers of the scripts that this project began
as, and any program that reads or writes WAV over TCP."""
import os
import socket
import struct
import subprocess
import threading
import wave

from e2e_lib import (Card, Case, FRAME, RATE, connect, contents, free_port,
                     main, noise, page_size, program, receive_all, wait_until,
                     wav_bytes, write_file)
from e2e_server import ServerCase


class ServerSide(ServerCase):
    """intercom-server with foreign clients."""

    def shell(self, command):
        """A client that is a shell pipeline."""
        return self.start(["sh", "-c", command], env=self.card.env())

    def stop_when_sounding(self, server, out, size):
        wait_until(lambda: os.path.exists(out) and
                   os.path.getsize(out) > size, "samples in " + out)
        server.write("\n")

    def test_nc_and_aplay_play_a_fixed_page(self):
        server = self.server("-d", "1")
        client = self.shell("nc -d 127.0.0.1 %d | aplay -q -D plugcard -"
                            % self.port)
        self.press_enter(server)
        self.assertEqual(client.wait(), 0, client.output())
        size = page_size(1)
        played = self.card.sound()
        self.assertEqual(played[:size], self.sound[:size])

    def test_nc_and_aplay_play_an_open_ended_page(self):
        server = self.server("-d", "0")
        client = self.shell("nc -d 127.0.0.1 %d | aplay -q -D plugcard -"
                            % self.port)
        self.press_enter(server)
        self.stop_when_sounding(server, self.card.played, 50000)
        client.wait()
        played = self.card.sound()
        self.assertGreater(len(played), 50000)
        self.assertEqual(played[:50000], self.sound[:50000])

    def check_reader(self, command, written, sound):
        """A program must read a page of a second, and one without an end, into
        the files of these names."""
        for seconds in ("1", "0"):
            with self.subTest(seconds=seconds):
                server = self.server("-d", seconds)
                client = self.shell("cd %s; %s" % (
                    self.folder, command.replace("PORT", str(self.port))))
                self.press_enter(server)
                if seconds == "0":
                    self.stop_when_sounding(server, self.path(written), 50000)
                self.assertEqual(client.wait(), 0, client.output())
                data = contents(self.path(sound))
                self.assertGreater(len(data), 40000)
                self.assertEqual(data, self.sound[:len(data)])
                if seconds == "1":
                    self.assertEqual(len(data), page_size(1))
                server.stop()
                # Frees the name: another card may be made with it.
                os.rename(self.path("mic"), self.path("mic-%d" % self.port))
                os.unlink(self.path(written))

    def test_ffmpeg_reads_a_fixed_and_an_open_ended_page(self):
        self.check_reader(
            "exec ffmpeg -nostdin -loglevel error -flush_packets 1 -f wav "
            "-i tcp://127.0.0.1:PORT -f s16le -c:a pcm_s16le out.raw",
            "out.raw", "out.raw")

    def test_sox_reads_a_fixed_and_an_open_ended_page(self):
        self.check_reader("nc -d 127.0.0.1 PORT | tee in.wav | "
                          "sox -V1 -t wav - -t raw out.raw",
                          "in.wav", "out.raw")

    def test_python_wave_reads_from_the_socket(self):
        server = self.server("-d", "0.5")
        with connect(self.port) as s:
            self.press_enter(server)
            with s.makefile("rb") as f, wave.open(f) as w:
                self.assertEqual(w.getnframes(), page_size(0.5) // FRAME)
                data = w.readframes(w.getnframes())
        self.assertEqual(data, self.sound[:page_size(0.5)])

    def test_python_wave_reads_an_open_ended_page(self):
        server = self.server("-d", "0")
        with connect(self.port) as s:
            self.press_enter(server)
            with s.makefile("rb") as f, wave.open(f) as w:
                data = w.readframes(10000)
                server.write("\n")
        self.assertEqual(data, self.sound[:10000 * FRAME])

    def test_the_first_client_that_reads_16_bytes_at_a_time(self):
        server = self.server("-d", "1")
        with connect(self.port) as s:
            self.press_enter(server)
            data = receive_all(s, 16)
        self.assertEqual(data, wav_bytes(self.sound[:page_size(1)]))


class FirstServer(threading.Thread):
    """As the first script did: record, write with wave, send all, close."""

    def __init__(self, frames):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.frames = frames
        self.start()

    def run(self):
        connection, _ = self.listener.accept()
        connection.sendall(wav_bytes(self.frames))
        connection.close()


class ClientSide(Case):
    """intercom-client with foreign servers."""

    def play(self, port, *args):
        card = Card(self.folder, "speaker%d" % port)
        client = self.start([program("intercom-client"), "-D", "card",
                             "--once", *args, "127.0.0.1:%d" % port],
                            env=card.env())
        return card, client

    def test_the_first_server_is_played(self):
        sound = noise(RATE * FRAME)
        server = FirstServer(sound)
        self.addCleanup(server.listener.close)
        card, client = self.play(server.port)
        self.assertEqual(client.wait(), 0, client.output())
        self.assertEqual(card.sound()[:len(sound)], sound)

    def serve_file(self, path):
        """nc -l with a WAV file is a server."""
        port = free_port()
        self.start(["sh", "-c", "exec nc -N -l 127.0.0.1 %d < '%s'"
                    % (port, path)])
        return port

    def check_file(self, path, raw, options=()):
        card, client = self.play(self.serve_file(path), *options)
        self.assertEqual(client.wait(), 0, client.output())
        played = card.sound()
        self.assertEqual(played[:len(raw)], raw)
        self.assertEqual(played[len(raw):].strip(b"\0"), b"")

    def make(self, name, sound, *ffmpeg):
        """Makes a file with ffmpeg from raw stereo samples."""
        raw, path = self.path("in.raw"), self.path(name)
        write_file(raw, sound)
        subprocess.run(["ffmpeg", "-nostdin", "-loglevel", "error", "-f",
                        "s16le", "-ar", str(RATE), "-ac", "2", "-i", raw,
                        *ffmpeg, path], check=True)
        return path

    def test_ffmpegs_file_with_a_list_chunk(self):
        sound = noise(20000 * FRAME)
        path = self.make("list.wav", sound, "-metadata", "title=odd",
                         "-metadata", "artist=An odd artist")
        self.assertIn(b"LIST", contents(path)[:4096])
        self.check_file(path, sound)

    def test_ffmpegs_file_with_a_bext_chunk(self):
        sound = noise(20000 * FRAME)
        path = self.make("bext.wav", sound, "-write_bext", "1", "-metadata",
                         "description=broadcast")
        self.assertIn(b"bext", contents(path)[:4096])
        self.check_file(path, sound)

    def test_ffmpegs_extensible_file(self):
        sound = noise(20000 * FRAME)
        path = self.make("ext.wav", sound, "-c:a", "pcm_s24le")
        self.assertEqual(contents(path)[20:22], b"\xfe\xff")
        wide = b"".join(b"\0" + sound[n:n + 2]
                        for n in range(0, len(sound), 2))
        self.check_file(path, wide)

    def test_soxs_file_with_a_fact_chunk(self):
        raw, path = self.path("in.raw"), self.path("law.wav")
        codes = noise(20000)
        write_file(raw, codes)
        subprocess.run(["sox", "-t", "ul", "-r", "8000", "-c", "1", raw,
                        "-t", "wav", "-e", "mu-law", path], check=True)
        data = contents(path)
        self.assertIn(b"fact", data[:100])
        at = data.index(b"data") + 8
        card, client = self.play(self.serve_file(path))
        self.assertEqual(client.wait(), 0, client.output())
        self.assertEqual(card.sound()[:20000], data[at:at + 20000])

    def test_odd_and_unknown_chunks_and_no_size(self):
        sound = noise(20000 * FRAME)
        head = wav_bytes(sound)
        odd = b"odd " + struct.pack("<I", 3) + b"abc\0"
        unknown = b"\x01\x02\x03\x04" + struct.pack("<I", 500) + bytes(500)
        for name, data in (
                ("odd", head[:12] + odd + unknown + head[12:36] + odd
                 + head[36:]),
                ("endless", head[:4] + b"\xff" * 4 + head[8:40] + b"\xff" * 4
                 + head[44:])):
            with self.subTest(name):
                path = self.path(name + ".wav")
                write_file(path, data)
                self.check_file(path, sound)

    def test_what_follows_the_samples_is_not_played(self):
        sound = noise(20000 * FRAME)
        path = self.path("tail.wav")
        write_file(path, wav_bytes(sound) + b"LIST" + struct.pack("<I", 400)
                   + noise(400, 5))
        self.check_file(path, sound)

    def test_streams_of_arecord_sox_and_ffmpeg(self):
        mic = Card(self.folder, "mic", capture=noise(100000 * FRAME))
        for name, command in (
                ("arecord", "arecord -q -D card -f cd -d 1"),
                ("sox", "sox -n -t wav -r 44100 -c 2 -b 16 - synth 1 sine 440"),
                ("ffmpeg", "ffmpeg -nostdin -loglevel error -f lavfi -i "
                 "sine=440:d=1 -ac 2 -f wav -")):
            with self.subTest(name):
                port = free_port()
                self.start(["sh", "-c", "%s | nc -N -l 127.0.0.1 %d"
                            % (command, port)], env=mic.env())
                card, client = self.play(port)
                self.assertEqual(client.wait(), 0, client.output())
                self.assertGreaterEqual(len(card.sound()), 170000)


class Restart(Case):
    def test_a_server_that_is_killed_and_restarted_under_a_waiting_client(self):
        mic = Card(self.folder, "mic", capture=noise(100000 * FRAME),
                   playback=False)
        speaker = Card(self.folder, "speaker")
        port = free_port()
        client = self.start([program("intercom-client"), "-D", "card",
                             "127.0.0.1:%d" % port], env=speaker.env())

        def serve():
            server = self.start([program("intercom-server"), "-D", "card",
                                 "-i", "-d", "0.3", "-l",
                                 "127.0.0.1:%d" % port], env=mic.env(),
                                stdin=subprocess.PIPE)
            wait_until(lambda: server.write("status\n") or
                       server.count("Zone all: 1 client$"), "the client")
            server.write("\n")
            server.wait_line("Page 1: .*1 client reached")
            return server

        first = serve()
        first.child.kill()
        first.wait()
        serve()
        size = 2 * page_size(0.3)
        wait_until(lambda: len(speaker.sound()) >= size, "both pages")
        self.assertIsNone(client.child.poll())


if __name__ == "__main__":
    main()
