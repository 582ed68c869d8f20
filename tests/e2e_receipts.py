# SPDX-License-Identifier: MIT
"""What a client says at the end of a page, and what a server makes of what
anybody says there. The peers are a few lines of Python, or the real programs."""
import fcntl
import signal
import socket
import struct
import subprocess
import time
import urllib.parse

from e2e_client import ENDLESS, ClientCase, Live, header, tone
from e2e_lib import (Card, FRAME, PATIENCE, RATE, contents, free_port,
                     is_closed, main, noise, page_frames, program, receive_all,
                     wait_until, wav_bytes)
from e2e_server import ServerCase
from e2e_tls import TlsCase

HEAD = "intercom-receipt 1"
GOOD = (HEAD + " name=hall result=complete arrived=1 heard=1 dropped=0 "
        "starved_ms=0 card=ready\n").encode()


def fields(line):
    """{key: value} of a receipt."""
    assert line.endswith(b"\n") and line.count(b"\n") == 1, line
    words = line.decode("ascii")[:-1].split(" ")
    assert " ".join(words[:2]) == HEAD, line
    return {key: urllib.parse.unquote(value)
            for key, value in (word.split("=") for word in words[2:])}


class OfTheClient(ClientCase):
    def begin(self, *args, card=None):
        return self.with_server("--name", "hall", *args, card=card)

    def send(self, server, data):
        """Sends a page and says its end; the client may answer."""
        connection = server.accept()
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        return connection

    def said(self, connection):
        """The receipt that the client gives before it closes."""
        return fields(receive_all(connection))

    def test_a_page_that_was_heard(self):
        card, server, client = self.begin()
        data = noise(RATE // 2 * FRAME)
        connection = self.send(server, wav_bytes(data))
        self.assertEqual(
            receive_all(connection),
            b"intercom-receipt 1 name=hall result=complete arrived=22050 "
            b"heard=22050 dropped=0 starved_ms=0 card=ready\n")
        self.assert_heard(client, card, data)

    def test_a_live_page_of_no_stated_size(self):
        card, server, client = self.begin()
        connection = server.accept()
        live = Live(connection, tone(1), close=False)
        live.join(PATIENCE)
        connection.shutdown(socket.SHUT_WR)
        said = self.said(connection)
        self.assertEqual(said["arrived"], "44100")
        self.assertEqual(said["result"], "complete")
        self.assertEqual(int(said["heard"]) + int(said["dropped"]), 44100)

    def test_the_next_connection_does_not_wait_for_the_receipt(self):
        card, server, client = self.begin()
        card.set("stalled")
        first = self.send(server, wav_bytes(tone(1)))
        second = server.accept()
        first.setblocking(False)
        self.assertRaises(BlockingIOError, first.recv, 1)
        card.clear("stalled")
        first.settimeout(PATIENCE)
        self.assertEqual(self.said(first)["result"], "complete")
        second.sendall(wav_bytes(tone(0.5)))
        second.shutdown(socket.SHUT_WR)
        self.assertEqual(self.said(second)["heard"], "22050")

    def test_a_card_that_is_busy_or_missing(self):
        for fault, word in (("busy", "busy"), ("unplugged", "missing")):
            card = Card(self.folder, fault)
            card.set(fault)
            _, server, client = self.begin(card=card)
            said = self.said(self.send(server, wav_bytes(tone(0.2))))
            self.assertEqual((said["result"], said["card"], said["heard"],
                              said["arrived"]), ("unheard", word, "0", "8820"))
            client.stop()

    def test_a_card_that_stands_still(self):
        card, server, client = self.begin()
        card.set("stalled")
        said = self.said(self.send(server, wav_bytes(tone(0.2))))
        self.assertEqual((said["result"], said["heard"]), ("unheard", "0"))
        self.assertNotEqual(said["card"], "ready")

    def test_a_page_that_the_server_cuts_short(self):
        card, server, client = self.begin()
        said = self.said(self.send(server, wav_bytes(tone(1))[:-44100]))
        self.assertEqual(said["result"], "cut-short")
        self.assertEqual(said["arrived"], str(44100 - 44100 // FRAME))
        self.assertEqual(said["heard"], said["arrived"])

    def test_a_page_that_ends_at_the_limit_of_the_client(self):
        card, server, client = self.begin("--max-duration", "0.5")
        said = self.said(self.send(server, wav_bytes(tone(1))))
        self.assertEqual((said["result"], said["arrived"], said["heard"]),
                         ("limit", "44100", "22050"))

    def test_a_page_without_samples(self):
        card, server, client = self.begin()
        said = self.said(self.send(server, wav_bytes(b"")))
        self.assertEqual((said["result"], said["arrived"], said["heard"]),
                         ("complete", "0", "0"))

    def test_a_page_that_another_server_takes_over(self):
        card = Card(self.folder)
        first, second = self.server(), self.server()
        client = self.client(card, "--name", "hall", first.name, second.name)
        low = second.accept()
        live = Live(low, tone(60), close=False)
        wait_until(lambda: len(card.sound()) > RATE, "the first second")
        high = self.send(first, wav_bytes(tone(0.5)))
        self.assertEqual(self.said(high)["result"], "complete")
        # The client has joined the other one again.
        sound = len(card.sound())
        wait_until(lambda: len(card.sound()) > sound + RATE, "more of it")
        live.stop()
        low.shutdown(socket.SHUT_WR)
        said = self.said(low)
        self.assertEqual(said["result"], "complete")
        self.assertEqual(said["arrived"], str(live.sent // FRAME))
        heard = int(said["heard"])
        self.assertLess(heard, live.sent // FRAME)
        self.assertGreater(heard, RATE // 4)

    def test_a_page_that_is_not_heard_at_all(self):
        card = Card(self.folder)
        first, second = self.server(), self.server()
        client = self.client(card, "--name", "hall", first.name, second.name)
        high = Live(first.accept(), tone(60))
        wait_until(lambda: card.sound(), "sound")
        said = self.said(self.send(second, wav_bytes(tone(0.5))))
        self.assertEqual((said["result"], said["heard"]), ("taken-over", "0"))
        high.stop()

    def test_a_server_that_does_not_end_the_connection_is_told_nothing(self):
        card, server, client = self.begin()
        data = noise(RATE // 5 * FRAME)
        connection = server.accept()
        connection.sendall(wav_bytes(data))
        self.assertEqual(receive_all(connection), b"")
        self.assert_heard(client, card, data)
        connection.close()
        self.page_heard(server, client, card, data)

    def test_plain_servers_lose_nothing(self):
        """One that closes, one that closes its half only, one that resets."""
        def close(connection):
            connection.close()

        def half(connection):
            connection.shutdown(socket.SHUT_WR)

        def abort(connection):
            """Once the client has taken everything."""
            wait_until(lambda: struct.unpack("I", fcntl_outq(connection))[0]
                       == 0, "the client")
            connection.shutdown(socket.SHUT_WR)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                  struct.pack("ii", 1, 0))
            wait_until(lambda: is_fin_acknowledged(connection), "the end")
            connection.close()

        for n, end in enumerate((close, half, abort)):
            card = Card(self.folder, "card%d" % n)
            _, server, client = self.begin(card=card)
            data = noise(RATE // 2 * FRAME, seed=n)
            for size in (wav_bytes(data), header(ENDLESS) + data):
                connection = server.accept()
                connection.sendall(size)
                end(connection)
            line = client.wait_line("ended", 2)
            self.assert_clean(line)
            self.assertEqual(card.sound().count(data[:400]), 2)
            client.stop()

    def test_netcat_serves_a_page(self):
        path = self.wav_file("page.wav", noise(RATE // 2 * FRAME))
        port = free_port()
        card = Card(self.folder)
        with open(path, "rb") as f:
            nc = subprocess.Popen(["nc", "-N", "-l", "127.0.0.1", str(port)],
                                  stdin=f, stdout=subprocess.PIPE)
        self.addCleanup(nc.stdout.close)
        client = self.client(card, "--name", "hall", "127.0.0.1:%d" % port)
        self.assert_clean(client.wait_line("ended"))
        # It prints what a client says.
        self.assertEqual(fields(nc.stdout.read())["result"], "complete")
        self.assertEqual(nc.wait(PATIENCE), 0)

    def test_names(self):
        for name in ("Halle Süd", "100% = a/b", "x" * 64):
            card = Card(self.folder, "card%d" % len(name))
            server = self.server()
            client = self.client(card, "--name", name, server.name)
            said = self.said(self.send(server, wav_bytes(tone(0.1))))
            self.assertEqual(said["name"], name)
            client.stop()
        server = self.server()
        client = self.client(card, server.name)
        said = self.said(self.send(server, wav_bytes(tone(0.1))))
        self.assertEqual(said.get("name", ""), socket.gethostname()[:64])

    def test_names_that_are_refused(self):
        for name in ("", "x" * 65, "a\nb", "a\x1b[2J", b"a\xff"):
            result = subprocess.run(
                [program("intercom-client"), "--name", name, "localhost"],
                capture_output=True, timeout=PATIENCE)
            self.assertEqual(result.returncode, 2)
            self.assertIn(b"--name '", result.stderr)
            self.assertEqual(result.stderr.count(b"\n"), 1)


def fcntl_outq(connection):
    return fcntl.ioctl(connection.fileno(), 0x5411, b"\0" * 4)  # SIOCOUTQ


def is_fin_acknowledged(connection):
    state = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    return state != 4  # TCP_FIN_WAIT1


class OfTheServer(ServerCase):
    """The peers are Python; what the server learns is what it logs."""

    def serve(self, *args):
        return self.server("-v", "-d", "0.5", *args)

    def taken(self, server, count=1):
        """COUNT clients that have taken a page to its end, and are still
        connected."""
        sockets = self.on_air(server, count)
        sizes = {len(data) for data in self.collect(sockets)()}
        self.assertEqual(sizes, {44 + page_frames(0.5) * FRAME})
        return sockets

    def line_of(self, server, sock, what):
        return server.wait_line("receipt of 127.0.0.1:%d: %s"
                                % (sock.getsockname()[1], what))

    def test_the_page_ends_before_its_receipts(self):
        server = self.serve()
        first, second = self.taken(server, 2)
        server.wait_line("Page 1: .*2 clients reached, 0 lost")
        first.sendall(GOOD)
        self.line_of(server, first, "complete, 1 frames heard")
        self.assertTrue(is_closed(first))
        second.close()

    def test_who_closes_is_unreported_at_once(self):
        server = self.serve()
        (s,) = self.taken(server)
        port = s.getsockname()[1]
        s.close()
        server.wait_line("no receipt of 127.0.0.1:%d: it closed" % port)

    def test_a_plain_player(self):
        server = self.serve()
        path = self.path("page")
        with open(path, "wb") as f:
            nc = subprocess.Popen(["nc", "127.0.0.1", str(self.port)],
                                  stdin=subprocess.DEVNULL, stdout=f)
        self.press_enter(server)
        self.assertEqual(nc.wait(PATIENCE), 0)
        server.wait_line("Page 1: .*1 client reached, 0 lost")
        server.wait_line("no receipt of 127.0.0.1:\\d+: it closed")
        self.assertEqual(len(contents(path)), 44 + page_frames(0.5) * FRAME)

    def test_who_owes_is_no_client(self):
        server = self.serve("--max-per-address", "1", "--max-clients", "1")
        held = []
        for n in range(1, 5):
            (s,) = self.taken(server)
            held.append(s)
            server.wait_line("Page %d: .*1 client reached" % n)
            server.write("status\n")
            server.wait_line("Zone \\S+: 0 clients")
        # One may owe at a time: the others have been given up.
        for s in held[:-1]:
            self.assertTrue(is_closed(s))
            self.line_of(server, s, "none in time")
        held[-1].sendall(GOOD)
        self.line_of(server, held[-1], "complete")

    def test_a_server_that_leaves_when_idle_waits_for_receipts(self):
        server = self.serve("--idle-exit", "1")
        (peer,) = self.taken(server)
        server.wait_line("Page 1: .*1 client reached")
        time.sleep(2.5)  # the idle time, not a synchronisation
        self.assertIsNone(server.child.poll())
        peer.sendall(GOOD)
        self.line_of(server, peer, "")
        server.wait_line("Nobody is connected")
        self.assertEqual(server.wait(), 0)
        self.assertEqual(server.count("Page 1: hall"), 1, server.output())

    def test_lies_floods_and_other_protocols(self):
        frames = page_frames(0.5)
        bad = (b"GET / HTTP/1.1\r\n\r\n",
               b"%s arrived=%d heard=%d\n" % (HEAD.encode(), frames + 1,
                                              frames + 1),
               b"%s arrived=5 heard=6\n" % HEAD.encode(),
               b"%s arrived=99999999999999999999999\n" % HEAD.encode(),
               b"%s name=%s\n" % (HEAD.encode(), b"x" * 65),
               b"x" * 512, bytes(512), b"\n" * 512)
        server = self.serve()
        before = server.fd_count()
        sockets = self.taken(server, len(bad))
        server.wait_line("Page 1: .*%d clients reached, 0 lost" % len(bad))
        for s, data in zip(sockets, bad):
            s.sendall(data)
            self.line_of(server, s, "none in time")
            self.assertTrue(is_closed(s))
        server.wait_line("sent data that no client sends, and was dropped")
        server.write("status\n")
        server.wait_line("%d dropped: sent data" % len(bad))
        # The last page, which the server keeps, has a descriptor too.
        wait_until(lambda: server.fd_count() <= before + 1, "the descriptors")

    def test_megabytes(self):
        server = self.serve()
        (s,) = self.taken(server)
        with self.assertRaises(ConnectionError):
            while True:
                s.sendall(bytes(65536))
        self.line_of(server, s, "none in time")

    def test_what_comes_too_early_is_no_receipt(self):
        server = self.serve()
        whole, torn = self.accepted(server, 2)
        whole.sendall(GOOD)
        torn.sendall(GOOD[:20])
        server.write("\n")
        for s in (whole, torn):
            receive_all(s)
        server.wait_line("Page 1: .*2 clients reached, 0 lost")
        torn.sendall(GOOD[20:])
        self.line_of(server, torn, "none in time")
        ports = [s.getsockname()[1] for s in (whole, torn)]
        whole.close()
        server.wait_line("no receipt of 127.0.0.1:%d: it closed" % ports[0])
        self.assertEqual(server.count(": receipt of"), 0)

    def test_bytes_hold_up_neither_pages_nor_the_end(self):
        """Each byte is a packet, and some never say more."""
        server = self.serve()
        slow, silent = self.taken(server, 2)
        slow.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in GOOD[:-1]:
            slow.sendall(bytes([byte]))
        self.taken(server)
        server.wait_line("Page 2: .*1 client reached, 0 lost")
        slow.sendall(GOOD[-1:])
        self.line_of(server, slow, "complete, 1 frames heard")
        begin = time.monotonic()
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait(), 0)
        print("SIGTERM with owed receipts: %.2f s" % (time.monotonic() - begin))
        self.assertTrue(is_closed(silent))

    def test_forty_pages_in_a_row_that_one_does_not_answer(self):
        """Nor do they count as pages in progress."""
        server = self.server("-v", "-d", "0.1")
        for n in range(1, 41):
            self.on_air(server)
            server.wait_line("Page %d: .*reached" % n)


class Both(TlsCase):
    """The real programs, with and without keys."""

    def through(self, server, client):
        self.press_enter(server)
        client.wait_line("ended \\(complete\\)")
        server.wait_line("Page 1: .*1 client reached, 0 lost")
        server.wait_line("receipt of 127.0.0.1:\\d+: complete, %d frames heard"
                         % page_frames(0.5))

    def test_without_keys(self):
        card = Card(self.folder, "speaker")
        server = self.server("-v", "-d", "0.5")
        self.through(server, self.client(None, "-v", card=card))

    def test_with_keys(self):
        card = Card(self.folder, "speaker")
        server = self.tls_server("-v", "-d", "0.5")
        self.through(server, self.client("lobby", "-v", card=card))

    def test_a_stored_page_is_answered_when_it_has_sounded(self):
        card = Card(self.folder, "speaker")
        server = self.tls_server("-v", "-d", "0.5", "--mode", "store")
        self.through(server, self.client("lobby", "-v", card=card))

    def test_a_player_with_a_key_says_nothing(self):
        server = self.tls_server("-v", "-d", "0.5")
        player = self.start(
            ["gnutls-cli", "--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.3:"
             "-KX-ALL:+ECDHE-PSK:+DHE-PSK", "--no-ca-verification",
             "--pskusername", "lobby", "--pskkey", self.key("lobby"),
             "-p", str(self.port), "127.0.0.1"], stdin=subprocess.PIPE)
        self.press_enter(server)
        server.wait_line("Page 1: .*1 client reached, 0 lost")
        server.wait_line("no receipt of 127.0.0.1:\\d+: it closed")


if __name__ == "__main__":
    main()
