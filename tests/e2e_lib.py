# SPDX-License-Identifier: MIT
"""What the end-to-end tests share: the virtual card, processes, sockets.

Environment: BUILDDIR (programs and vcard.so; default: the current folder) and
SRCDIR. Nothing here sleeps to synchronise: everything waits for an event, with
a bound that is generous because the machine may be slow.
"""
import errno
import fcntl
import functools
import io
import os
import pty
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import unittest
import wave

BUILDDIR = os.path.abspath(os.environ.get("BUILDDIR", "."))
SRCDIR = os.path.abspath(os.environ.get("SRCDIR",
                                        os.path.dirname(__file__) + "/.."))
# How many times slower the programs are than they should be: under valgrind.
SLOWNESS = float(os.environ.get("INTERCOM_TEST_SLOWNESS", "1"))
PATIENCE = 30.0 * SLOWNESS  # seconds that anything may take, else a test fails
# What the programs have where no option says otherwise: S16_LE, stereo.
RATE, FRAME, CHUNK = 44100, 4, 1024

# ALSA's own and a Card's, whatever the machine's default card is.
os.environ["ALSA_CONFIG_PATH"] = os.path.join(SRCDIR, "tests/alsa.conf")


def program(name):
    return os.path.join(BUILDDIR, name)



def preload(library, **environment):
    """The environment in which a program loads one of the tests' libraries
    first. AddressSanitizer wants to be the first itself, and need not be."""
    return {"LD_PRELOAD": program(library),
            "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") +
            ":verify_asan_link_order=0", **environment}

def contents(path):
    with open(path, "rb") as f:
        return f.read()


def write_file(path, data):
    with open(path, "wb") as f:
        f.write(data if isinstance(data, bytes) else data.encode())


def page_frames(seconds, rate=RATE):
    """How many a page of that length has: whole chunks."""
    return int(rate / CHUNK * seconds) * CHUNK


def page_size(seconds, rate=RATE, frame=FRAME):
    return page_frames(seconds, rate) * frame


def wait_until(condition, what, patience=PATIENCE, step=0.01):
    """Polls a condition that no descriptor tells of; returns its value."""
    end = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("waited in vain for " + what)
        time.sleep(step)


class Card:
    """A virtual sound card: an asound.conf, a control directory, files."""

    def __init__(self, folder, name="card", capture=None, playback=True,
                 options="", patient=True):
        self.folder = os.path.join(folder, name)
        self.control = os.path.join(self.folder, "control")
        os.makedirs(self.control)
        self.played = os.path.join(self.folder, "out.raw")
        self.log = os.path.join(self.folder, "out.log")
        self.input = os.path.join(self.folder, "in.raw")
        parts = []
        if isinstance(capture, bytes):
            write_file(self.input, capture)
            parts.append('capture { file "%s" loop 1 }' % self.input)
        elif capture:
            parts.append("capture { %s }" % capture)
        if playback:
            parts.append('playback { file "%s" log "%s" }'
                         % (self.played, self.log))
        self.conf = os.path.join(self.folder, "asound.conf")
        self.environment = {
            "ALSA_CONFIG_PATH": os.environ["ALSA_CONFIG_PATH"],
            "INTERCOM_ALSA_CONF": self.conf}
        with open(self.conf, "w") as f:
            f.write('pcm_type.vcard { lib "%s" }\n'
                    "pcm.card { type vcard control \"%s\" patient %d %s\n"
                    "%s }\n"
                    'pcm.plugcard { type plug slave.pcm card }\n'
                    'pcm.!default { type plug slave.pcm card }\n'
                    % (os.environ.get("VCARD_SO", program("vcard.so")),
                       self.control, patient, options, "\n".join(parts)))

    def env(self):
        return {**os.environ, **self.environment}

    def set(self, fault):
        write_file(os.path.join(self.control, fault), b"")

    def clear(self, fault):
        try:
            os.unlink(os.path.join(self.control, fault))
        except FileNotFoundError:
            pass

    def events(self, event):
        try:
            with open(os.path.join(self.control, "log")) as f:
                return [l for l in f if l.split()[1] == event]
        except FileNotFoundError:
            return []

    def sound(self):
        """What was played so far, as bytes."""
        try:
            return contents(self.played)
        except FileNotFoundError:
            return b""


class Process:
    """A child whose stdout and stderr are collected line by line."""

    def __init__(self, argv, env=None, stdin=None, pass_fds=(), **kwargs):
        self.argv = argv
        self.lines = []
        self.condition = threading.Condition()
        self.child = subprocess.Popen(
            argv, env=env, stdin=stdin if stdin is not None
            else subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, pass_fds=pass_fds, **kwargs)
        self.pid = self.child.pid
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        with io.TextIOWrapper(self.child.stdout, errors="replace") as output:
            for line in output:
                with self.condition:
                    self.lines.append(line.rstrip("\n"))
                    self.condition.notify_all()
        with self.condition:
            self.condition.notify_all()

    def output(self):
        with self.condition:
            return "\n".join(self.lines)

    def count(self, pattern):
        with self.condition:
            return sum(1 for l in self.lines if re.search(pattern, l))

    def wait_line(self, pattern, count=1, patience=PATIENCE):
        """The count-th line that matches."""
        end = time.monotonic() + patience
        with self.condition:
            while True:
                found = [l for l in self.lines if re.search(pattern, l)]
                if len(found) >= count:
                    return found[count - 1]
                left = end - time.monotonic()
                if left <= 0 or not self.reader.is_alive():
                    raise AssertionError(
                        "no line %r (%d) from %s:\n%s" % (
                            pattern, count, self.argv, "\n".join(self.lines)))
                self.condition.wait(min(left, 0.2))

    def write(self, text):
        self.child.stdin.write(text.encode())
        self.child.stdin.flush()

    def signal(self, number):
        self.child.send_signal(number)

    def wait(self, patience=PATIENCE):
        """The exit status; what it has printed is then complete."""
        status = self.child.wait(patience)
        self.reader.join(patience)
        return status

    def stop(self):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
                raise AssertionError("SIGTERM did not end %s\n%s"
                                     % (self.argv, self.output()))
        self.reader.join(PATIENCE)
        if self.child.stdin:
            try:
                self.child.stdin.close()
            except BrokenPipeError:
                pass
        self.child.stdout.close()

    def fd_count(self):
        return len(os.listdir("/proc/%d/fd" % self.pid))

    def cpu_seconds(self):
        with open("/proc/%d/stat" % self.pid) as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_kib(self):
        """Resident memory; 0 where most of it is valgrind's."""
        if SLOWNESS > 1:
            return 0
        with open("/proc/%d/status" % self.pid) as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))


def has_own_memory(process):
    """Whether memory can be measured: not under a sanitizer or valgrind, which
    add their own and keep what is freed."""
    return not re.search(rb"lib[at]san|valgrind|vgpreload",
                         contents("/proc/%d/maps" % process.pid))


def shown(text, columns, rows=24):
    """The lines that a terminal shows when TEXT was written to it, and what is
    no longer on it: a VT102 as far as the programs need one."""
    gone, grid = [], [[] for _ in range(rows)]
    x = y = 0
    saved = (0, 0)

    def down():
        nonlocal y
        if y == rows - 1:
            gone.append(grid.pop(0))
            grid.append([])
        else:
            y += 1

    for control, number, command, character in re.findall(
            "(?s)\x1b(?:([78D])|\\[(\\d*)([ABJKLM]))|([^\x1b])", text):
        count = int(number or 1)
        if control == "7":
            saved = (x, y)
        elif control == "8":
            x, y = saved
        elif control == "D" or character == "\n":
            down()
        elif character == "\r":
            x = 0
        elif character:
            if x == columns:
                x = 0
                down()
            grid[y] += " " * (x - len(grid[y]))
            grid[y][x:x + 1] = character
            x += 1
        elif command == "A":
            y = max(0, y - count)
        elif command == "B":
            y = min(rows - 1, y + count)
        elif command in "JK":
            del grid[y][min(x, columns - 1):]
            if command == "J":
                grid[y + 1:] = [[] for _ in grid[y + 1:]]
        elif command == "L":
            grid[y:y] = [[] for _ in range(count)]
            del grid[rows:]
        elif command == "M":
            del grid[y:y + count]
            grid += [[] for _ in range(count)]
    lines = ["".join(line).rstrip() for line in gone + grid]
    while lines and not lines[-1]:
        lines.pop()
    return lines


class Screen:
    """The other end of a pseudo-terminal: what was written to it, as text."""

    def __init__(self, columns=80):
        self.master, self.slave = pty.openpty()
        self.resize(columns)
        self.condition = threading.Condition()
        self.text = ""
        self.over = False
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        while not self.over:
            try:
                data = os.read(self.master, 4096)
            except OSError:  # EIO: the last one has closed the terminal
                data = b""
            with self.condition:
                self.text += data.decode(errors="replace")
                self.over = not data
                self.condition.notify_all()

    def resize(self, columns):
        self.columns = columns
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ,
                    struct.pack("4H", 24, columns, 0, 0))

    def type(self, text):
        os.write(self.master, text.encode())

    def shown(self):
        with self.condition:
            return shown(self.text, self.columns)

    def wait_shown(self, pattern):
        """What the terminal shows once that matches; lines end in \\n."""
        def look():
            text = "\n".join(self.shown()) + "\n"
            return re.search(pattern, text, re.M) and text
        try:
            return wait_until(look, pattern)
        except AssertionError:
            raise AssertionError("%r is not shown:\n%s" % (
                pattern, "\n".join(self.shown()))) from None

    def wait(self, pattern, beyond=0):
        """The match of what comes after so many characters; and their end."""
        end = time.monotonic() + PATIENCE
        with self.condition:
            while True:
                found = re.compile(pattern).search(self.text, beyond)
                if found:
                    return found
                if self.over or time.monotonic() > end:
                    raise AssertionError("%r does not appear in %r"
                                         % (pattern, self.text))
                self.condition.wait(0.2)

    def close(self):
        """After the programs have ended: else the reader would go on, with
        whatever the descriptor's number then stands for."""
        self.reader.join(PATIENCE)
        os.close(self.master)


class Notify:
    """A socket that stands in for systemd's; see sd_notify(3)."""

    def __init__(self, path):
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.settimeout(PATIENCE)

    def wait(self, what):
        """The next message with a line that begins so."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            message = self.socket.recv(4096)
            if any(l.startswith(what) for l in message.split(b"\n")):
                return message
        raise AssertionError("waited in vain for %r" % what)

    def close(self):
        self.socket.close()


reservations = []


def free_port(family=socket.AF_INET):
    """A port that nobody has and nobody gets meanwhile: neither another test,
    which would have to reserve it here (an abstract name goes with the process
    that bound it), nor the kernel for a connection: it takes those from 32768
    on."""
    host = "127.0.0.1" if family == socket.AF_INET else "::1"
    while True:
        port = random.randrange(10000, 32768)
        name = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            name.bind("\0intercom-test-port-%d" % port)
            with socket.socket(family, socket.SOCK_STREAM) as s:
                s.bind((host, port))
        except OSError as error:
            name.close()
            if error.errno != errno.EADDRINUSE:
                raise
            continue
        reservations.append(name)
        return port


def connect(port, host="127.0.0.1", rcvbuf=None):
    end = time.monotonic() + PATIENCE
    while True:
        s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET,
                          socket.SOCK_STREAM)
        if rcvbuf:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        s.settimeout(PATIENCE)
        try:
            s.connect((host, port))
            return s
        except ConnectionRefusedError:
            s.close()
            if time.monotonic() > end:
                raise
            time.sleep(0.02)


def reset(sock):
    """Closes without a good-bye."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                    struct.pack("ii", 1, 0))
    sock.close()


def is_closed(sock):
    """Waits for the other side; it may have left something unread."""
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


def receive(sock, size):
    """Exactly so many bytes (MSG_WAITALL does not wait on a socket with a
    time-out)."""
    data = bytearray()
    while len(data) < size:
        piece = sock.recv(size - len(data))
        if not piece:
            raise AssertionError("closed after %d of %d bytes"
                                 % (len(data), size))
        data += piece
    return bytes(data)


def receive_all(sock, size=65536):
    """Everything until the peer closes."""
    data = bytearray()
    while True:
        piece = sock.recv(size)
        if not piece:
            return bytes(data)
        data += piece


def noise(size, seed=1):
    """Bytes in which no two places look alike: for exact comparisons."""
    return random.Random(seed).randbytes(size)


def wav_bytes(frames, rate=44100, channels=2, width=2):
    """A canonical WAV file around raw samples, by Python's wave."""
    out = io.BytesIO()
    with wave.open(out, "wb") as w:
        w.setnchannels(channels)
        w.setsampwidth(width)
        w.setframerate(rate)
        w.writeframes(frames)
    return out.getvalue()


def without_page_chunk(data):
    """A page as a WAV file without the RIFF chunk "page", which a played page
    has before its samples."""
    position = 12
    while data[position:position + 4] != b"page":
        if data[position:position + 4] in (b"data", b""):
            raise AssertionError("no RIFF chunk 'page': %r" % data[:100])
        position += 8 + struct.unpack_from("<I", data, position + 4)[0]
    size = 8 + struct.unpack_from("<I", data, position + 4)[0]
    riff = struct.unpack_from("<I", data, 4)[0]
    if riff != 0xFFFFFFFF:
        riff -= size
    return (data[:4] + struct.pack("<I", riff) + data[8:position] +
            data[position + size:])


def helped_options(name):
    """The long options that a program's --help names, in its order."""
    text = subprocess.run([program(name), "--help"], check=True,
                          capture_output=True, text=True).stdout
    return re.findall(r"^ +(?:-\w, )?--([\w-]+)", text, re.M)


def completed(line, **kwargs):
    """What bash offers for the last word of a command line."""
    name = line[0]
    script = ("source %s/completions/%s\n"
              'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))\n'
              "cur=${COMP_WORDS[COMP_CWORD]}; [ \"$cur\" = = ] && cur=\n"
              'COMP_WORDS[0]=%s\n'
              '%s "$1" "$cur" "${COMP_WORDS[COMP_CWORD - 1]}"\n'
              'printf "%%s\n" "${COMPREPLY[@]}"\n'
              % (SRCDIR, name, program(name), "_" + name.replace("-", "_")))
    run = subprocess.run(["bash", "-c", script, "bash", *line], text=True,
                         capture_output=True, timeout=PATIENCE, **kwargs)
    if run.returncode or run.stderr:
        raise AssertionError(run.stderr)
    return run.stdout.split()


class Case(unittest.TestCase):
    """A test with a folder and processes of its own."""

    def check_help(self, name):
        """What --help writes is tests/help/NAME.txt, to the byte."""
        run = subprocess.run([program(name), "--help"], check=True,
                             capture_output=True, text=True)
        self.assertEqual(run.stdout.encode(), contents(
            os.path.join(SRCDIR, "tests/help", name + ".txt")))
        self.assertEqual(run.stderr, "")

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="intercom-test-")
        self.processes = []

    def tearDown(self):
        try:
            for process in reversed(self.processes):
                process.stop()
        finally:
            for process in self.processes:
                if process.child.poll() is None:
                    process.child.kill()
                    process.child.wait()
            shutil.rmtree(self.folder, ignore_errors=True)
        for process in self.processes:
            self.assertNotRegex(process.output(),
                                "Sanitizer|runtime error:", process.argv)

    def start(self, argv, **kwargs):
        process = Process(argv, **kwargs)
        self.processes.append(process)
        return process

    def on_terminal(self, argv, env, columns=80):
        """A child with a terminal of its own, and the terminal's other end."""
        screen = Screen(columns)
        self.addCleanup(screen.close)
        child = subprocess.Popen(
            argv, env=env, stdin=screen.slave, stdout=screen.slave,
            stderr=screen.slave, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        # What is resized is the master: it is the same terminal.
        os.close(screen.slave)
        screen.slave = screen.master
        self.addCleanup(child.wait, PATIENCE)
        self.addCleanup(lambda: child.poll() is None and child.terminate())
        return child, screen

    def path(self, name):
        return os.path.join(self.folder, name)

    def wav_file(self, name, *args, **kwargs):
        """The path of a new file: see wav_bytes()."""
        write_file(self.path(name), wav_bytes(*args, **kwargs))
        return self.path(name)

    def connect(self, *ports, **kwargs):
        """Sockets, until the test ends."""
        sockets = [connect(port, **kwargs) for port in ports]
        for s in sockets:
            self.addCleanup(s.close)
        return sockets

    def assert_silent(self, sock):
        """Nothing has come, not even the end."""
        sock.settimeout(0)
        with self.assertRaises(BlockingIOError):
            sock.recv(1)


class Witness:
    """A process that tells for how long the machine has not let it run."""

    SCRIPT = """if True:
        import select, time
        worst = 0
        while not select.select([0], [], [], 0)[0]:
            before = time.monotonic()
            time.sleep(0.002)
            worst = max(worst, time.monotonic() - before - 0.002)
        print(worst)"""

    def __enter__(self):
        self.child = subprocess.Popen(
            [sys.executable, "-S", "-c", self.SCRIPT], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *exception):
        self.worst_seconds = float(self.child.communicate("")[0])


def in_time(test):
    """A test that a busy machine may spoil: of programs that keep the time of
    live pages. Only when the machine is proved to have held up processes for
    too long meanwhile, a failure is not one, and the test is made again."""
    @functools.wraps(test)
    def attempts(self):
        for attempt in range(10):
            if attempt > 0:
                self.tearDown()
                self.setUp()
            with Witness() as witness:
                try:
                    test(self)
                    return
                except AssertionError as error:
                    failure = error
            if witness.worst_seconds < 0.01:
                raise failure
        self.skipTest("this machine is too busy: %s" % failure)
    return attempts


def main():
    """Runs the tests of the calling file; the last line counts them."""
    result = unittest.main(exit=False, verbosity=2).result
    failed = len(result.failures) + len(result.errors)
    skipped = len(result.skipped)
    print("%d passed, %d failed" % (result.testsRun - failed - skipped, failed))
    sys.exit(1 if failed or result.testsRun == 0 else 0)


def main_inside(option, what, *probe):
    """main() as root in a new namespace. Where the kernel does not allow that,
    it says so and exits with 77 (automake's "skipped")."""
    if os.environ.get("INTERCOM_TEST_INSIDE"):
        main()
    os.environ["INTERCOM_TEST_INSIDE"] = "1"
    unshare = ["unshare", *([] if os.getuid() == 0 else ["-r"]), option]
    if subprocess.run([*unshare, *probe]).returncode != 0:
        print("no %s namespaces here: not run" % what)
        sys.exit(77)
    os.execvp("unshare", [*unshare, sys.executable, *sys.argv])
