# SPDX-License-Identifier: MIT
"""The archive of a real server: small disks, full disks, after a crash."""
import os
import re
import shutil
import signal
import subprocess

from e2e_lib import (Card, FRAME, contents, free_port, main_inside, noise,
                     page_frames, program, receive, wait_until, write_file)
from e2e_server import ServerCase

NAME = r"^\d{8}-\d{6}-all(-\d+)?\.wav$"
LOST = "could not be archived"


class ArchiveCase(ServerCase):
    def setUp(self):
        super().setUp()
        self.archive = self.path("archive")
        os.mkdir(self.archive)
        self.cards = 0

    def tearDown(self):
        try:
            super().tearDown()
        finally:
            while os.path.ismount(self.archive):
                subprocess.run(["umount", self.archive], check=True)
            shutil.rmtree(self.folder, ignore_errors=True)

    def mount(self, options):
        """Mounts a new disk over what was mounted there before."""
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none",
                        self.archive], check=True)

    def fill_up(self):
        path = os.path.join(self.archive, "filling")
        fd = os.open(path, os.O_WRONLY | os.O_CREAT)
        with self.assertRaisesRegex(OSError, "No space left"):
            while True:
                os.write(fd, bytes(4096))
        os.close(fd)
        self.assertEqual(os.statvfs(self.archive).f_bfree, 0)

    def names(self):
        return sorted(os.listdir(self.archive))

    def pages(self):
        """The names of complete files, oldest first."""
        return [n for n in self.names() if re.match(NAME, n)]

    def read(self, name):
        return contents(os.path.join(self.archive, name))

    def page(self, server):
        """Sends a page; returns all that a client has received of it."""
        data = self.hear(server)
        wait_until(lambda: self._count(server) == 0, "the client to be gone")
        return data

    def check_page(self, data, seconds):
        """The client must have received a page of this length, as recorded."""
        params, frames = self.parse(data)
        self.assertEqual(params.nframes, page_frames(seconds))
        self.assertEqual(len(frames), params.nframes * 4)
        self.assertEqual(frames, self.sound[:len(frames)])


class FullDisk(ArchiveCase):
    def test_a_full_disk_costs_the_file_and_not_the_page(self):
        self.mount("size=1m")
        self.fill_up()
        server = self.archiving("-d", "1")
        self.check_page(self.page(server), 1)
        line = server.wait_line(LOST)
        self.assertIn("No space left on device", line)
        self.assertIn(self.archive, line)
        self.assertEqual(self.names(), ["filling"])
        # The server goes on: once there is room, pages are kept again.
        os.unlink(os.path.join(self.archive, "filling"))
        data = self.hear(server)
        server.wait_line("Archived ")
        (name,) = self.names()
        self.assertRegex(name, NAME)
        self.assertEqual(self.read(name), data)
        self.assertEqual(server.count(LOST), 1)

    def test_a_disk_that_fills_up_in_a_page_is_logged_once(self):
        self.mount("size=200k")
        server = self.archiving("-d", "3")
        self.check_page(self.page(server), 3)
        line = server.wait_line(LOST)
        self.assertIn("No space left on device", line)
        self.page(server)
        server.wait_line(LOST, 2)
        self.assertEqual(self.names(), [])
        self.assertEqual(server.count(LOST), 2)

    def test_a_disk_that_can_only_be_read_costs_the_file(self):
        server = self.archiving("-d", "0.5")
        self.mount("ro")
        self.check_page(self.page(server), 0.5)
        self.assertIn("Read-only file system", server.wait_line(LOST))
        self.assertEqual(self.names(), [])

    def test_a_disk_that_can_only_be_read_is_refused_at_the_start(self):
        self.mount("ro")
        card = Card(self.folder, "mic", capture=b"\0" * 4000)
        server = self.start([program("intercom-server"), "-D", "card",
                             "-l", "127.0.0.1:%d" % free_port(),
                             "--archive", self.archive], env=card.env())
        self.assertNotEqual(server.wait(), 0)
        self.assertIn("--archive '%s': Read-only file system" % self.archive,
                      server.output())


class Crash(ArchiveCase):
    def crash_in_a_page(self, size):
        """Kills the server when SIZE bytes of a page are on the disk."""
        before = self.pages()
        server = self.start_again("-d", "0")
        (s,) = self.on_air(server)
        receive(s, size)
        wait_until(lambda: self.part_size() > size, "the archive")
        server.signal(signal.SIGKILL)
        server.wait()
        self.assertEqual(self.pages(), before)
        self.assertEqual(len(self.names()), len(before) + 1)

    def part_size(self):
        return sum(os.stat(os.path.join(self.archive, n)).st_size
                   for n in self.names() if n.startswith("."))

    def start_again(self, *args):
        """Starts another server, with a card of its own and the same sound."""
        self.cards += 1
        sound = noise(400000 * FRAME)
        card = Card(self.folder, "mic%d" % self.cards, capture=sound)
        return self.archiving(*args, card=card, sound=sound)

    def check_repaired(self, size):
        (name,) = self.pages()
        params, frames = self.parse(self.read(name))
        self.assertEqual((params.nchannels, params.sampwidth,
                          params.framerate), (2, 2, 44100))
        self.assertEqual(len(frames), params.nframes * 4)
        self.assertGreater(len(frames), size - 1024)
        self.assertEqual(frames, self.sound[:len(frames)])
        self.assertEqual(len(self.read(name)), 44 + len(frames))

    def test_kill_9_in_a_page_is_repaired_at_the_next_start(self):
        self.mount("size=16m")
        self.crash_in_a_page(150000)
        self.start_again().wait_line("Repaired 1 file that a crash left in "
                                     + self.archive)
        self.check_repaired(150000)
        self.assertEqual(len(self.names()), 1)

    def test_repair_needs_no_room(self):
        self.mount("size=4m")
        self.crash_in_a_page(100000)
        self.fill_up()
        self.start_again().wait_line("Repaired 1 file")
        self.check_repaired(100000)

    def test_two_crashes_leave_two_pages(self):
        self.mount("size=16m")
        self.crash_in_a_page(50000)
        first = self.start_again()
        first.wait_line("Repaired 1 file")
        first.stop()
        self.check_repaired(50000)
        (name,) = self.pages()
        data = self.read(name)
        self.crash_in_a_page(50000)
        self.start_again().wait_line("Repaired 1 file")
        self.assertEqual(len(self.pages()), 2)
        self.assertEqual(self.pages(), self.names())
        self.assertEqual(self.read(name), data)


class Limit(ArchiveCase):
    def test_the_oldest_go_and_others_files_stay(self):
        self.mount("size=16m")
        write_file(os.path.join(self.archive, "chime.wav"), bytes(500000))
        os.utime(os.path.join(self.archive, "chime.wav"), (1, 1))
        # A page of 0.5 s has 21 chunks and 86060 bytes: two pages fit. The
        # fourth page begins in a later second than the first one, whose name
        # is free again.
        server = self.archiving("-d", "0.5", "--archive-limit", "200K")
        made = []
        for n in range(4):
            self.page(server)
            line = server.wait_line("Archived ", n + 1)
            made.append(os.path.basename(line.split("Archived ")[1]))
        server.wait_line("Removed ", 2)
        self.assertEqual(len(set(made)), 4)
        self.assertEqual(set(self.names()), {"chime.wav", *made[2:]})
        self.assertEqual([l.rsplit("/", 1)[1].split(" ")[0]
                          for l in server.lines if "Removed " in l], made[:2])


if __name__ == "__main__":
    main_inside("-m", "mount", "mount", "-t", "tmpfs", "none", "/mnt")
