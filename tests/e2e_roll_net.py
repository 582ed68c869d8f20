# SPDX-License-Identifier: MIT
"""The roll call over cables that are cut: the server in one network namespace,
each loudspeaker in one of its own, and a switch (a bridge) between them. With
INTERCOM_TEST_SPEED=1 in true time: 8 minutes."""
import os
import signal
import subprocess

from e2e_lib import free_port, main_inside, program, wait_until
from e2e_roll import LONG, RollCase

SERVER = "10.213.0.1"
NOBODY = "02:00:00:00:00:01"  # a hardware address that nobody has


def ip(*args, pid=None):
    enter = ("nsenter", "-t", str(pid), "-n") if pid else ()
    subprocess.run([*enter, "ip", *args], check=True)


def setUpModule():
    ip("link", "set", "lo", "up")
    # With the address of one of its ports, a bridge forgets whatever its
    # neighbours are when that port goes.
    ip("link", "add", "switch", "address", "02:00:00:00:00:02", "type",
       "bridge")
    ip("addr", "add", SERVER + "/24", "dev", "switch")
    ip("link", "set", "switch", "up")


class Machine:
    """A loudspeaker's: a namespace, which lives as long as the client in it."""
    count = 1

    def __init__(self, client):
        Machine.count += 1
        self.client = client
        self.address = "10.213.0.%d" % Machine.count
        self.port = "port%d" % Machine.count
        ip("link", "add", self.port, "type", "veth", "peer", "name", "eth",
           "netns", str(client.pid))
        ip("link", "set", self.port, "master", "switch", "up")
        ip("addr", "add", self.address + "/24", "dev", "eth", pid=client.pid)
        ip("link", "set", "eth", "up", pid=client.pid)

    def cut(self):
        ip("link", "set", self.port, "down")

    def mend(self):
        ip("link", "set", self.port, "up")

    def lose_what_it_sends(self):
        """Without a word: no end of it sees a fault."""
        ip("neigh", "replace", SERVER, "lladdr", NOBODY, "dev", "eth", "nud",
           "permanent", pid=self.client.pid)

    def lose_what_is_sent_to_it(self):
        ip("neigh", "replace", self.address, "lladdr", NOBODY, "dev", "switch",
           "nud", "permanent")

    def find_again(self):
        for address, device, pid in ((SERVER, "eth", self.client.pid),
                                     (self.address, "switch", None)):
            enter = ("nsenter", "-t", str(pid), "-n") if pid else ()
            subprocess.run([*enter, "ip", "neigh", "del", address, "dev",
                            device], stderr=subprocess.DEVNULL)

    def lose_power(self):
        """Nothing of it is heard again, also not that it ends."""
        self.lose_what_it_sends()
        self.client.signal(signal.SIGKILL)


class Cables(RollCase):
    def tearDown(self):
        super().tearDown()
        for name in os.listdir("/sys/class/net"):
            if name.startswith("port"):  # its namespace may live on for a while
                subprocess.run(["ip", "link", "del", name],
                               stderr=subprocess.DEVNULL)
        subprocess.run(["ip", "neigh", "flush", "dev", "switch", "nud",
                        "permanent"], check=True)

    def server_on_a_network(self, *args, names):
        """With a zone for each of these names."""
        self.ports = {name: free_port() for name in names}
        ports = self.ports
        listen = [word for name in names
                  for word in ("-l", "%s=%s:%d" % (name, SERVER, ports[name]))]
        server = self.fast_server(*listen, *args, zones=())
        self.ports = ports
        return server

    def machine(self, name, *keys):
        client = self.start(
            ["unshare", "-n", program("intercom-client"), "-D", "null", *keys,
             "%s:%d" % (SERVER, self.ports[name])],
            env={**os.environ, **self.fast()})
        client.wait_line("Cannot connect: Network is unreachable")
        return Machine(client)

    FAULTS = {
        "cut": Machine.cut,
        "mute": Machine.lose_what_it_sends,
        "deaf": Machine.lose_what_is_sent_to_it,
        "gone": lambda m: (m.lose_what_it_sends(), m.lose_what_is_sent_to_it()),
        "power": Machine.lose_power,
    }

    def lose_all_and_find_all(self, server, machines, log, start):
        self.wait_present(len(machines))
        self.wait_started()
        for name, machine in machines.items():
            self.begin_fault(name)
            self.FAULTS[name](machine)
        self.assertEqual(self.missing(len(machines)),
                         {name: "absent" for name in machines})
        for name in machines:
            server.wait_line(log % name)
        # Its own end has noticed as well, so that it is soon back.
        for name, machine in machines.items():
            if name != "power":
                machine.client.wait_line(
                    "ended before a page: |Cannot connect: (?!Network)",
                    patience=LONG)
        machines["cut"].mend()
        for name in ("mute", "deaf", "gone"):
            machines[name].find_again()
        machines["power"] = start("power")
        self.assertEqual(self.back(len(machines)), set(machines))

    def test_cables_and_power_without_keys(self):
        server = self.server_on_a_network("--expect", "1", names=self.FAULTS)
        machines = {name: self.machine(name) for name in self.FAULTS}
        self.lose_all_and_find_all(
            server, machines, "Zone %s: 1 of 1 loudspeakers missing: not conn",
            self.machine)

    def test_cables_and_power_with_keys(self):
        self.keygen(*self.FAULTS)

        def start(name):
            return self.machine(name, "--psk-file", self.path(name + ".psk"))

        server = self.server_on_a_network(
            "--psk-file", self.path("server.psk"), names=self.FAULTS)
        machines = {name: start(name) for name in self.FAULTS}
        self.lose_all_and_find_all(
            server, machines, "Loudspeaker '%s' is missing: not connected",
            start)
        self.check(0, "^OK - 5 of 5 ")

    def test_a_cable_in_a_page(self):
        self.keygen("hall")
        server = self.server_on_a_network(
            "--psk-file", self.path("server.psk"), names=("hall",))
        hall = self.machine("hall", "--psk-file", self.path("hall.psk"))
        self.wait_present(1)
        self.wait_started()
        page = self.wav_file("long.wav", bytes(44100 * 4 * 400))
        self.ctl_begin("play", page)
        hall.client.wait_line("Page from")
        self.begin_fault("hall")
        hall.cut()
        self.assertEqual(self.missing(1), {"hall": "absent"})
        server.wait_line("took nothing for 10 s|Connection timed out")
        hall.mend()
        self.assertEqual(self.back(1), {"hall"})


if __name__ == "__main__":
    main_inside("-n", "network", "sh", "-c",
                "ip link add switch type bridge && "
                "ip link add port type veth peer name eth")
