# SPDX-License-Identifier: MIT
"""Two network namespaces, the talker's and the listener's, joined by
bench/emulator.c. Needs root."""
import os
import re
import subprocess

TALKER, LISTENER, SUBNET = "10.77.0.1", "10.77.0.2", "10.77.0.0/24"


def run(*argv):
    subprocess.run(argv, check=True)


class Network:
    """Two namespaces and the emulator between them."""

    def __init__(self, options, settings, seed, congestion):
        self.names = ["intercom-bench-%d-%s" % (os.getpid(), side)
                      for side in "tl"]
        self.devices = ["icb%d%s" % (os.getpid() % 100000, side)
                        for side in "tl"]
        self.emulator = None
        self.priority = options.chrt
        self.argv = [os.path.join(options.builddir, "bench-emulator"),
                     *self.devices, str(seed), *settings]
        self.congestion = congestion

    def __enter__(self):
        for name in self.names:
            run("ip", "netns", "add", name)
        try:
            self.join()
        except BaseException:
            self.__exit__()
            raise
        return self

    def join(self):
        self.emulator = subprocess.Popen(
            self.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True)
        if self.emulator.stdout.readline() != "ready\n":
            raise SystemExit("bench-emulator did not start")
        if self.priority:
            os.sched_setscheduler(self.emulator.pid, os.SCHED_RR,
                                  os.sched_param(self.priority))
        for name, device, address in zip(self.names, self.devices,
                                         (TALKER, LISTENER)):
            run("ip", "link", "set", device, "netns", name)
            inside = ["ip", "-n", name]
            run(*inside, "link", "set", "lo", "up")
            run(*inside, "address", "add", address + "/24", "dev", device)
            run(*inside, "link", "set", device, "up")
            # Neither Debian's default nor what ours asks for, so that it shows
            # who chose.
            run("ip", "netns", "exec", name, "sysctl", "-qw",
                "net.ipv4.tcp_congestion_control=reno")
            # A route's choice goes before a socket's.
            if self.congestion:
                run(*inside, "route", "change", SUBNET, "dev", device, "src",
                    address, "congctl", self.congestion)

    def congestion_in_use(self):
        """What the talker's connections have, by the kernel's word."""
        said = subprocess.run(
            ["ip", "netns", "exec", self.names[0], "ss", "-tinH"],
            check=True, capture_output=True, text=True).stdout
        found = re.findall(r"^\s+.*?\b(cubic|bbr|reno)\b", said, re.M)
        return "+".join(sorted(set(found))) or "-"

    def losses(self):
        """{name: value} of the emulator, which ends."""
        said = self.emulator.communicate()[0]
        return {line.split()[0]: int(line.split()[1])
                for line in said.splitlines()}

    def __exit__(self, *_):
        if self.emulator and self.emulator.poll() is None:
            self.emulator.communicate()
        for name in self.names:
            run("ip", "netns", "delete", name)
