# SPDX-License-Identifier: MIT
"""Programs that are started, watched and stopped in ways that nobody means:
without standard streams, with streams that nobody reads, with hardly any
descriptors, with waits that fail; asleep while a page goes on."""
import fcntl
import os
import pty
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time

from e2e_bus import ServedCase
from e2e_client import ClientCase, ENDLESS, Live, header, tone
from e2e_lib import (Card, FRAME, PATIENCE, RATE, contents, free_port, main,
                     noise, program, receive_all, wait_until, wav_bytes,
                     write_file)
from e2e_server import ServerCase

VCLOCK = program("vclock.so")


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
        return {**env, "LD_PRELOAD": VCLOCK, "VCLOCK": self.folder}

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
        card.environment.update(LD_PRELOAD=VCLOCK, VCLOCK=self.folder)
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


if __name__ == "__main__":
    main()
