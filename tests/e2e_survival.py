# SPDX-License-Identifier: MIT
"""Programs that are started, watched and stopped in ways that nobody means:
without standard streams, with streams that nobody reads, with hardly any
descriptors, with waits that fail; asleep while a page goes on."""
import contextlib
import fcntl
import os
import pty
import re
import resource
import select
import signal
import socket
import subprocess
import threading
import time

from e2e_bus import ServedCase
from e2e_client import ClientCase, Live, Server, tone
from e2e_lib import (Card, FRAME, PATIENCE, RATE, contents, free_port, main,
                     noise, page_size, preload, program, receive_all,
                     wait_until, wav_bytes, write_file)
from e2e_server import ServerCase


def idle(process, seconds=0.5):
    """Whether it uses less than half of the time of a processor."""
    before = process.cpu_seconds()
    time.sleep(seconds)
    return process.cpu_seconds() - before < seconds / 2


class Waits(ClientCase):
    def limited(self, count):
        return lambda: resource.setrlimit(resource.RLIMIT_NOFILE,
                                          (count, count))

    def test_eight_servers_fit_into_sixteen_descriptors(self):
        names = ["127.0.0.1:%d" % free_port() for _ in range(8)]
        client = self.client(Card(self.folder), *names,
                             preexec_fn=self.limited(16))
        client.wait_line("trying again", 8)
        self.assertTrue(idle(client), "it spins")
        client.signal(signal.SIGTERM)
        self.assertEqual(client.wait(), 0)

    def test_a_limit_that_is_lowered_later_stops_nobody(self):
        _, server, client = self.with_server()
        server.accept()
        client.wait_line("connected, waiting")
        resource.prlimit(client.pid, resource.RLIMIT_NOFILE, (1, 1))
        client.signal(signal.SIGUSR1)
        client.wait_line("State: idle")
        self.assertTrue(idle(client), "it spins")
        client.signal(signal.SIGTERM)
        self.assertEqual(client.wait(), 0)

    def refusing(self, env):
        return {**env, **preload("vclock.so", VCLOCK=self.folder)}

    def test_a_client_whose_waits_fail_is_back_when_they_work(self):
        card = Card(self.folder)
        server = self.server()
        client = self.client(card, server.name, env=self.refusing({}))
        connection = server.accept()
        client.wait_line("connected, waiting")
        write_file(self.path("refuse"), "")
        client.signal(signal.SIGUSR1)
        client.wait_line("Cannot wait: Invalid argument")
        client.wait_line("State: idle")
        self.assertTrue(idle(client), "it spins")
        os.unlink(self.path("refuse"))
        data = noise(RATE * FRAME // 2)
        connection.sendall(wav_bytes(data))
        connection.close()
        self.assert_heard(client, card, data)

    def test_a_client_whose_waits_fail_ends_by_a_signal(self):
        _, server, client = self.with_server(
            "--before", "sleep 1000", env=self.refusing({}))
        server.page(wav_bytes(tone(5)))
        client.wait_line("begins")
        write_file(self.path("refuse"), "")
        client.signal(signal.SIGTERM)
        self.assertEqual(client.wait(), 0)


class ServerWaits(ServerCase):
    def test_a_server_whose_waits_fail_is_back_when_they_work(self):
        card = Card(self.folder, "mic", capture=noise(400000 * FRAME))
        card.environment.update(preload("vclock.so", VCLOCK=self.folder))
        server = self.server("-d", "0.3", card=card)
        write_file(self.path("refuse"), "")
        server.write("status\n")
        server.wait_line("Cannot wait: Invalid argument")
        self.assertIsNone(server.child.poll())
        self.assertTrue(idle(server), "it spins")
        os.unlink(self.path("refuse"))
        self.assertGreater(len(self.hear(server)), 44)
        server.write("quit\n")
        self.assertEqual(server.wait(), 0)


def standard(pid):
    """What its three standard descriptors are; "" is closed."""
    found = [""] * 3
    for fd in range(3):
        with contextlib.suppress(FileNotFoundError):
            found[fd] = os.readlink("/proc/%d/fd/%d" % (pid, fd))
    return found


def state(process):
    """The letter that the kernel has for it: "S" sleeps, "T" is stopped."""
    stat = contents("/proc/%d/stat" % process.pid).decode()
    return stat.rsplit(")", 1)[1].split()[0]


def without(*fds):
    return lambda: [os.close(fd) for fd in fds]


class Stopped(ClientCase):
    """A client that is stopped, or asleep, while a live page goes on."""

    def begin(self):
        """A client that knows that its page is live."""
        self.data = noise(20 * RATE * FRAME)
        card, server, client = self.with_server(env=preload(
            "vclock.so", VCLOCK=self.folder))
        live = Live(server.accept(), self.data)
        client.wait_line("Opened")
        wait_until(lambda: live.sent > 2.5 * RATE * FRAME, "a live page")
        return card, server, client, live

    def stop(self, client):
        client.signal(signal.SIGSTOP)
        wait_until(lambda: state(client) == "T", "the stop")

    def stop_in_a_pass(self, client):
        """Between its look at the clocks and what it then reads."""
        write_file(self.path("stop"), "")
        wait_until(lambda: state(client) == "T", "the stop")

    def end_meanwhile(self, card, client, live):
        """The page ends while nobody reads it."""
        begin = live.sent
        wait_until(lambda: live.sent > begin + RATE * FRAME // 2, "more")
        live.stop()
        self.assertIsNone(live.error)
        self.assertGreater(card.sound().find(self.data[begin - RATE * FRAME:
                                                       begin - RATE * FRAME +
                                                       1000]), 0)

    def check(self, card, server, client, live):
        """What came meanwhile is not heard; the next page is, in its turn."""
        client.signal(signal.SIGCONT)
        counters = self.counters(client.wait_line("ended \\("))
        self.assertEqual(counters["frames"] * FRAME, live.sent)
        self.assertGreater(counters["dropped_ms"], 300)
        sound = card.sound()
        for back in range(1000, RATE * FRAME // 3, 1000):
            at = live.sent - back
            self.assertEqual(sound.find(self.data[at:at + 64]), -1, back)
        after = noise(RATE * FRAME // 2, seed=9)
        server.page(wav_bytes(after))
        client.wait_line("ended \\(complete", 2)
        self.assertGreater(card.sound().find(after), 0)

    def check_over(self, stop):
        card, server, client, live = self.begin()
        stop(client)
        self.end_meanwhile(card, client, live)
        time.sleep(0.5)  # longer than the latency
        self.check(card, server, client, live)

    def check_slept(self, stop):
        card, server, client, live = self.begin()
        stop(client)
        self.end_meanwhile(card, client, live)
        write_file(self.path("boottime"), "30")
        self.check(card, server, client, live)

    def test_nothing_is_heard_of_a_page_that_is_over(self):
        self.check_over(self.stop)

    def test_nor_is_it_by_a_client_that_was_stopped_in_a_pass(self):
        self.check_over(self.stop_in_a_pass)

    def test_nothing_is_heard_that_came_before_the_machine_slept(self):
        self.check_slept(self.stop)

    def test_nor_is_it_by_a_client_that_fell_asleep_in_a_pass(self):
        self.check_slept(self.stop_in_a_pass)

    def test_what_comes_after_a_sleep_does_not_stay_late(self):
        """What was spoken meanwhile comes in one piece, since the network was
        asleep too. The page is a live one all the same."""
        _, _, client, live = self.begin()
        self.stop(client)
        write_file(self.path("boottime"), "30")
        client.signal(signal.SIGCONT)
        client.signal(signal.SIGUSR1)
        client.wait_line("State:")
        live.hurry(1.5)
        end = live.sent + 4 * RATE * FRAME
        wait_until(lambda: live.sent > end, "more of it")
        live.stop()
        counters = self.counters(client.wait_line("ended \\("))
        self.assertGreater(counters["dropped_ms"], 1000)

    def test_a_stored_page_keeps_every_frame(self):
        card, server, client = self.with_server()
        data = noise(4 * RATE * FRAME)
        server.page(wav_bytes(data))
        client.wait_line("Opened")
        wait_until(lambda: len(card.sound()) > RATE * FRAME, "sound")
        client.signal(signal.SIGSTOP)
        time.sleep(0.5)
        client.signal(signal.SIGCONT)
        line = client.wait_line("ended \\(complete")
        self.assertEqual(self.counters(line)["dropped_ms"], 0)


class Flood(ClientCase):
    """Pages as short and as many as a server can send."""

    SECONDS = 3

    def flood(self, server, data):
        """How many pages the client has taken after a while."""
        page, count = wav_bytes(data), 0
        end = time.monotonic() + self.SECONDS
        server.socket.settimeout(1)
        while time.monotonic() < end:
            with contextlib.suppress(TimeoutError):
                connection, _ = server.socket.accept()
                with connection:
                    connection.sendall(page)
                count += 1
        return count

    def check(self, data, *args):
        saved = self.path("saved")
        os.mkdir(saved)
        first, second = self.server(), self.server()
        card = Card(self.folder)
        client = self.client(card, "--save", saved, *args, first.name,
                             second.name)
        heard = tone(60)
        Live(first.accept(), heard)
        client.wait_line("Opened")
        self.assertLess(self.flood(second, data), 15 * self.SECONDS)
        self.assertLess(len(client.lines), 50 * self.SECONDS)
        self.assertLess(len(os.listdir("/proc/%d/task" % client.pid)), 12)
        self.assertLess(len(os.listdir(saved)), 15 * self.SECONDS + 2)

    def test_of_one_frame(self):
        self.check(b"1234")

    def test_of_no_frame(self):
        self.check(b"")

    def test_a_little_longer_than_the_latency(self):
        self.check(noise(RATE * FRAME // 8))

    def test_in_first_place(self):
        _, server, client = self.with_server()
        self.assertLess(self.flood(server, b"1234"), 10 * self.SECONDS)


class Clock(ServerCase):
    def test_a_wall_clock_that_steps_disturbs_nothing(self):
        """By hours, either way, between pages and in one."""
        card = Card(self.folder, "mic", capture=noise(400000 * FRAME))
        steps = preload("vclock.so", VCLOCK=self.folder)
        card.environment.update(steps)
        server = self.archiving("-d", "0.5", card=card)
        saved = self.path("saved")
        os.mkdir(saved)
        speaker = Card(self.folder, "speaker")
        client = self.start(
            [program("intercom-client"), "-D", "card", "--save", saved,
             "127.0.0.1:%d" % self.port], env={**speaker.env(), **steps})
        for count, hours in enumerate((0, 5, -5, 5, 0), 1):
            write_file(self.path("realtime"), str(hours * 3600))
            self.press_enter(server)
            server.wait_line("on the air", count)
            write_file(self.path("realtime"), str(-hours * 3600))
            client.wait_line("Page from .* ended \\(complete", count)
            server.wait_line("Archived", count)
            client.wait_line("Saved", count)
        self.assertEqual(len(os.listdir(saved)), 5)
        self.assertEqual(len(os.listdir(self.archive)), 5)
        self.assertTrue(idle(server) and idle(client), "it spins")


class Microphone(ServerCase):
    def test_periods_that_are_shorter_than_asked_for_lose_nothing(self):
        sound = noise(400000 * FRAME)
        for size in 64, 256, 1000:
            card = Card(self.folder, "mic%d" % size, capture=sound,
                        options="period_bytes_max %d" % size)
            server = self.server("-d", "0.3", sound=sound, card=card)
            self.assertEqual(self.hear(server)[44:], sound[:page_size(0.3)])
            server.write("quit\n")
            self.assertEqual(server.wait(), 0)


class Names(ClientCase):
    def test_a_server_that_moves_to_another_address_is_found(self):
        card, port = Card(self.folder), free_port()
        moved = [Server(port, "127.0.0.%d" % n) for n in (2, 3)]
        self.servers += moved
        address = self.path("address")
        write_file(address, "127.0.0.2")
        client = self.client(card, "intercom.invalid:%d" % port, env=preload(
            "vclock.so", VCLOCK=self.folder))
        first = moved[0].accept()
        client.wait_line("connected, waiting")
        moved[0].socket.close()
        write_file(address, "127.0.0.3")
        first.close()
        data = noise(RATE * FRAME // 2)
        moved[1].page(wav_bytes(data))
        client.wait_line("ended \\(complete")
        self.assertTrue(card.sound().startswith(data))


class Hooks(ClientCase):
    def test_an_ignored_sigchld_is_not_inherited(self):
        def ignore():
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)

        _, server, client = self.with_server(
            "--before", "exit 3", "--after", "grep SigIgn /proc/self/status",
            preexec_fn=ignore)
        server.page(wav_bytes(noise(RATE * FRAME // 2)))
        client.wait_line("--before ended with status 3")
        ignored = int(client.wait_line("SigIgn").split()[1], 16)
        self.assertFalse(ignored & 1 << (signal.SIGCHLD - 1))

    def test_all_that_a_hook_started_is_killed_with_it(self):
        pids = self.path("pids")
        _, server, client = self.with_server(
            "--before", "(setsid sh -c 'echo $$ >>%s; setsid sleep 1000 &"
            " sleep 1000' &); setsid sh -c 'echo $$ >>%s; exec sleep 1000' &"
            " sleep 1000" % (pids, pids))
        server.page(wav_bytes(tone(1)))
        wait_until(lambda: os.path.exists(pids) and
                   contents(pids).count(b"\n") == 2, "the hook")
        client.wait_line("--before took longer than 5 s and was killed")
        client.wait_line("ended \\(")
        for pid in contents(pids).split():
            self.assertFalse(os.path.exists("/proc/%s" % pid.decode()))


class Closed(ServedCase):
    """Standard descriptors that are closed."""

    def run_closed(self, argv, env, *fds):
        child = subprocess.Popen(argv, env=env,
                                 preexec_fn=without(*fds))
        self.addCleanup(child.wait, PATIENCE)
        self.addCleanup(child.kill)
        return child

    def check(self, *argv):
        card = Card(self.folder, "closed")
        env = self.env(**card.environment)
        for fds in (0, 1, 2), (1, 2), (2,), (0,):
            child = self.run_closed(argv, env, *fds)
            # Libraries that are being loaded have these numbers for a moment.
            wait_until(lambda: {standard(child.pid)[fd] for fd in fds} ==
                       {"/dev/null"}, "/dev/null", patience=10)
            child.terminate()
            child.wait(PATIENCE)

    def test_a_server_has_dev_null_there(self):
        self.check(program("intercom-server"), "-D", "card", "-l",
                   "127.0.0.1:%d" % free_port())

    def test_a_client_has_dev_null_there(self):
        self.check(program("intercom-client"), "-D", "card", "127.0.0.1:1")

    def test_intercomctl_has_dev_null_there(self):
        self.check(program("intercomctl"), "--user", "monitor")


def fill(fd):
    """Until not one byte more fits into the pipe or terminal."""
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    fcntl.fcntl(fd, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    for size in 4096, 64, 1:
        try:
            while True:
                os.write(fd, b"x" * size)
        except BlockingIOError:
            pass
    fcntl.fcntl(fd, fcntl.F_SETFL, flags)


class Unread(ServedCase):
    """Standard output and error that nobody reads."""

    def full_pipe(self):
        r, w = os.pipe()
        self.addCleanup(os.close, r)
        self.addCleanup(os.close, w)
        fill(w)
        return r, w

    def full_terminal(self):
        master, slave = pty.openpty()
        self.addCleanup(os.close, master)
        self.addCleanup(os.close, slave)
        fill(slave)
        return master, slave

    def popen(self, argv, env, **kwargs):
        child = subprocess.Popen(argv, env=env, **kwargs)
        self.addCleanup(child.wait, PATIENCE)
        self.addCleanup(child.kill)
        return child

    def check_server(self, stream, reader):
        port = free_port()
        card = Card(self.folder, "unread", capture=noise(400000 * FRAME))
        server = self.popen(
            [program("intercom-server"), "-v", "-i", "-V", "-D", "card", "-d",
             "0.3", "-l", "127.0.0.1:%d" % port, "--archive", self.folder],
            self.env(**card.environment),
            stdin=subprocess.PIPE, stdout=stream, stderr=stream)

        def say(text):
            server.stdin.write(text)
            server.stdin.flush()

        for _ in range(3):
            (s,) = self.connect(port)
            say(b"nowhere\n" * 100 + b"status\n\n")
            self.assertGreater(len(receive_all(s)), 44)
        self.assertFalse(fcntl.fcntl(stream, fcntl.F_GETFL) & os.O_NONBLOCK)
        # And when somebody reads again, the next line tells of them.
        text = []
        self.read_on(reader, text)

        def told():
            say(b"\n")
            return re.search(rb"\d+ lines were lost", b"".join(text))

        wait_until(told, "the count of what was lost", step=1)
        server.send_signal(signal.SIGTERM)
        self.assertEqual(server.wait(PATIENCE), 0)

    def read_on(self, fd, text):
        """Until the test ends, before the descriptor is closed."""
        over = threading.Event()

        def run():
            while not over.is_set():
                if select.select([fd], [], [], 0.1)[0]:
                    text.append(os.read(fd, 4096))

        thread = threading.Thread(target=run)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(over.set)

    def test_a_pipe_does_not_stop_a_server(self):
        r, w = self.full_pipe()
        self.check_server(w, r)

    def test_a_terminal_does_not_stop_a_server(self):
        master, slave = self.full_terminal()
        self.check_server(slave, master)

    def test_a_terminal_does_not_stop_a_client(self):
        _, slave = self.full_terminal()
        card = Card(self.folder, "unread")
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        client = self.popen(
            [program("intercom-client"), "-v", "-V", "-D", "card", "--once",
             "127.0.0.1:%d" % listener.getsockname()[1]],
            self.env(**card.environment), stdout=slave, stderr=slave)
        connection, _ = listener.accept()
        data = noise(RATE * FRAME)
        with connection:
            connection.sendall(wav_bytes(data))
        self.assertEqual(client.wait(PATIENCE), 0)
        self.assertTrue(card.sound().startswith(data))

    def test_a_page_of_intercomctl_ends(self):
        path = self.wav("page.wav", RATE)
        for _, stream in self.full_pipe(), self.full_terminal():
            child = self.popen(self.argv("play", path), self.env(),
                               stdout=stream, stderr=stream)
            self.assertEqual(child.wait(PATIENCE), 0)

    def test_a_signal_ends_a_monitor(self):
        for number in signal.SIGTERM, signal.SIGINT:
            _, stream = self.full_pipe()
            child = self.popen(self.argv("monitor"), self.env(),
                               stdout=stream)
            wait_until(lambda: "pipe_write" in self.where(child) or
                       state(child) == "S", "the monitor to wait")
            self.ctl("play", self.wav("page.wav", 2000))
            child.send_signal(number)
            self.assertEqual(child.wait(PATIENCE), 0)

    def where(self, child):
        return contents("/proc/%d/wchan" % child.pid).decode()


if __name__ == "__main__":
    main()
