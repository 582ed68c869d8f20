# SPDX-License-Identifier: MIT
"""What the tests of the installed packages share: cards, users, units, sound.

The cards are those of the kernel's snd-aloop: what is played to device 1 of
Mic is what its device 0 hears, and device 1 of Left and Right hears what is
played to their device 0. Nothing sleeps to synchronise: everything waits for a
state, with a bound that suits a machine in software emulation.
"""
import gzip
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import time
import traceback
import wave

CARDS = ["Mic", "Left", "Right"]
PATIENCE = 300
SERVER = "intercom-server.service"
SOCKET = "intercom-server.socket"
SCRATCH = pathlib.Path(os.environ.get("AUTOPKGTEST_TMP") or tempfile.mkdtemp())
RATE = 44100
FRAME_SIZE = 4


def run(*argv, user=None, status=0, **options):
    """Runs to the end; returns standard output. STATUS None: any will do."""
    if user:
        argv = ("runuser", "-u", user, "--") + argv
    done = subprocess.run(argv, stdin=options.pop("stdin", subprocess.DEVNULL),
                          capture_output=True, text=True,
                          timeout=options.pop("timeout", PATIENCE), **options)
    if status is not None and done.returncode != status:
        raise AssertionError("%s: exit status %d instead of %d\n%s%s" % (
            " ".join(argv), done.returncode, status, done.stdout, done.stderr))
    return done.stdout


def start(*argv, user=None, log="/dev/null"):
    if user:
        argv = ("runuser", "-u", user, "--") + argv
    with open(log, "w") as out:
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out,
                                stderr=out)


def end(process):
    process.terminate()
    process.wait(PATIENCE)


def wait_until(condition, what, patience=PATIENCE):
    """Polls a state; returns the condition's value."""
    deadline = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError("waited in vain for " + what)
        time.sleep(0.1)


# --- units

def unit(name, key):
    return run("systemctl", "show", "-P", key, name).strip()


def is_active(name):
    return unit(name, "ActiveState") == "active"


def client(card):
    return "intercom-client@%s.service" % card


def status():
    """The server's status, or None."""
    text = run("intercomctl", "status", "--json", status=None)
    return json.loads(text) if text.strip() else None


def clients():
    return json.loads(run("intercomctl", "clients", "--json"))


def client_count():
    now = status()
    return now["clients"] if now else 0


def wait_for_clients(count):
    wait_until(lambda: client_count() == count, "%d clients" % count)


def settings(name, **variables):
    """Sets variables in /etc/default/NAME and leaves its other lines alone."""
    path = pathlib.Path("/etc/default", name)
    lines = path.read_text().splitlines() if path.exists() else []
    for key, value in variables.items():
        lines = [line for line in lines if not line.startswith(key + "=")]
        lines.append("%s=%s" % (key, value))
    path.write_text("\n".join(lines) + "\n")


RUN_UNITS = pathlib.Path("/run/systemd/system")
UNITS = pathlib.Path("/etc/systemd/system")


def clean_up():
    """Removes the drop-ins, and what cards have for settings of their own."""
    for path in [*RUN_UNITS.glob("intercom*.d/test.conf"),
                 *UNITS.glob("intercom*.d/override.conf")]:
        path.unlink()
        path.parent.rmdir()
    run("systemctl", "daemon-reload")
    for path in pathlib.Path("/etc/default").glob("intercom-client.*"):
        path.unlink()


def drop_in(name, text):
    """A drop-in of the running system."""
    folder = RUN_UNITS / (name + ".d")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "test.conf").write_text(text)
    run("systemctl", "daemon-reload")


def edit(name, text):
    """systemctl edit NAME, by an editor that writes TEXT."""
    editor = SCRATCH / "editor"
    editor.write_text("#!/bin/sh\nfor file; do :; done\n"
                      "cp '%s' \"$file\"\n" % (SCRATCH / "edited"))
    editor.chmod(0o755)
    (SCRATCH / "edited").write_text(text)
    # It wants a terminal.
    run("script", "-qec", "SYSTEMD_EDITOR=%s systemctl edit %s" % (
        editor, name), "/dev/null")
    assert (UNITS / (unit(name, "Id") + ".d/override.conf")).exists()


def logged(name):
    """What a unit has logged, line by line."""
    return run("journalctl", "-b", "-u", name, "-o", "cat",
               "--no-pager").splitlines()


def counted(name, key):
    """The sum of a field of the page events that a unit logged."""
    text = run("journalctl", "-b", "-u", name, "-o", "json", "--no-pager",
               "INTERCOM_EVENT=page-end")
    return sum(float(json.loads(line).get(key, 0))
               for line in text.splitlines())


def faults(*clients):
    """What server and clients counted so far; all zero in a quiet machine."""
    keys = {SERVER: ["INTERCOM_OVERRUNS", "INTERCOM_SKIPS"]}
    for name in clients:
        keys[name] = ["INTERCOM_XRUNS", "INTERCOM_STARVATIONS",
                      "INTERCOM_DROPPED_MS"]
    return {(name, key): counted(name, key)
            for name in keys for key in keys[name]}


def seconds_heard(name):
    return counted(name, "INTERCOM_SECONDS")


def page(name):
    """A page of a second, until the client NAME has logged its end."""
    before = seconds_heard(name)
    run("intercomctl", "talk", "-d", "1", user="alice")
    wait_until(lambda: seconds_heard(name) > before, "the end of a page")


# --- the manuals, to be run as they stand

def manual(name, title):
    """A section of an installed manual, such as of "intercom.7"."""
    path = "/usr/share/man/man%s/%s.gz" % (name[-1], name)
    with gzip.open(path, "rt") as f:
        text = f.read().replace("\\(dq", '"').replace("\\e", "\\")
    return re.search(r"(?ms)^\.Sh %s\n(.*?)^\.Sh " % re.escape(title),
                     text).group(1)


def blocks(text):
    return re.findall(r"(?ms)^\.Bd .*?\n(.*?)^\.Ed", text)


def commands(text):
    """What root is to type."""
    return re.findall(r"(?m)^\.Dl # (.*)$", text)


def path_of(block):
    """Of a block that is the contents of a file: where that is."""
    found = re.match(r"# (?:[^/\n]*: )?(/\S+)\n", block)
    return found and pathlib.Path(found.group(1))


def write_block(block):
    path = path_of(block)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block)


def shell(script, **options):
    return run("sh", "-ec", script, **options)


def stand_in(path, text):
    """A program of others, which this machine must not have."""
    path = pathlib.Path(path)
    assert not path.exists(), path
    path.write_text(text)
    path.chmod(0o755)
    return path


def name_host(name, address):
    """In /etc/hosts; what was written before goes."""
    path = pathlib.Path("/etc/hosts")
    lines = [line for line in path.read_text().splitlines()
             if not line.endswith(" " + name)]
    path.write_text("\n".join(lines + ["%s %s" % (address, name)]) + "\n")


# --- the machine

def load_cards():
    """Exits with 77, skipped, where the kernel has no snd-aloop."""
    if run("sh", "-c", "modprobe -n -q snd-aloop && echo yes",
           status=None).strip() != "yes":
        print("This kernel has no snd-aloop: skipped")
        sys.exit(77)
    if not os.path.exists("/proc/asound/Mic"):
        run("modprobe", "-r", "snd-aloop", status=None)
        run("modprobe", "snd-aloop", "enable=1,1,1", "index=-2,-2,-2",
            "id=" + ",".join(CARDS))
    wait_until(lambda: all(os.path.exists("/proc/asound/" + c) for c in CARDS),
               "the cards")
    run("udevadm", "settle")


def make_users():
    """alice may command, bob has sound, mallory has nothing."""
    for name, groups in (("alice", "intercom"), ("bob", "audio"),
                         ("mallory", "")):
        if run("id", name, status=None) == "":
            run("useradd", "-m", "-G", groups, name)


def set_up(server_options="-D hw:Mic,0", client_options="--latency 1000"):
    """The server's socket is open, no client runs."""
    clean_up()
    load_cards()
    make_users()
    settings("intercom-server", INTERCOM_SERVER_OPTIONS=server_options)
    settings("intercom-client", INTERCOM_CLIENT_SERVERS="localhost",
             INTERCOM_CLIENT_OPTIONS=client_options)
    run("systemctl", "stop", "intercom-client.service",
        *(client(card) for card in CARDS[1:]))
    run("systemctl", "stop", SERVER)
    run("systemctl", "enable", "--now", "--quiet", SOCKET)


# --- sound

def volume(card):
    text = run("amixer", "-c", card, "sget", "Master")
    return int(re.search(r"\[([0-9]+)%\]", text).group(1))


def noise(seconds, seed, rate=RATE, channels=(0, 1)):
    """Frames that occur once: noise in these of two channels."""
    data = bytearray(random.Random(seed).randbytes(
        int(seconds * rate) * FRAME_SIZE))
    for channel in {0, 1} - set(channels):
        data[2 * channel::4] = bytes(len(data) // 4)
        data[2 * channel + 1::4] = bytes(len(data) // 4)
    return bytes(data)


def one_channel(data, channel):
    result = bytearray(len(data) // 2)
    result[0::2] = data[2 * channel::4]
    result[1::2] = data[2 * channel + 1::4]
    return bytes(result)


def write_wav(path, data, rate=RATE):
    with wave.open(str(path), "wb") as f:
        f.setnchannels(2)
        f.setsampwidth(2)
        f.setframerate(rate)
        f.writeframes(data)
    os.chmod(path, 0o644)


def read_wav(path):
    with wave.open(str(path), "rb") as f:
        return f.readframes(f.getnframes())


def speak(device, data, rate=RATE, user=None):
    """Plays DATA, in the background, as a mouth at a microphone does."""
    path = SCRATCH / "speech.wav"
    os.chmod(SCRATCH, 0o755)
    write_wav(path, data, rate)
    return start("aplay", "-q", "-D", device, "-B", "1000000", str(path),
                 user=user)


class Recording:
    """arecord in the background."""

    def __init__(self, device, rate=RATE, user=None):
        os.chmod(SCRATCH, 0o1777)
        self.path = SCRATCH / ("%s.raw" % device.replace(":", "-"))
        self.path.unlink(missing_ok=True)
        self.rate = rate
        self.log = SCRATCH / (self.path.stem + ".log")
        self.process = start("arecord", "-q", "-D", device, "-t", "raw",
                             "-f", "S16_LE", "-c", "2", "-r", str(rate),
                             "-B", "1000000", str(self.path), user=user,
                             log=self.log)
        wait_until(self.has_begun, "arecord on " + device)

    def has_begun(self):
        if self.process.poll() is not None:
            raise AssertionError("arecord: " + self.log.read_text())
        return self.path.exists() and self.size() > 0

    def overruns(self):
        return self.log.read_text().count("overrun")

    def size(self):
        return self.path.stat().st_size

    def stop(self):
        """What was heard up to now: arecord is a period behind, at least."""
        enough = self.size() + self.rate * FRAME_SIZE
        wait_until(lambda: self.size() >= enough, "a second more")
        end(self.process)
        return self.path.read_bytes()


def find(needle, haystack, size=FRAME_SIZE):
    """Where NEEDLE is in HAYSTACK, on a frame; None if it is not."""
    at = haystack.find(needle)
    while at >= 0 and at % size:
        at = haystack.find(needle, at + 1)
    return at if at >= 0 else None


def pieces_found(played, recorded, size=FRAME_SIZE):
    """Where each 5 ms of PLAYED are in RECORDED, in order; -1: nowhere."""
    step = RATE // 200 * size
    begin, places = 0, []
    for at in range(0, len(played) - step + 1, step):
        here = recorded.find(played[at:at + step], begin)
        if here >= 0:
            begin = here + step
        places.append(here)
    return places


def share_found(played, recorded, size=FRAME_SIZE):
    places = pieces_found(played, recorded, size)
    return sum(1 for place in places if place >= 0) / len(places)


def tell_damage(places, size):
    """Each hole: where, and how many frames became how many."""
    step = RATE // 200
    last = -1
    for number, place in enumerate(places):
        if place < 0:
            continue
        if last >= 0 and number > last + 1:
            print("      after %d frames, %d became %.2f" % (
                (last + 1) * step, (number - last - 1) * step,
                (place - places[last]) / size - step))
        last = number
    print("      the first piece found is %d, the last %d of %d" % (
        next((n for n, place in enumerate(places) if place >= 0), -1), last,
        len(places)))


def compare(what, played, recorded, quiet=True, size=FRAME_SIZE):
    """Bit for bit; in pieces if somebody counted a fault (QUIET is false)."""
    if find(played, recorded, size) is not None:
        print("   %s: all of %d frames, bit for bit" % (
            what, len(played) // size))
        return
    places = pieces_found(played, recorded, size)
    share = sum(1 for place in places if place >= 0) / len(places)
    print("   %s: %.1f %% of %d frames%s" % (
        what, 100 * share, len(played) // size,
        "" if quiet else ", with faults counted"))
    tell_damage(places, size)
    if quiet or share < 0.5:
        raise AssertionError("%s: not what was played" % what)


# --- running

def diagnose():
    for argv in (["systemctl", "--no-pager", "-l", "status", "intercom*"],
                 ["journalctl", "-b", "--no-pager", "-n", "60"]):
        print(run(*argv, status=None))


def main(*steps):
    """Runs steps in order; the first that fails is the test's result."""
    for step in steps:
        begin = time.monotonic()
        try:
            step()
        except Exception:
            print("FAILED: " + step.__doc__)
            traceback.print_exc(file=sys.stdout)
            diagnose()
            sys.exit(1)
        print("ok: %s (%.1f s)" % (step.__doc__, time.monotonic() - begin),
              flush=True)
    clean_up()
