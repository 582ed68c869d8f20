# SPDX-License-Identifier: MIT
"""Several files, a chime and a pipe as one page: whole, without a gap, with one
header, and nothing at all when one of them cannot be played."""
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
        (lobby,) = self.listen("lobby")
        play = self.ctl_begin("play", *args, **kwargs)
        if play.child.stdin:
            play.child.stdin.close()
        data = receive_all(lobby)
        lobby.close()
        self.assertEqual(play.wait(), 0, play.output())
        self.output = play.output()
        return without_page_chunk(data)

    def assert_refused(self, pattern, *args, status=1):
        """Nothing is played, and no zone is taken for it."""
        (lobby,) = self.listen("lobby")
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
                         "file that can be played: it ends before")


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
