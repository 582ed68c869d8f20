# SPDX-License-Identifier: MIT
"""Several files, a chime and a pipe as one page: whole, without a gap, with one
header, and nothing at all when one of them cannot be played."""
import math
import os
import struct
import subprocess

from dbus_client import Variant
from e2e_bus import ServedCase
from e2e_lib import (Card, main, noise, page_size, program, receive_all,
                     wait_until, wav_bytes, without_page_chunk, write_file)

INVALID = "org.freedesktop.DBus.Error.InvalidArgs"
FILES_MAX = 15


class FilesCase(ServedCase):
    def sound_file(self, name, frames, rate=8000, channels=1):
        """The path of a new file, and its samples."""
        sound = noise(frames * channels * 2, seed=len(name) * 1000 + frames)
        return self.wav_file(name, sound, rate, channels), sound

    def played(self, *args, **kwargs):
        """What a player in the lobby gets of such a page."""
        lobby = self.player()
        play = self.ctl_begin("play", *args, **kwargs)
        if play.child.stdin:
            play.child.stdin.close()
        data = receive_all(lobby)
        lobby.close()
        self.assertEqual(play.wait(), 0, play.output())
        self.output = play.output()
        return without_page_chunk(data)

    def player(self):
        """As listen(), also after others."""
        asker = self.client()
        before = asker.call("Status")[0]["accepted"]
        (lobby,) = self.connect(self.ports["lobby"])
        wait_until(lambda: asker.call("Status")[0]["accepted"] > before,
                   "the player to be accepted")
        return lobby

    def samples(self, data):
        return struct.unpack("<%dh" % ((len(data) - 44) // 2), data[44:])

    def assert_refused(self, pattern, *args, status=1):
        """Nothing is played, and no zone is taken for it."""
        lobby = self.player()
        listener = self.listener()
        self.assertRegex(self.ctl("play", *args, status=status), pattern)
        page = self.client().talk(seconds=0.1)
        # The first one that begins, and that the loudspeaker gets.
        self.assertEqual(listener.wait_signal("PageStarted")[0], page)
        self.assertEqual(len(receive_all(lobby)), 44 + page_size(0.1))
        lobby.close()


class Together(FilesCase):
    def test_files_of_one_format_are_one_page_to_the_bit(self):
        files = [self.sound_file("part-%d.wav" % n, 100 + 777 * n)
                 for n in range(FILES_MAX)]
        whole = b"".join(sound for _, sound in files)
        self.assertEqual(self.played(*[path for path, _ in files]),
                         wav_bytes(whole, 8000, 1))
        self.assertIn("'%s' and 14 more play" % files[0][0], self.output)

    def test_a_client_plays_all_of_it(self):
        card = Card(self.folder, "speaker")
        self.start([program("intercom-client"), "-D", "card",
                    "127.0.0.1:%d" % self.ports["lobby"]], env=card.env())
        asker = self.client()
        wait_until(lambda: asker.call("Status")[0]["clients"], "the client")
        files = [self.sound_file("part-%d.wav" % n, 3000) for n in range(3)]
        self.ctl("play", "--require-heard", *[path for path, _ in files])
        self.assertIn(b"".join(sound for _, sound in files), card.sound())

    def test_each_is_converted_to_the_first_ones_format(self):
        first, sound = self.sound_file("first.wav", 2205, 22050, 2)
        second, _ = self.sound_file("second.wav", 4801, 48000, 1)
        third, _ = self.sound_file("third.wav", 8000, 8000, 2)
        data = self.played(first, second, third)
        frames = 2205 + round(4801 * 22050 / 48000) + 22050
        self.assertEqual(data[:44],
                         wav_bytes(bytes(frames * 4), 22050, 2)[:44])
        self.assertEqual(len(data), 44 + frames * 4)
        self.assertEqual(data[44:44 + len(sound)], sound)

    def test_one_channel_goes_to_both(self):
        first, sound = self.sound_file("first.wav", 800, 8000, 2)
        second, mono = self.sound_file("second.wav", 800)
        doubled = b"".join(mono[i:i + 2] * 2 for i in range(0, len(mono), 2))
        self.assertEqual(self.played(first, second)[44:], sound + doubled)

    def test_the_chime_comes_first(self):
        chime, bell = self.sound_file("bell.wav", 1000)
        path, sound = self.sound_file("speech.wav", 4000)
        listener = self.listener()
        self.assertEqual(self.played("--chime", chime, path),
                         wav_bytes(bell + sound, 8000, 1))
        self.assertAlmostEqual(listener.wait_signal("PageStarted")[2], 0.125)
        listener.wait_signal("PageSpeech")
        self.assertRegex(self.output, r"(?s)the chime plays \(0\.1 s\).*"
                         "is on the air: '.*speech.wav' plays")

    def test_the_page_keeps_the_format_of_the_speech(self):
        chime, _ = self.sound_file("bell.wav", 4410, 44100, 2)
        path, sound = self.sound_file("speech.wav", 4000, 16000)
        data = self.played("--chime", chime, path)
        self.assertEqual(data[:44],
                         wav_bytes(bytes(1600 * 2 + 8000), 16000, 1)[:44])
        self.assertEqual(data[44 + 3200:], sound)

    def test_a_file_that_is_given_twice(self):
        path, sound = self.sound_file("bell.wav", 1000)
        self.assertEqual(self.played(path, path)[44:], sound * 2)

    def test_a_descriptor_that_is_given_twice(self):
        path, sound = self.sound_file("bell.wav", 1000)
        fd = self.opened(path)
        (lobby,) = self.listen("lobby")
        self.client().play(fd, ["lobby"], next=Variant("ah", [fd, fd]))
        self.assertEqual(without_page_chunk(receive_all(lobby))[44:],
                         sound * 3)


class Pipes(FilesCase):
    def speech(self, sound, rate):
        """A pipe that brings it as espeak-ng does: the size is not meant."""
        write_file(self.path("speech.wav"), wav_bytes(b"", rate, 1)[:40] +
                   struct.pack("<I", 0x7ffff000) + sound)
        speak = subprocess.Popen(["cat", self.path("speech.wav")],
                                 stdout=subprocess.PIPE)
        self.addCleanup(speak.wait)
        self.addCleanup(speak.stdout.close)
        return speak.stdout

    def test_a_gong_before_what_a_pipe_brings(self):
        chime, bell = self.sound_file("bell.wav", 1000)
        sound = noise(6000, 3)
        data = self.played("--chime", chime, "-",
                           stdin=self.speech(sound, 8000))
        self.assertEqual(data, wav_bytes(bell + sound, 8000, 1))

    def test_text_to_speech_in_the_quality_of_the_gong(self):
        bell, sound = self.sound_file("bell.wav", 4410, 44100, 2)
        data = self.played(bell, "-", stdin=self.speech(noise(12346), 22050))
        frames = 4410 + 12346
        self.assertEqual(data[:44],
                         wav_bytes(bytes(frames * 4), 44100, 2)[:44])
        self.assertEqual(len(data), 44 + frames * 4)
        self.assertEqual(data[44:44 + len(sound)], sound)

    def test_a_pipe_holds_no_zone_while_files_are_ready(self):
        path, sound = self.sound_file("bell.wav", 1000)
        play = self.ctl_begin("play", path, "-", stdin=subprocess.PIPE)
        asker = self.client()
        wait_until(self.pages, "the page")
        self.assertEqual(self.pages()[0]["state"], "preparing")
        (lobby,) = self.listen("lobby")
        asker.talk(["lobby"], 0.1)
        receive_all(lobby)
        lobby.close()
        play.child.stdin.close()
        self.assertEqual(play.wait(), 1)
        self.assertRegex(play.output(), "'standard input': This is not a WAV "
                         "file that can be played: it is empty")


class Gain(FilesCase):
    def tone(self, amplitude, seconds=0.5):
        """A file with a tone of 400 Hz, and its samples."""
        samples = [round(amplitude * 32768 * math.sin(i * math.pi / 10))
                   for i in range(int(8000 * seconds))]
        path = self.wav_file("tone.wav", struct.pack(
            "<%dh" % len(samples), *samples), 8000, 1)
        return path, samples

    def test_none_is_to_the_bit(self):
        path, sound = self.sound_file("noise.wav", 4000)
        for gain in "0", "0.0", "-0":
            self.assertEqual(self.played("--gain", gain, path),
                             wav_bytes(sound, 8000, 1))

    def test_a_file_becomes_quieter_and_louder(self):
        path, samples = self.tone(0.1)
        for gain in "-20", "-6.5", "6.5", "+12":
            factor = 10 ** (float(gain) / 20)
            data = self.played("--gain=" + gain, path)
            self.assertEqual(data[:44],
                             wav_bytes(bytes(8000), 8000, 1)[:44])
            for heard, sample in zip(self.samples(data), samples):
                self.assertAlmostEqual(heard, sample * factor, delta=0.51)

    def test_nothing_exceeds_full_scale(self):
        path, samples = self.tone(0.9)
        heard = self.samples(self.played("--gain", "40", path))
        self.assertEqual(len(heard), len(samples))
        self.assertLess(max(map(abs, heard)), 0.98 * 32768)
        self.assertGreater(max(map(abs, heard)), 0.96 * 32768)
        for a, b in zip(heard, samples):
            self.assertGreaterEqual(a * b, 0)
        # It is limited, not clipped: a tone of that level, whose mean power is
        # half that of a square.
        power = sum(a * a for a in heard[100:-100]) / (len(heard) - 200)
        self.assertAlmostEqual(power / (0.97 * 32768) ** 2, 0.5, delta=0.05)

    def test_a_pipe_after_the_chime_which_stays_as_it_is(self):
        chime, bell = self.sound_file("bell.wav", 1000)
        path, samples = self.tone(0.01)
        with open(path, "rb") as f:
            speak = subprocess.Popen(["cat"], stdin=f, stdout=subprocess.PIPE)
        self.addCleanup(speak.wait)
        self.addCleanup(speak.stdout.close)
        data = self.played("--chime", chime, "--gain", "20", "-",
                           stdin=speak.stdout)
        self.assertEqual(data[44:2044], bell)
        heard = self.samples(data)[1000:]
        self.assertEqual(len(heard), len(samples))
        for a, b in zip(heard, samples):
            self.assertAlmostEqual(a, b * 10, delta=0.51)

    def test_a_live_pipe(self):
        (lobby,) = self.listen("lobby")
        _, samples = self.tone(0.1, 0.1)
        play = self.ctl_begin("play", "--live", "--gain", "12", "-",
                              stdin=subprocess.PIPE)
        play.child.stdin.write(wav_bytes(b"", 8000, 1)[:40] +
                               struct.pack("<I", 0xFFFFFFFF) +
                               struct.pack("<%dh" % len(samples), *samples))
        play.child.stdin.close()
        data = receive_all(lobby)
        lobby.close()
        self.assertEqual(play.wait(), 0, play.output())
        heard = self.samples(data)
        self.assertEqual(len(heard), len(samples))
        for a, b in zip(heard, samples):
            self.assertAlmostEqual(a, b * 10 ** (12 / 20), delta=0.51)

    def test_a_talk_of_a_set_length_has_all_of_it(self):
        (lobby,) = self.listen("lobby")
        talk = self.ctl_begin("talk", "-d", "0.2", "--gain", "12")
        heard = self.samples(receive_all(lobby))
        lobby.close()
        self.assertEqual(talk.wait(), 0)
        self.assertEqual(len(heard), page_size(0.2) // 2)
        spoken = struct.unpack("<%dh" % len(heard),
                               self.sound[:2 * len(heard)])
        # To the last sample: it is full scale noise.
        self.assertLess(sum(a * b <= 0 for a, b in zip(heard, spoken)), 50)
        self.assertLess(sum(a * b <= 0 for a, b in zip(heard[-440:],
                                                       spoken[-440:])), 5)

    def test_what_is_not_accepted(self):
        path, _ = self.sound_file("bell.wav", 8)
        for gain in "41", "-60.1", "loud", "nan", "1e400", "":
            self.assertIn("--gain '%s': a number from -60 to 40 is needed"
                          % gain, self.ctl("play", path, "--gain", gain,
                                           status=2))
        self.assertIn("does not take all of these options",
                      self.ctl("stop", "--gain", "3", status=2))
        client = self.client()
        fd = self.opened(path)
        for value in (Variant("d", 40.5), Variant("d", float("nan")),
                      Variant("i", -61)):
            self.assertIn("'gain' has to be from -60 to 40", self.assert_error(
                INVALID, client.play, fd, gain=value))
        self.assertIn("'gain' has to be of type d or i", self.assert_error(
            INVALID, client.play, fd, gain=Variant("s", "3")))
        self.assertEqual(self.pages(), [])
        self.assertGreater(client.talk([], 0.1, gain=Variant("i", 3)), 0)


class Microphone(FilesCase):
    def talked(self, gain):
        lobby = self.player()
        self.ctl("talk", "-d", "0.2", "--zone", "lobby", "--gain", gain)
        data = receive_all(lobby)
        lobby.close()
        heard = self.samples(data)
        self.assertEqual(len(data), 44 + page_size(0.2))
        return heard

    def captured(self):
        return struct.unpack("<%dh" % (len(self.sound) // 2), self.sound)

    def test_it_becomes_quieter_and_louder(self):
        sound = self.captured()
        heard = self.talked("0")
        self.assertEqual(heard, sound[:len(heard)])
        heard = self.talked("-20")
        for a, b in zip(heard, sound):
            self.assertAlmostEqual(a, b / 10, delta=0.51)
        # What is noise at full scale is limited all the time.
        heard = self.talked("10")
        self.assertLess(max(map(abs, heard)), 0.98 * 32768)
        self.assertGreater(max(map(abs, heard)), 0.6 * 32768)


class StoredMicrophone(Microphone):
    """The same of a server that records first."""

    def server(self, *args, **kwargs):
        return super().server("--mode", "store", *args, **kwargs)


class Refused(FilesCase):
    def test_a_bad_file_is_named(self):
        good, _ = self.sound_file("good.wav", 800)
        bad = self.path("bad.wav")
        write_file(bad, b"fLaC\0\0\0\x22" + bytes(40))
        self.assert_refused("(?m): '%s': This is not a WAV file.*: it is a FLAC "
                            "file; convert it: ffmpeg " % bad,
                            good, good, bad, good)
        write_file(bad, wav_bytes(b"", 8000, 1))
        self.assert_refused("'%s': .*it has no samples" % bad, good, bad)
        self.assert_refused("'%s': Cannot read the file: Is a directory"
                            % self.folder, good, self.folder)
        self.assert_refused("Cannot open '%s.wav': No such file" % bad,
                            good, bad + ".wav")

    def test_a_bad_file_is_named_though_a_pipe_is_silent(self):
        bad = self.path("bad.wav")
        write_file(bad, b"OggS" + bytes(40))
        play = self.ctl_begin("play", "-", bad, stdin=subprocess.PIPE)
        self.assertEqual(play.wait(), 1)
        self.assertRegex(play.output(), "'%s': .*it is an Ogg file" % bad)

    def test_a_bad_chime_is_named(self):
        good, _ = self.sound_file("good.wav", 800)
        self.assert_refused("'/etc/passwd': The chime cannot be used: ",
                            "--chime", "/etc/passwd", good)
        long = self.wav_file("long.wav", bytes(31 * 8000 * 2), 8000, 1)
        self.assert_refused("'%s': The chime cannot be used: it is longer "
                            "than 30 s; play it as a page" % long,
                            "--chime", long, good, good)

    def test_a_file_that_is_cut_while_it_plays_is_named_in_the_log(self):
        first, _ = self.sound_file("first.wav", 8000)
        second, _ = self.sound_file("second.wav", 3000000)
        play = self.ctl_begin("play", first, second)
        play.wait_line("is on the air")
        os.truncate(second, 100000)
        self.assertEqual(play.wait(), 1)
        self.running.wait_line("File 2: Cannot read the file: it was cut "
                               "while it played")

    def test_wrong_command_lines(self):
        path, _ = self.sound_file("bell.wav", 8)
        for pattern, args in (
                ("'play' takes 1 to 15 files", [path] * (FILES_MAX + 1)),
                ("standard input can be played once", ["-", path, "-"]),
                ("--live is for one pipe", ["--live", "-", path]),
                ("--live is for one pipe",
                 ["--live", "-", "--chime", path])):
            self.assertRegex(self.ctl("play", *args, status=2,
                                      stdin=subprocess.DEVNULL), pattern)

    def test_what_no_caller_may_ask_for(self):
        path, _ = self.sound_file("bell.wav", 8)
        client = self.client()
        fd = self.opened(path)
        many = Variant("ah", [fd] * FILES_MAX)
        self.assertIn("at most 15 files", self.assert_error(
            INVALID, client.play, fd, next=many))
        self.assertIn("'next' has to be left out", self.assert_error(
            INVALID, client.talk, next=Variant("ah", [fd])))
        self.assertIn("file descriptors (ah)", self.assert_error(
            INVALID, client.play, fd, next=Variant("h", fd)))
        r, w = os.pipe()
        self.addCleanup(os.close, r)
        self.addCleanup(os.close, w)
        for kind in "live", "relayed":
            for more in ({"chime": Variant("h", fd)},
                         {"next": Variant("ah", [fd])}):
                self.assertIn("one pipe is played", self.assert_error(
                    INVALID, client.play, r, **{kind: Variant("b", True)},
                    **more))
        self.assertEqual(self.pages(), [])


class TheBus(FilesCase):
    def start_daemon(self, *args):
        """With what the system bus allows by default."""
        config = self.path("bus.conf")
        write_file(config, b"""<!DOCTYPE busconfig PUBLIC
 "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:tmpdir=/tmp</listen>
<policy context="default"><allow send_destination="*" eavesdrop="false"/>
<allow receive_sender="*"/><allow own="*"/></policy></busconfig>""")
        return super().start_daemon("--config-file=" + config)

    def test_a_message_takes_all_files_and_a_chime(self):
        path, sound = self.sound_file("bell.wav", 100)
        data = self.played("--chime", path, *[path] * FILES_MAX)
        self.assertEqual(data[44:], sound * (FILES_MAX + 1))


if __name__ == "__main__":
    main()
