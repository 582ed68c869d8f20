# SPDX-License-Identifier: MIT
"""intercom-server end to end: the real program, the virtual card, sockets."""
import array
import io
import os
import re
import signal
import socket
import struct
import subprocess
import threading
import wave

from e2e_lib import (BUILDDIR, Card, Case, FRAME, Notify, PATIENCE, contents,
                     free_port, main, noise, page_size, program, receive,
                     receive_all, reset, wait_until, wav_bytes,
                     without_page_chunk, write_file)


class ServerCase(Case):
    def prepare(self, sound=None, card=None):
        """Makes a microphone, a port and a socket for the server's state; returns
        the environment that names them."""
        self.sound = noise(400000 * FRAME) if sound is None else sound
        self.card = card or Card(self.folder, "mic", capture=self.sound)
        self.port = free_port()
        self.notify = Notify(self.path("notify%d" % self.port))
        self.addCleanup(self.notify.close)
        return {**self.card.env(), "NOTIFY_SOCKET": self.notify.path}

    def server(self, *args, sound=None, card=None, stdin=subprocess.PIPE,
               listen=True, interactive=True, **kwargs):
        """Starts a server and waits until it is ready."""
        env = self.prepare(sound, card)
        argv = [program("intercom-server"), "-D", "card"]
        if listen:
            argv += ["-l", "127.0.0.1:%d" % self.port]
        if interactive:
            argv.append("-i")
        process = self.start(argv + list(args), env=env, stdin=stdin, **kwargs)
        self.notify.wait(b"READY=1")
        return process

    def clients(self, count, **kwargs):
        """Connects sockets; the kernel queues them in this order."""
        return self.connect(*[self.port] * count, **kwargs)

    def both(self, server, *ports):
        """Connects a client to each of the zones lobby and yard."""
        sockets = self.connect(*ports)
        wait_until(lambda: server.write("status\n") or
                   (server.count("Zone lobby: 1 client$") and
                    server.count("Zone yard: 1 client$")), "both zones")
        return sockets

    def collect(self, sockets, then=lambda sock: None):
        """Receives from all at once, each in a thread, to the end, and calls
        THEN for each."""
        results = [None] * len(sockets)

        def run(n):
            results[n] = receive_all(sockets[n])
            then(sockets[n])

        threads = [threading.Thread(target=run, args=(n,))
                   for n in range(len(sockets))]
        for t in threads:
            t.start()
        return lambda: ([t.join(PATIENCE) for t in threads], results)[1]

    def wait_clients(self, server, count):
        server.write("status\n")
        wait_until(lambda: self._count(server) >= count, "%d clients" % count)

    def accepted(self, server, count=1, **kwargs):
        """Connects COUNT clients and waits until they are accepted."""
        sockets = self.clients(count, **kwargs)
        self.wait_clients(server, count)
        return sockets

    def press_enter(self, server, count=1):
        """Begins a page once COUNT clients are connected."""
        self.wait_clients(server, count)
        server.write("\n")

    def on_air(self, server, count=1, **kwargs):
        """Connects COUNT clients and begins a page."""
        sockets = self.accepted(server, count, **kwargs)
        server.write("\n")
        return sockets

    def hear(self, server):
        """All that a client receives of a page."""
        (s,) = self.on_air(server)
        with s:
            return receive_all(s)

    def archiving(self, *args, **kwargs):
        """Starts a server that keeps its pages."""
        self.archive = self.path("archive")
        os.makedirs(self.archive, exist_ok=True)
        return self.server("--archive", self.archive, *args, **kwargs)

    def _count(self, server):
        found = [re.search(r"Zone \S+: (\d+) clients?", l)
                 for l in list(server.lines)]
        total = [int(m.group(1)) for m in found if m]
        server.write("status\n")
        return total[-1] if total else 0

    def parse(self, data):
        with wave.open(io.BytesIO(data)) as w:
            return w.getparams(), w.readframes(w.getnframes())


class FixedPages(ServerCase):
    def test_a_five_second_page_is_the_file_that_the_scripts_sent(self):
        server = self.server("-r", "44100", "-d", "5")
        first, second = self.collect(self.on_air(server, 2))()
        self.assertEqual(len(first), 880684)
        self.assertEqual(first, second)
        params, frames = self.parse(first)
        self.assertEqual((params.nchannels, params.sampwidth,
                          params.framerate, params.nframes),
                         (2, 2, 44100, 220160))
        self.assertEqual(frames, self.sound[:220160 * FRAME])
        line = server.wait_line("Page 1: .*reached")
        self.assertIn("220160 frames (4.99 s), 2 clients reached, 0 lost, "
                      "0 skips, 0 overruns", line)
        wait_until(lambda: self.card.events("close"), "the card to be closed")

    def test_store_sends_the_same_bytes_as_live(self):
        results = []
        for mode in ("live", "store"):
            server = self.server("-d", "0.5", "--mode", mode,
                                 card=Card(self.folder, mode,
                                           capture=noise(40000 * FRAME)))
            results.append(self.hear(server))
            server.stop()
        self.assertEqual(results[0], results[1])
        self.assertEqual(len(results[0]), 44 + page_size(0.5))

    def test_every_format_arrives_bit_exactly(self):
        for fmt, width, channels in (("U8", 1, 1), ("S24_3LE", 3, 2),
                                     ("S32_LE", 4, 1), ("FLOAT_LE", 4, 2),
                                     ("A_LAW", 1, 1), ("MU_LAW", 1, 2)):
            with self.subTest(format=fmt):
                sound = noise(30000 * width * channels)
                server = self.server(
                    "-f", fmt, "-c", str(channels), "-r", "48000",
                    "-d", "0.2", card=Card(self.folder, fmt, capture=sound))
                data = self.hear(server)
                size = page_size(0.2, 48000, width * channels)
                self.assertEqual(data[-size:], sound[:size])
                self.assertEqual(data[:4], b"RIFF")
                server.stop()

    def test_two_hundred_clients_receive_identical_bytes(self):
        server = self.server("-d", "1")
        results = self.collect(self.on_air(server, 200))()
        self.assertEqual(len(set(results)), 1)
        self.assertEqual(len(results[0]), 44 + page_size(1))
        server.wait_line("Page 1: .* 200 clients reached, 0 lost")

    def test_a_page_after_a_page(self):
        server = self.server("-d", "0.1")
        for n in range(1, 6):
            self.assertEqual(len(self.hear(server)), 44 + page_size(0.1))
            server.wait_line("Page %d: .*reached" % n)
        self.assertEqual(len(self.card.events("open")), 5)
        wait_until(lambda: len(self.card.events("close")) == 5, "closing")


class OpenEndedPages(ServerCase):
    def test_enter_ends_a_page_without_an_end(self):
        server = self.server("-d", "0")
        (s,) = self.on_air(server)
        head = receive(s, 44)
        self.assertEqual(struct.unpack("<I", head[4:8])[0], 0xFFFFFFFF)
        self.assertEqual(struct.unpack("<I", head[40:44])[0], 0xFFFFFFFF)
        begin = receive(s, 50000)
        server.write("\n")
        rest = receive_all(s)
        samples = begin + rest
        self.assertEqual(samples, self.sound[:len(samples)])
        self.assertEqual(len(samples) % FRAME, 0)
        server.wait_line("Page 1: .* 1 client reached, 0 lost")

    def test_sigterm_ends_a_page_cleanly(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            server = self.server("-d", "0", card=Card(
                self.folder, str(int(number)), capture=noise(400000)))
            (s,) = self.on_air(server)
            receive(s, 5000)
            server.signal(number)
            rest = receive_all(s)
            self.assertEqual((5000 - 44 + len(rest)) % FRAME, 0)
            self.assertEqual(server.wait(), 0)
            self.notify.wait(b"STOPPING=1")

    def test_end_of_input_ends_the_server_after_the_page_in_progress(self):
        server = self.server("-d", "0.5")
        (s,) = self.on_air(server)
        receive(s, 44)
        server.child.stdin.close()
        self.assertEqual(len(receive_all(s)), page_size(0.5))
        self.assertEqual(server.wait(), 0)

    def test_quit_ends_a_server_that_is_idle(self):
        server = self.server()
        server.write("quit\n")
        self.assertEqual(server.wait(), 0)

    def test_a_fixed_page_that_is_ended_early_is_cut_on_a_frame(self):
        server = self.server("-d", "60")
        (s,) = self.on_air(server)
        receive(s, 20044)
        server.write("\n")
        self.assertEqual(len(receive_all(s)) % FRAME, 0)
        server.wait_line("Page 1: .* 1 client reached")


class JoiningAndLagging(ServerCase):
    def test_a_late_joiner_gets_what_remains_on_a_frame_boundary(self):
        server = self.server("-d", "3")
        (first,) = self.on_air(server)
        receive(first, 44 + 88200)
        _, data = self.collect([first, *self.clients(1)])()
        params, frames = self.parse(data)
        self.assertEqual(len(data), 44 + len(frames))
        self.assertEqual(params.nframes * FRAME, len(frames))
        total = page_size(3)
        self.assertEqual(frames, self.sound[total - len(frames):total])
        self.assertGreaterEqual(total - len(frames), 88200)

    def test_a_late_joiner_of_an_endless_page(self):
        server = self.server("-d", "0")
        (first,) = self.on_air(server)
        receive(first, 44 + 88200)
        (late,) = self.clients(1)
        head = receive(late, 44)
        self.assertEqual(head[40:44], b"\xff\xff\xff\xff")
        begin = receive(late, 20000)
        at = self.sound.find(begin)
        self.assertGreaterEqual(at, 88200)
        self.assertEqual(at % FRAME, 0)
        server.write("\n")

    def test_a_lagging_client_skips_and_delays_nobody(self):
        server = self.server("-r", "192000", "-c", "2", "-d", "3",
                             "--max-lag", "0.2",
                             sound=noise(600000 * FRAME))
        (slow,) = self.clients(1, rcvbuf=4096)
        (honest,) = self.clients(1)
        self.wait_clients(server, 2)
        done = self.collect([honest])
        server.write("\n")
        total = page_size(3, 192000)
        (data,) = done()
        self.assertEqual(data[44:], self.sound[:total])
        late = receive_all(slow)
        self.assertLess(len(late), 44 + total)
        self.assertEqual((len(late) - 44) % FRAME, 0)
        line = server.wait_line("Page 1: .*reached")
        self.assertIn("2 clients reached, 0 lost", line)
        self.assertGreater(int(re.search(r"(\d+) skip", line).group(1)), 0)
        # The client must have got whole pieces of the page, in order.
        self.assertEqual(late[44:44 + 4096], self.sound[:4096])

    def test_a_client_that_takes_nothing_for_ten_seconds_is_dropped(self):
        server = self.server("-r", "48000", "-d", "0", "--max-lag", "3600",
                             sound=noise(100000))
        (stuck,) = self.on_air(server, rcvbuf=4096)
        server.wait_line("took nothing for 10 s", patience=60)
        server.write("\n")
        server.wait_line("Page 1: .* 0 clients reached, 1 lost")

    def test_a_vanished_client_is_counted_as_lost(self):
        server = self.server("-d", "0")
        gone, stays = self.on_air(server, 2)
        receive(gone, 1000)
        reset(gone)
        receive(stays, 100000)
        server.write("\n")
        receive_all(stays)
        server.wait_line("Page 1: .* 1 client reached, 1 lost")

    def test_a_half_closed_client_still_gets_its_page(self):
        server = self.server("-d", "0.3")
        (s,) = self.on_air(server)
        head = receive(s, 44)
        s.shutdown(socket.SHUT_WR)
        self.assertEqual(len(head + receive_all(s)), 44 + page_size(0.3))

    def test_a_client_that_left_while_waiting_is_not_counted(self):
        server = self.server("-d", "0.1")
        left, stays = self.accepted(server, 2)
        left.close()
        wait_until(lambda: self._count(server) == 1, "one client")
        server.write("\n")
        receive_all(stays)
        server.wait_line("Page 1: .* 1 client reached, 0 lost")

    def test_a_client_that_talks_is_dropped(self):
        server = self.server()
        (s,) = self.accepted(server)
        s.sendall(b"GET / HTTP/1.0\r\n\r\n" * 1000)
        wait_until(lambda: self._count(server) == 0, "the drop")


class Faults(ServerCase):
    def test_a_missing_card_is_named_and_clients_stay(self):
        server = self.server("-d", "0.1")
        (s,) = self.accepted(server)
        for fault, words in (("unplugged", "No such device"),
                             ("busy", "Device or resource busy")):
            self.card.set(fault)
            server.write("\n")
            line = server.wait_line("Cannot open the capture device 'card'.*"
                                    + words)
            self.assertRegex(line, "intercom-server -L|another program")
            self.card.clear(fault)
            self.wait_page_gone(server)
        self.assertEqual(self._count(server), 1)
        server.write("\n")
        self.assertEqual(len(receive_all(s)), 44 + page_size(0.1))

    def test_a_name_that_is_no_card_is_told_at_the_start(self):
        server = self.server("-D", "plughw:CARD=Nobody")
        server.wait_line("There is no card 'plughw:CARD=Nobody' now; "
                         "intercom-server -L")

    def test_a_configuration_that_is_mended_counts_at_the_next_page(self):
        server = self.server("-D", "later", "-d", "0.1")
        (s,) = self.accepted(server)
        server.write("\n")
        server.wait_line("Cannot open the capture device 'later'")
        self.wait_page_gone(server)
        with open(self.card.conf, "a") as f:
            f.write("pcm.later { type plug slave.pcm card }\n")
        server.write("\n")
        self.assertEqual(len(receive_all(s)), 44 + page_size(0.1))

    def wait_page_gone(self, server):
        def idle():
            before = server.count("^Zone ")
            server.write("status\n")
            wait_until(lambda: server.count("^Zone ") > before, "status")
            return not [l for l in server.lines[-2:] if "opening" in l]
        wait_until(idle, "no page")

    def test_a_card_that_is_unplugged_ends_the_page_after_what_it_gave(self):
        server = self.server("-d", "0")
        (s,) = self.on_air(server)
        receive(s, 44)
        begin = receive(s, 40000)
        self.card.set("unplugged")
        data = begin + receive_all(s)
        self.assertEqual(data, self.sound[:len(data)])
        server.wait_line("The capture device 'card' failed: No such device")
        self.card.clear("unplugged")
        server.wait_line("Page 1: .*reached")
        (s,) = self.on_air(server)
        receive(s, 1000)
        server.write("\n")

    def test_a_card_that_freezes_is_lost_after_two_seconds(self):
        server = self.server("-d", "0")
        (s,) = self.on_air(server)
        receive(s, 5000)
        self.card.set("stalled")
        receive_all(s)
        server.wait_line("it gives no samples")

    def test_an_overrun_becomes_silence_of_the_same_length(self):
        server = self.server("-r", "48000", "-d", "0")
        (s,) = self.on_air(server)
        receive(s, 44)
        data = bytearray(receive(s, 40000))
        self.card.set("xrun")
        wait_until(lambda: self.card.events("xrun"), "the overrun")
        data += receive(s, 200000)
        server.write("\n")
        data += receive_all(s)
        server.wait_line("Page 1: .*reached.*1 overrun")
        # Positions in the microphone's file show how much time was lost: sound
        # after the silence must be as far into the file as into the page. (The
        # gap is measured with a clock, so to within some frames.)
        data = bytes(data)
        gap = next(n for n in range(0, len(data), FRAME)
                   if data[n:n + FRAME] != self.sound[n:n + FRAME])
        end = gap
        while data[end:end + FRAME] == bytes(FRAME):
            end += FRAME
        self.assertGreater(end, gap)
        follows = self.sound.find(data[end:end + 4000])
        self.assertGreater(follows, 0)
        self.assertLess(abs(follows - end) / FRAME, 48000 * 0.05)

    def test_enter_during_opening_gives_the_page_up(self):
        server = self.server("-d", "0", card=Card(
            self.folder, "slow", capture=noise(4000),
            options="open_delay 300"))
        server.write("\n\n")
        wait_until(lambda: self.card.events("open")
                   or server.count("on the air") == 0, "the end")
        server.write("quit\n")
        self.assertEqual(server.wait(), 0)


class Listening(ServerCase):
    def run_server(self, *args, env=None):
        return subprocess.run([program("intercom-server"), *args],
                              stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=PATIENCE, env=env)

    def test_bad_addresses_are_one_clear_line(self):
        port = free_port()
        with socket.create_server(("127.0.0.1", port)):
            for text, words, status in (
                    ("127.0.0.1:%d" % port, "already in use; .*another port", 1),
                    ("127.0.0.1:70000", "0 to 65535", 2),
                    ("no.such.host.invalid:2348", ".", 1),
                    ("::1:2348", "brackets", 2),
                    ("b@d=2348", "zone name", 2),
                    ("..=2348", "zone name.*no '.' in front", 2),
                    (".=2348", "zone name", 2),
                    (".yard=127.0.0.1:2348", "zone name", 2),
                    ("nonsense", ".", 1)):
                result = self.run_server("-l", text)
                self.assertEqual(result.returncode, status, text)
                self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
                self.assertIn(text, result.stderr)
                self.assertRegex(result.stderr, words)

    def test_bad_options_name_option_value_and_remedy(self):
        for args, words in ((["-r", "1"], "-r '1'.*4000 to 384000"),
                            (["-c", "33"], "-c '33'.*1 to 32"),
                            (["-f", "S20"], "-f 'S20'.*S16_LE"),
                            (["-d", "-1"], "-d '-1'"),
                            (["-d", "0.001"], "shorter than one chunk"),
                            (["--mode", "x"], "--mode 'x'.*live or store"),
                            (["--bus", "x"], "--bus 'x'"),
                            (["--max-clients", "0"], "--max-clients '0'"),
                            (["--max-per-address", "x"],
                             "--max-per-address 'x'"),
                            (["--max-lag", "nan"], "--max-lag 'nan'"),
                            (["--archive", "/nonexistent"], "/nonexistent"),
                            (["--archive", "/proc"],
                             "--archive '/proc': .*a writable directory is needed"),
                            (["--archive", "/proc/self"], "a writable directory"),
                            (["--archive-limit", "5"], "--archive-limit '5'"),
                            (["--chime", "/nonexistent"], "/nonexistent"),
                            (["extra"], "'extra' is not an option")):
            result = self.run_server(*args)
            self.assertEqual(result.returncode,
                             1 if args[-1][0] == "/" else 2, args)
            self.assertRegex(result.stderr, words)
            self.assertEqual(result.stderr.count("\n"), 1, result.stderr)

    def test_what_getopt_refuses_comes_with_a_hint(self):
        for args, words in ((["--nonsense"], "'--nonsense' is not an option"),
                            (["--max"], "'--max' is ambiguous"),
                            (["-x"], "'-x' is not an option"),
                            (["-r"], "--rate needs an argument, HZ"),
                            (["--chime"], "--chime needs an argument, FILE"),
                            (["--quiet=1"], "--quiet takes no argument")):
            result = self.run_server(*args)
            self.assertEqual(result.returncode, 2, args)
            self.assertRegex(result.stderr, "^intercom-server: %s.*; "
                             "intercom-server --help lists the options\n$"
                             % words)

    def test_under_systemd_a_wrong_option_is_told_before_the_end(self):
        """At once it would be started again, while a client waits."""
        for args, status, words in (
                (["-r", "1"], 2, b"-r '1'"),
                (["--chime", "/nonexistent"], 1, b"--chime '/nonexistent'")):
            notify = Notify(self.path("notify"))
            self.addCleanup(notify.close)
            server = self.start([program("intercom-server"), *args], env={
                **os.environ, "NOTIFY_SOCKET": notify.path})
            self.assertIn(words, notify.wait(b"STATUS=Cannot start: "))
            os.unlink(notify.path)
            self.assertIsNone(server.child.poll())
            server.signal(signal.SIGTERM)  # else it waits for 10 s
            self.assertEqual(server.wait(), status)

    def test_help_is_the_text_that_is_kept(self):
        self.check_help("intercom-server")

    def test_ipv4_and_ipv6_both_serve(self):
        port = free_port()
        card = Card(self.folder, "both", capture=noise(40000))
        server = self.start([program("intercom-server"), "-D", "card", "-i",
                             "-d", "0.1", "-l", "127.0.0.1:%d" % port,
                             "-l", "[::1]:%d" % port], env=card.env(),
                            stdin=subprocess.PIPE)
        (four,) = self.connect(port)
        (six,) = self.connect(port, host="::1")
        self.press_enter(server, 2)
        self.assertEqual(receive_all(four), receive_all(six))

    def test_socket_activation_names_zones(self):
        a, b = free_port(), free_port()
        card = Card(self.folder, "activated", capture=noise(40000))
        server = self.start(
            ["systemd-socket-activate", "-l", "127.0.0.1:%d" % a,
             "-l", "127.0.0.1:%d" % b, "--fdname=lobby:yard",
             "--setenv=ALSA_CONFIG_PATH", "--setenv=INTERCOM_ALSA_CONF",
             program("intercom-server"), "-D", "card", "-i", "-d", "0.1"],
            env=card.env(), stdin=subprocess.PIPE)
        lobby, yard = self.both(server, a, b)
        server.write("lobby\n")
        self.assertGreater(len(receive_all(lobby)), 44)
        server.wait_line("Page 1: .* 1 client reached")
        self.assert_silent(yard)

    def activate(self, names):
        """A server with an inherited socket for each name."""
        paths = [self.path("socket%d" % i) for i in range(len(names))]
        card = Card(self.folder, "activated%d" % len(self.processes))
        server = self.start(
            ["systemd-socket-activate",
             *[word for path in paths for word in ("-l", path)],
             "--fdname=" + ":".join(names), "--setenv=ALSA_CONFIG_PATH",
             program("intercom-server"), "-D", "card"], env=card.env())
        server.wait_line("Listening on", len(names))
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(paths[0])
        return server

    def test_too_many_inherited_sockets_are_counted(self):
        for names in ["z%d" % i for i in range(65)], ["yard"] * 65:
            server = self.activate(names)
            self.assertEqual(server.wait(), 1)
            self.assertEqual(server.count("^intercom-server: .*socket '%s': "
                                          "a server has at most 64 zones, and "
                                          "a zone 64 sockets" % names[-1]), 1)
            self.assertEqual(server.count("^intercom-server: "), 1)

    def test_an_inherited_socket_cannot_name_a_zone_of_dots(self):
        server = self.activate([".."])
        server.wait_line(r"'\.\.' is one of the zone all")

    def test_max_clients_refuses_and_frees_a_place(self):
        server = self.server("--max-clients", "2")
        one, two = self.accepted(server, 2)
        (three,) = self.clients(1)
        self.assertEqual(receive_all(three), b"")
        server.wait_line("refused.*--max-clients")
        one.close()
        wait_until(lambda: self._count(server) == 1, "a free place")
        (four,) = self.clients(1)
        wait_until(lambda: self._count(server) == 2, "the fourth client")

    def test_running_out_of_descriptors_pauses_and_does_not_spin(self):
        def limit():
            import resource
            resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))

        server = self.server(preexec_fn=limit)
        sockets = self.clients(80)
        server.wait_line("Accepting pauses")
        before = server.cpu_seconds()
        held = self._count(server)
        self.assertLess(held, 45)
        for s in sockets[:30]:
            s.close()
        wait_until(lambda: self._count(server) >= 25, "accepting again")
        self.assertLess(server.cpu_seconds() - before, 1.0)

    def test_watchdog_is_fed(self):
        env = self.prepare()
        self.start([program("intercom-server"), "-l", "127.0.0.1:%d"
                    % self.port], env={**env, "WATCHDOG_USEC": "400000"})
        self.notify.wait(b"READY=1")
        self.notify.wait(b"WATCHDOG=1")


class Zones(ServerCase):
    def two_zones(self, *args):
        self.ports = free_port(), free_port()
        self.card = Card(self.folder, "mic", capture=noise(400000))
        server = self.start(
            [program("intercom-server"), "-D", "card", "-i", "-r", "48000",
             "-l", "lobby=127.0.0.1:%d" % self.ports[0],
             "-l", "yard=127.0.0.1:%d" % self.ports[1], *args],
            env=self.card.env(), stdin=subprocess.PIPE)
        self.lobby, self.yard = self.both(server, *self.ports)
        return server

    def test_a_page_for_one_zone_reaches_only_that(self):
        server = self.two_zones("-d", "0.1")
        server.write("yard\n")
        self.assertGreater(len(receive_all(self.yard)), 44)
        server.wait_line("Page 1: .* 1 client reached")
        self.assert_silent(self.lobby)

    def test_unknown_words_are_explained(self):
        server = self.two_zones()
        server.write("attic\n")
        server.wait_line("'attic' is neither a zone nor a command; try help")
        server.write("help\n")
        server.wait_line("play FILE")


class Files(ServerCase):
    def test_a_file_is_paged_at_its_own_format(self):
        server = self.server()
        sound = noise(8000 * 2)
        path = self.wav_file("bell.wav", sound, rate=16000, channels=1)
        (s,) = self.accepted(server)
        server.write("play %s\n" % path)
        self.assertEqual(without_page_chunk(receive_all(s)),
                         wav_bytes(sound, 16000, 1))

    def test_what_is_no_wav_file_is_refused_before_anybody_hears(self):
        server = self.server()
        path = self.path("song.mp3")
        write_file(path, noise(5000))
        (s,) = self.accepted(server)
        server.write("play %s\n" % path)
        server.wait_line("This is not a WAV file that can be played")
        server.write("play %s\n" % self.path("nothing.wav"))
        server.wait_line("Cannot open .*nothing.wav")
        self.assert_silent(s)

    def test_a_chime_goes_before_speech_without_a_gap(self):
        chime = noise(1000 * FRAME, seed=7)
        server = self.server("-d", "0.2", "--chime",
                             self.wav_file("chime.wav", chime))
        data = self.hear(server)
        speech = page_size(0.2)
        self.assertEqual(len(data), 44 + len(chime) + speech)
        self.assertEqual(data[44:44 + len(chime)], chime)
        self.assertEqual(data[44 + len(chime):],
                         self.sound[len(chime):len(chime) + speech])
        server.wait_line("the chime plays")
        server.wait_line("speak now")

    def test_the_chime_that_comes_with_it_is_converted_to_the_page(self):
        server = self.server("-d", "0.2", "--chime",
                             os.path.join(BUILDDIR, "data", "chime.wav"))
        data = self.hear(server)
        speech = page_size(0.2)
        chime = data[44:-speech]
        self.assertEqual(len(chime), 97020 * FRAME)
        self.assertEqual(data[-speech:],
                         self.sound[len(chime):len(chime) + speech])
        left = array.array("h", chime)[::2]
        self.assertEqual(left, array.array("h", chime)[1::2])
        self.assertTrue(14000 < max(left) < 18000, max(left))
        self.assertLess(max(map(abs, left[-100:])), 100)


class Archive(ServerCase):
    def test_every_page_is_kept(self):
        server = self.archiving("-d", "0.3")
        data = self.hear(server)
        server.wait_line("Archived ")
        (name,) = os.listdir(self.archive)
        self.assertRegex(name, r"^\d{8}-\d{6}-all\.wav$")
        self.assertEqual(contents(os.path.join(self.archive, name)), data)

    def test_the_name_of_the_file_has_the_zones(self):
        ports = {zone: free_port() for zone in ("lobby", "yard", "gym")}
        server = self.archiving("-d", "0.1", *[
            "--listen=%s=127.0.0.1:%d" % item for item in ports.items()],
            listen=False)
        server.write("lobby gym\n")
        server.wait_line("Archived ")
        server.write("\n")
        server.wait_line("Archived ", 2)
        labels = sorted(n.split("-", 2)[2] for n in os.listdir(self.archive))
        self.assertEqual(labels, ["all.wav", "lobby+gym.wav"])

    def test_the_oldest_go_beyond_the_limit(self):
        os.mkdir(self.path("archive"))
        for n in range(4):
            old = self.path("archive/2000010%d-000000-all.wav" % (n + 1))
            write_file(old, bytes(400 * 1024))
            os.utime(old, (1e9 + n, 1e9 + n))
        self.archiving("--archive-limit", "1M")
        self.assertEqual(sorted(os.listdir(self.archive)),
                         ["20000103-000000-all.wav",
                          "20000104-000000-all.wav"])

    def test_kill_9_leaves_a_file_that_the_next_start_repairs(self):
        server = self.archiving("-d", "0")
        (s,) = self.on_air(server)
        receive(s, 300000)
        wait_until(lambda: any(e.stat().st_size > 99999 for e in
                               os.scandir(self.archive)), "the archive")
        server.signal(signal.SIGKILL)
        server.wait()
        self.assertEqual([n for n in os.listdir(self.archive)
                          if n.endswith(".wav")], [])
        sound = self.sound
        self.archiving(card=Card(self.folder, "mic2", capture=b"\0" * 4000)) \
            .wait_line("Repaired 1 file")
        (name,) = os.listdir(self.archive)
        self.assertTrue(name.endswith("-all.wav"))
        _, frames = self.parse(contents(os.path.join(self.archive, name)))
        self.assertGreater(len(frames), 90000)
        self.assertEqual(frames, sound[:len(frames)])


if __name__ == "__main__":
    main()
