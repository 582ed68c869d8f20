# SPDX-License-Identifier: MIT
"""Disks, devices and pipes that do not answer, by hang.so: what must go on."""
import os
import re
import signal
import time

from e2e_bus import BusCase
from e2e_client import ClientCase, VolumeCase, header, tone
from e2e_lib import (Card, FRAME, SLOWNESS, main, noise, page_size, preload,
                     program, receive_all, wait_until, wav_bytes,
                     without_page_chunk, write_file)
from e2e_server import ServerCase

# "Within 5 seconds" and "at once", for a machine that is busy.
SOON, AT_ONCE = 8 * SLOWNESS, 3 * SLOWNESS
PAGES = 100
KINDS = ("open", "write", "fsync", "rename")


class Disk:
    """A folder whose disk hangs on command, in the programs of its env()."""

    def __init__(self, folder):
        self.folder = os.path.join(folder, "disk")
        self.control = os.path.join(folder, "hang")
        os.mkdir(self.folder)

    def env(self):
        return preload("hang.so", HANG_CONTROL=self.control,
                       HANG_FOLDER=self.folder)

    def hang(self, *words):
        write_file(self.control + ".new", " ".join(words))
        os.rename(self.control + ".new", self.control)

    def answer(self):
        os.unlink(self.control)

    def files(self):
        return [n for n in os.listdir(self.folder) if not n.startswith(".")]


class Hanging:
    """What the tests of both programs ask of a process."""

    def threads(self, process):
        return len(os.listdir("/proc/%d/task" % process.pid))

    def assert_small(self, process):
        """However many pages there were."""
        self.assertLess(self.threads(process), 8)
        self.assertLess(process.fd_count(), 32)

    def assert_ends(self, process, within, status=0):
        begin = time.monotonic()
        self.assertEqual(process.wait(), status, process.output())
        self.assertLess(time.monotonic() - begin, within)

    def assert_stopped_by_two(self, process):
        """The first signal is still being dealt with, the second one ends."""
        process.signal(signal.SIGTERM)
        wait_until(lambda: self.can_be_killed(process), "the first signal")
        self.assertIsNone(process.child.poll())
        process.signal(signal.SIGTERM)
        self.assert_ends(process, AT_ONCE)

    def can_be_killed(self, process):
        """SIGTERM is no longer blocked."""
        with open("/proc/%d/status" % process.pid) as f:
            blocked = int(re.search(r"SigBlk:\s+(\S+)", f.read()).group(1), 16)
        return not blocked & 1 << (signal.SIGTERM - 1)


class HangingClient(ClientCase, Hanging):
    def setUp(self):
        super().setUp()
        self.disk = Disk(self.folder)
        self.count = 0

    def saving(self, *args, **kwargs):
        card, server, client = self.with_server(
            "--save", self.disk.folder, *args, env=self.disk.env(), **kwargs)
        return card, server, client

    def page(self, server, client, frames=40):
        """A page that sounds, whatever the disk does."""
        server.page(wav_bytes(noise(frames * FRAME)))
        self.count += 1
        line = client.wait_line(r"ended \(", self.count)
        self.assertEqual(self.counters(line)["result"], "complete")

    def test_pages_go_on_while_the_disk_hangs_and_are_saved_after_it(self):
        hooked = self.path("hooked")
        _, server, client = self.saving(
            "--after", "echo $INTERCOM_RESULT >>" + hooked)
        self.page(server, client)
        client.wait_line("Saved the page")
        self.disk.hang("fsync")
        for _ in range(PAGES):
            self.page(server, client)
        self.assert_small(client)
        self.assertLessEqual(client.count("WARNING|hangs|Cannot save"), 1)
        with open(hooked) as f:
            self.assertGreaterEqual(f.read().count("complete"), PAGES)
        self.disk.answer()
        wait_until(lambda: len(self.disk.files()) > 1, "the disk")
        client.wait_line("is back") if client.count("hangs") else None
        saved = client.count("Saved the page")
        self.page(server, client)
        client.wait_line("Saved the page", saved + 1)

    def test_whatever_hangs(self):
        for kind in KINDS:
            _, server, client = self.saving(card=Card(self.folder, kind))
            self.count = 0
            self.disk.hang(kind)
            for _ in range(3):
                self.page(server, client)
            self.assertEqual(client.count("Saved the page"), 0)
            self.assert_small(client)
            self.assert_stopped_by_two(client)
            self.disk.answer()

    def test_one_signal_ends_it_and_what_is_complete_stays(self):
        _, server, client = self.saving()
        self.page(server, client)
        client.wait_line("Saved the page")
        self.disk.hang("fsync")
        self.page(server, client)
        client.signal(signal.SIGTERM)
        self.assert_ends(client, SOON)
        self.assertEqual(len(self.disk.files()), 1)
        client.wait_line("1 page is not kept")

    def test_it_starts_on_a_disk_that_hangs(self):
        self.disk.hang("list", "open")
        _, server, client = self.saving()
        self.page(server, client)
        self.disk.answer()
        client.wait_line("Saved the page")

    def test_a_folder_that_vanishes_does_not_become_a_file(self):
        _, server, client = self.saving()
        self.page(server, client)
        client.wait_line("Saved the page")
        gone = self.path("gone")
        os.rename(self.disk.folder, gone)
        self.page(server, client)
        client.wait_line("Cannot save the page as '%s" % self.disk.folder)
        self.assertFalse(os.path.exists(self.disk.folder))
        os.rename(gone, self.disk.folder)
        self.page(server, client)
        client.wait_line("Saved the page", 2)


class HangingState(VolumeCase, Hanging):
    """What a client keeps of its card is on a disk that hangs."""

    def setUp(self):
        super().setUp()
        self.disk = Disk(self.folder)

    def hung(self, *words):
        self.disk.hang(*words)
        return self.with_server(
            "--volume", "80", card=self.card,
            env={**self.disk.env(), "STATE_DIRECTORY": self.disk.folder})

    def page(self, server, client, number):
        server.page(wav_bytes(noise(40 * FRAME)))
        line = client.wait_line(r"ended \(", number)
        self.assertEqual(self.counters(line)["result"], "complete")

    def test_pages_go_on_at_the_present_volume_until_it_is_back(self):
        for word in ("list", "open", "fsync"):
            _, server, client = self.hung(word)
            for number in range(1, 6):
                self.page(server, client, number)
            client.wait_line("hangs: pages play at the present volume")
            self.assertEqual(self.get_volume(), "50 60")
            self.assert_small(client)
            self.disk.answer()
            client.wait_line("The disk of the state directory is back")
            server.page(wav_bytes(tone(30)))
            self.wait_volume("160 160")
            self.assertEqual(client.count("hangs"), 1)
            client.stop()
            self.assertEqual(self.get_volume(), "50 60")

    def test_one_signal_ends_it(self):
        _, server, client = self.hung("fsync")
        server.page(wav_bytes(tone(30)))
        client.wait_line("hangs")
        client.signal(signal.SIGTERM)
        self.assert_ends(client, SOON)
        self.assertEqual(self.get_volume(), "50 60")


class HangingArchive(ServerCase, Hanging):
    def setUp(self):
        super().setUp()
        self.disk = Disk(self.folder)

    def archiving(self, *args, **kwargs):
        os.environ.update(self.disk.env())
        try:
            return self.server("--archive", self.disk.folder, *args, **kwargs)
        finally:
            for name in self.disk.env():
                os.environ.pop(name)

    def test_pages_go_on_while_the_disk_hangs_and_are_kept_after_it(self):
        server = self.archiving("-d", "0.05")
        self.hear(server)
        server.wait_line("Archived ")
        self.disk.hang("fsync")
        for n in range(PAGES):
            self.assertEqual(len(self.hear(server)), 44 + page_size(0.05))
        wait_until(lambda: server.fd_count() < 32, "the pages to end")
        self.assert_small(server)
        self.assertLessEqual(server.count("hangs|archived"), 1)
        self.disk.answer()
        wait_until(lambda: len(self.disk.files()) > 1, "the disk")
        kept = server.count("Archived ")
        self.hear(server)
        server.wait_line("Archived ", kept + 1)

    def test_it_is_told_once_when_it_hangs_and_when_it_is_back(self):
        server = self.archiving("-d", "0.05")
        self.disk.hang("fsync")
        self.hear(server)
        wait_until(lambda: self.hear(server) and
                   server.count("hangs or is too slow"), "the warning",
                   step=0.5)
        self.hear(server)
        self.disk.answer()
        server.wait_line(r"is back: \d+ pages? w")
        self.hear(server)
        self.assertEqual(server.count("hangs or is too slow"), 1)
        self.assertEqual(server.count("could not be archived"), 0)

    def test_whatever_hangs_two_signals_end_it(self):
        for kind in KINDS:
            self.disk.hang(kind)
            server = self.archiving("-d", "0.05", card=Card(
                self.folder, kind, capture=noise(40000)))
            self.hear(server)
            self.assert_stopped_by_two(server)
            self.disk.answer()

    def test_one_signal_ends_it_and_the_next_start_repairs(self):
        server = self.archiving("-d", "0.05")
        self.hear(server)
        server.wait_line("Archived ")
        self.disk.hang("fsync")
        self.hear(server)
        server.signal(signal.SIGTERM)
        self.assert_ends(server, SOON)
        server.wait_line("1 page is not kept")
        self.assertEqual(len(self.disk.files()), 1)
        self.disk.answer()
        self.archiving(card=Card(self.folder, "mic2", capture=bytes(4000))) \
            .wait_line("Repaired 1 file")
        self.assertEqual(len(self.disk.files()), 2)

    def test_it_starts_on_a_disk_that_hangs(self):
        self.disk.hang("list")
        server = self.archiving("-d", "0.05")
        server.wait_line("hangs")
        self.assertEqual(len(self.hear(server)), 44 + page_size(0.05))
        self.disk.answer()
        server.wait_line("Archived ")

    def test_a_page_that_crawls_does_not_hold_up_the_end(self):
        server = self.server("-d", "0", "--mode", "store")
        (s,) = self.on_air(server, rcvbuf=4096)
        self.card.events("start")
        wait_until(lambda: server.write("status\n") or
                   server.count("Page 1: .*speech"), "speech")
        time.sleep(3)
        server.signal(signal.SIGTERM)
        self.assert_ends(server, SOON)
        s.close()


class SlowSources(BusCase, Hanging):
    def open_slowly(self):
        """A page in the lobby, for which the microphone is being opened: its
        call is not answered before that is over."""
        self.client().send("Talk", "asda{sv}", (["lobby"], 1.0, {}))
        (page,) = wait_until(self.pages, "the page")
        wait_until(lambda: self.pages()[0]["state"] == "opening", "the card")
        return page["id"]

    def test_a_microphone_that_opens_slowly_holds_nothing_up(self):
        server = self.server(card_options="open_delay 30000")
        (lobby, yard) = self.listen("lobby", "yard")
        listener = self.listener()
        page = self.open_slowly()
        file = self.wav("file.wav", 4410)
        other = listener.play(self.opened(file), ["yard"])
        self.assert_ended(listener, other, "complete")
        self.assertEqual(len(without_page_chunk(receive_all(yard))),
                         44 + 4410 * FRAME)
        self.assertEqual(listener.call("Stop", "u", (page,)), [1])
        self.assert_ended(listener, page, "stopped")
        # The zone is free although the card is still being opened.
        other = listener.play(self.opened(file), ["lobby"])
        self.assert_ended(listener, other, "complete")
        server.signal(signal.SIGTERM)
        self.assert_ends(server, SOON)

    def test_two_signals_end_a_server_whose_microphone_opens_slowly(self):
        server = self.server(card_options="open_delay 30000")
        self.open_slowly()
        # The first alone takes a second or so, which may be over meanwhile.
        server.signal(signal.SIGTERM)
        wait_until(lambda: self.can_be_killed(server), "the first signal")
        server.signal(signal.SIGTERM)
        self.assert_ends(server, AT_ONCE)

    def test_a_pipe_that_another_process_reads_too(self):
        disk = Disk(self.folder)
        os.environ.update(disk.env())
        try:
            server = self.server()
        finally:
            for name in disk.env():
                os.environ.pop(name)
        listener = self.listener()
        r, w = os.pipe()
        self.addCleanup(os.close, w)
        # Enough to begin with, and no end.
        os.write(w, header(0xFFFFFFFF, 8000, 1, 8) + bytes(20000))
        page = listener.play(r)
        os.close(r)
        listener.wait_signal("PageSpeech", lambda b: b[0] == page)
        disk.hang("promise")
        time.sleep(0.5)
        self.assertEqual(listener.call("Stop", "u", (page,)), [1])
        wait_until(lambda: self.threads(server) == 1, "the pipe's thread")
        server.signal(signal.SIGTERM)
        self.assert_ends(server, SOON)

    def test_a_file_that_is_cut_while_it_plays_has_failed(self):
        server = self.server()
        (lobby,) = self.listen("lobby")
        listener = self.listener()
        path = self.wav("long.wav", 44100 * 60)
        page = listener.play(self.opened(path), ["lobby"])
        lobby.recv(20000)
        os.truncate(path, 100000)
        body = listener.wait_signal("PageEnded")
        self.assertEqual((body[0], body[6]), (page, "failed"))
        server.wait_line("Cannot read the file: it was cut while it played")


if __name__ == "__main__":
    main()
