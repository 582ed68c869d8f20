# SPDX-License-Identifier: MIT
"""A virtual microphone and a virtual loudspeaker (tests/vcard.c), the programs
between them, and the logs of the cards."""
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

PATIENCE_S = 30.0
CHANNELS = 2
ALSA_CONF = os.path.join(os.path.dirname(__file__), "../tests/alsa.conf")


class Bench:
    """The cards and the programs between them."""

    # Where the talker's and the listener's program have their addresses, and
    # the commands that start them there (bench/wire has a network between).
    talker, listener = "127.0.0.1", "127.0.0.1"
    there = {"talker": [], "listener": []}
    microphone = "clicks 1"

    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        self.children = []
        self.env = dict(os.environ)
        conf = self.path("asound.conf")
        with open(conf, "w") as f:
            f.write('pcm_type.vcard { lib "%s" }\n' % options.vcard)
            for name, fields in (
                    ("mic", "capture { %s }" % self.microphone),
                    ("speaker", 'drift %g playback { file "%s" log "%s" }'
                     % (options.drift, self.path("out.raw"),
                        self.path("out.log")))):
                os.mkdir(self.path(name))
                # The hint is for snapclient, which takes listed names only.
                f.write('pcm.%s { type vcard control "%s" hint { show on '
                        'description "%s" } %s }\n'
                        % (name, self.path(name), name, fields))
        self.env.update(ALSA_CONFIG_PATH=ALSA_CONF, INTERCOM_ALSA_CONF=conf)

    def path(self, name):
        return os.path.join(self.folder, name)

    def program(self, name):
        return os.path.join(self.options.builddir, name)

    def start(self, argv, side="talker", **kwargs):
        """A child; under chrt when asked for. Its stderr goes to a file."""
        argv = self.there[side] + argv
        if self.options.chrt:
            argv = ["chrt", "--rr", str(self.options.chrt)] + argv
        log = open(self.path("stderr-%d" % len(self.children)), "wb")
        with log:
            try:
                child = subprocess.Popen(argv, env=self.env, stderr=log,
                                         **kwargs)
            except FileNotFoundError:
                raise SystemExit("%s is missing: build it (--builddir), or "
                                 "install its package" % argv[0])
        self.children.append(child)
        return child

    def stop(self):
        """Ends the programs that still run, the listeners first."""
        for child in reversed(self.children):
            if child.stdin:
                try:
                    child.stdin.close()
                except BrokenPipeError:
                    pass  # it has ended, as it should
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
                try:
                    child.wait(5)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()

    def check_alive(self):
        for child in self.children:
            if child.poll() not in (None, 0):
                raise SystemExit("%s ended with status %d:\n%s" % (
                    " ".join(child.args), child.returncode, self.messages()))

    def messages(self):
        text = ""
        for i in range(len(self.children)):
            with open(self.path("stderr-%d" % i), errors="replace") as f:
                text += f.read()
        return text

    def events(self, card, event):
        """The times (s) of an event that a card has logged."""
        try:
            with open(os.path.join(self.path(card), "log")) as f:
                rows = [line.split() for line in f]
        except FileNotFoundError:
            return []
        return [int(row[0]) / 1e9 for row in rows if row[1] == event]

    def wait_for(self, card, event):
        end = time.monotonic() + PATIENCE_S
        while not self.events(card, event):
            self.check_alive()
            if time.monotonic() > end:
                raise SystemExit("The %s did not %s in %d s:\n%s" % (
                    card, event, PATIENCE_S, self.messages()))
            time.sleep(0.02)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_listening(bench, port):
    """Looks into the kernel's table, since a connection would count as a
    client: that of the network of the child that was started last."""
    end = time.monotonic() + PATIENCE_S
    wanted = ":%04X 00000000:0000 0A" % port
    while True:
        with open("/proc/%d/net/tcp" % bench.children[-1].pid) as f:
            if wanted in f.read():
                return
        bench.check_alive()
        if time.monotonic() > end:
            raise SystemExit("Nobody listens on port %d:\n%s"
                             % (port, bench.messages()))
        time.sleep(0.02)


def check_programs(parser, options):
    """Fills in the options builddir and vcard."""
    options.builddir = os.path.abspath(options.builddir)
    options.vcard = os.path.abspath(
        options.vcard or os.path.join(options.builddir, "vcard.so"))
    if not os.path.exists(options.vcard):
        parser.error("%s is missing: make check_PROGRAMS builds it"
                     % options.vcard)


def add_program_options(parser):
    parser.add_argument("--builddir", default=os.environ.get("BUILDDIR", "."))
    parser.add_argument("--vcard", default=os.environ.get("VCARD_SO"),
                        help="the virtual card (default: vcard.so in builddir)")


class Folder:
    """A folder for a measurement's files: KEEP, or a temporary one."""

    def __init__(self, keep=None):
        self.keep = keep

    def __enter__(self):
        if self.keep:
            self.path = os.path.abspath(self.keep)
            os.makedirs(self.path)
        else:
            # In memory: a card must not wait for a disk.
            shm = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
            self.path = tempfile.mkdtemp(prefix="intercom-bench-", dir=shm)
        return self.path

    def __exit__(self, *_):
        if not self.keep:
            shutil.rmtree(self.path, ignore_errors=True)
