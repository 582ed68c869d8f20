# SPDX-License-Identifier: MIT
"""intercom-client in a network namespace of its own, whose cable is pulled."""
import subprocess
import time

from e2e_client import ClientCase, Live, Server, tone
from e2e_lib import (Card, FRAME, RATE, main_inside, noise, wait_until,
                     wav_bytes)

SERVER = "10.213.0.1"
CLIENT = "10.213.0.2"
NOTICED = 60.0  # s; should be 30, but the machine may be slow


def setUpModule():
    ip("link", "set", "lo", "up")


def ip(*args, pid=None):
    enter = ("nsenter", "-t", str(pid), "-n") if pid else ()
    subprocess.run([*enter, "ip", *args], check=True)


class CableCase(ClientCase):
    def setUp(self):
        super().setUp()
        self.card = Card(self.folder)
        self.remote = Server(host="0.0.0.0")
        self.remote.name = "%s:%d" % (SERVER, self.remote.port)
        self.servers.append(self.remote)

    def start_client(self, *args):
        client = self.client(self.card, *args, self.remote.name,
                             prefix=("unshare", "-n"))
        client.wait_line("Cannot connect: Network is unreachable")
        return client

    def plug_in(self, client):
        ip("link", "add", "v0", "type", "veth", "peer", "name", "v1", "netns",
           str(client.pid))
        self.addCleanup(self.take_away)
        ip("addr", "add", SERVER + "/24", "dev", "v0")
        ip("link", "set", "v0", "up")
        ip("addr", "add", CLIENT + "/24", "dev", "v1", pid=client.pid)
        ip("link", "set", "v1", "up", pid=client.pid)

    def take_away(self):
        """Removes the cable: the kernel does so only with the client's
        namespace, which may outlive this test."""
        subprocess.run(["ip", "link", "del", "v0"], stderr=subprocess.DEVNULL)

    def measure(self, what, begin):
        print("%s: %.1f s" % (what, time.monotonic() - begin))

    def page_again(self, client, pages=1):
        """Plugs the cable in again; a page must arrive."""
        ip("link", "set", "v0", "up")
        begin = time.monotonic()
        self.remote.page(wav_bytes(noise(40000)))
        self.measure("connected after the cable was back", begin)
        self.assert_clean(client.wait_line("ended \\(", pages))

    def test_a_cable_that_is_plugged_in_late(self):
        client = self.start_client()
        self.plug_in(client)
        begin = time.monotonic()
        self.remote.page(wav_bytes(noise(40000)))
        self.measure("connected after the network came up", begin)
        self.assert_clean(client.wait_line("ended \\("))

    def test_a_cable_that_is_pulled_while_waiting(self):
        client = self.start_client()
        self.plug_in(client)
        self.remote.accept()
        client.wait_line("connected, waiting")
        ip("link", "set", "v0", "down")
        begin = time.monotonic()
        client.wait_line("ended before a page: (Connection timed out|No route "
                         "to host)", patience=NOTICED)
        self.measure("noticed a pulled cable while waiting", begin)
        client.wait_line("Cannot connect: ", 2)
        self.page_again(client)

    def test_a_cable_that_is_pulled_in_a_page(self):
        client = self.start_client()
        self.plug_in(client)
        live = Live(self.remote.accept(), tone(120))
        wait_until(lambda: len(self.card.sound()) > 40000, "sound")
        ip("link", "set", "v0", "down")
        begin = time.monotonic()
        line = client.wait_line("ended \\(", patience=NOTICED)
        self.measure("noticed a pulled cable in a page", begin)
        self.assertEqual(self.counters(line)["result"], "cut-short")
        live.stopping = True
        self.page_again(client, 2)

    def test_a_short_break_in_a_page_is_survived(self):
        client = self.start_client()
        self.plug_in(client)
        live = Live(self.remote.accept(), tone(60))
        wait_until(lambda: len(self.card.sound()) > 40000, "sound")
        ip("link", "set", "v0", "down")
        # This sleep is the stimulus: a broken cable.
        time.sleep(1.5)
        ip("link", "set", "v0", "up")
        before = len(self.card.sound())
        wait_until(lambda: len(self.card.sound()) > before + RATE * FRAME * 5,
                   "sound again")
        live.stop()
        counters = self.counters(client.wait_line("ended \\("))
        self.assertEqual(counters["result"], "complete")
        self.assertGreaterEqual(counters["starvations"], 1)
        self.assertGreater(counters["dropped_ms"], 500)


if __name__ == "__main__":
    main_inside("-n", "network", "unshare", "-n", "true")
