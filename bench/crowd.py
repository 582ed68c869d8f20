# SPDX-License-Identifier: MIT
"""A server, a crowd of clients in one process (bench/crowd.c), and the time and
memory that the server needed."""
import os
import re
import resource
import subprocess
import time

from cards import ALSA_CONF, PATIENCE_S, Folder, free_port, wait_listening

RATE, CHANNELS, FRAME = 44100, 2, 4
CHUNK = 882  # frames: 20 ms
CHUNK_S = CHUNK / RATE


def cpu_s(pid):
    """The CPU time of a process and of its threads, ended ones included, by the
    clock of clock_getcpuclockid(3)."""
    return time.clock_gettime_ns((~pid << 3) | 2) / 1e9


def memory_kib(pid, key="VmRSS"):
    with open("/proc/%d/status" % pid) as f:
        return int(re.search(key + r":\s+(\d+)", f.read()).group(1))


def values(text):
    """Parses "name value" lines into {name: value}."""
    return {line.split()[0]: float(line.split()[1])
            for line in text.splitlines() if len(line.split()) == 2}


def allow_descriptors(wanted):
    """Raises the limit of open files; returns what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (max(wanted, hard), hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
            return limit
        except (PermissionError, ValueError):
            pass
    return soft


def go_first():
    """Gives this process and all it starts priority, if that is allowed: they
    shall wait for each other, not for the machine's other programs."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, -19)
    except PermissionError:
        pass


class Programs:
    """Processes and their files, which are removed at the end."""

    def __init__(self, options):
        self.options = options
        self.holder = Folder()

    def __enter__(self):
        self.folder = self.holder.__enter__()
        self.children = []
        os.mkdir(self.path("mic"))
        os.mkdir(self.path("speaker"))
        with open(self.path("asound.conf"), "w") as f:
            f.write('pcm_type.vcard { lib "%s" }\n'
                    'pcm.mic { type vcard control "%s" capture { } }\n'
                    'pcm.speaker { type vcard control "%s" playback { } }\n'
                    % (self.options.vcard, self.path("mic"),
                       self.path("speaker")))
        self.env = dict(os.environ, ALSA_CONFIG_PATH=ALSA_CONF,
                        INTERCOM_ALSA_CONF=self.path("asound.conf"))
        return self

    def __exit__(self, *failure):
        for child in self.children:
            if child.poll() is None:
                child.terminate()
        for child in self.children:
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self.holder.__exit__(*failure)

    def path(self, name):
        return os.path.join(self.folder, name)

    def check_alive(self):
        pass

    def messages(self):
        with open(self.path("server.log")) as f:
            return f.read()

    def start(self, argv, **kwargs):
        child = subprocess.Popen(argv, env=self.env, **kwargs)
        self.children.append(child)
        return child

    def server(self, *options, rate=RATE, channels=CHANNELS, chunk=CHUNK,
               launcher=()):
        """intercom-server; commands are lines to its stdin."""
        self.port = free_port()
        with open(self.path("server.log"), "w") as log:
            child = self.start(
                [*launcher,
                 os.path.join(self.options.builddir, "intercom-server"), "-i",
                 "-D", "mic", "-r", str(rate), "-c", str(channels),
                 "--period-size", str(chunk), "-d", "0", "-l",
                 "127.0.0.1:%d" % self.port, "--max-clients", "100000",
                 *options], stdin=subprocess.PIPE, stdout=log, stderr=log,
                text=True)
        wait_listening(self, self.port)
        return child

    def command(self, server, line):
        server.stdin.write(line + "\n")
        server.stdin.flush()

    def wait_said(self, pattern):
        end = time.monotonic() + 4 * PATIENCE_S
        while True:
            found = re.search(pattern, self.messages())
            if found:
                return found
            if time.monotonic() > end:
                raise SystemExit("The server did not say %r:\n%s" % (
                    pattern, self.messages()))
            time.sleep(0.05)

    def wait_clients(self, server, count):
        """Waits until the server has all clients and has had time to settle."""
        end = time.monotonic() + 4 * PATIENCE_S
        while True:
            self.command(server, "status")
            time.sleep(0.2)
            said = re.findall(r"Zone all: (\d+) client", self.messages())
            if said and int(said[-1]) == count:
                return
            if time.monotonic() > end:
                raise SystemExit("%d clients did not come:\n%s" % (
                    count, self.messages()[-2000:]))

    def crowd(self, *arguments):
        """Starts bench/crowd.c."""
        return self.start(
            [os.path.join(self.options.builddir, "bench-crowd"),
             *map(str, arguments)], stdout=subprocess.PIPE, text=True)

    def wait_word(self, crowd, word):
        """Waits until bench/crowd.c says "connected" or "listening"."""
        said = crowd.stdout.readline().strip()
        if said != word:
            raise SystemExit("bench-crowd said %r, not %r" % (said, word))


def result_of(crowd):
    return values(crowd.communicate(timeout=600)[0])


def page_cost(programs, server, seconds):
    """CPU s and wall s of the middle of a page, after its first second."""
    programs.command(server, "")
    programs.wait_said("Page 1 is on the air")
    time.sleep(1)
    cpu, begin = cpu_s(server.pid), time.monotonic()
    time.sleep(seconds)
    cpu, took = cpu_s(server.pid) - cpu, time.monotonic() - begin
    programs.command(server, "stop")
    return cpu, took


def measure_live(options, count, rate=RATE, channels=CHANNELS, server=()):
    """Sends a live page to COUNT clients, in chunks of 20 ms. Returns the values
    of bench/crowd.c with the processor's share, us for each client and chunk,
    skips, and whether the server said that it was too slow."""
    with Programs(options) as programs:
        child = programs.server(*server, rate=rate, channels=channels,
                                chunk=round(rate * CHUNK_S))
        crowd = programs.crowd("clients", programs.port, count)
        programs.wait_word(crowd, "connected")
        programs.wait_clients(child, count)
        cpu, took = page_cost(programs, child, options.seconds)
        result = result_of(crowd)
        said = programs.wait_said(r"Page 1: .* (\d+) skips?,")
        result["skips"] = int(said.group(1))
        result["percent"] = 100 * cpu / took
        result["us"] = cpu / (took / CHUNK_S) / count * 1e6
        result["slow"] = "longer than a chunk" in programs.messages()
        return result
