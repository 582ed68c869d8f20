# SPDX-License-Identifier: MIT
"""What the documents tell people to type, and the commands in examples/, run as
they stand: with the real programs, and stand-ins for other people's."""
import glob
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import unittest

from e2e_client import ClientCase
from e2e_lib import (Card, FRAME, RATE, SRCDIR, connect, contents,
                     free_port, main, noise, page_size, program, receive_all,
                     wait_until, wav_bytes, write_file)
from e2e_roll import RollCase
from e2e_server import ServerCase

PROGRAMS = ("intercom-server", "intercom-client", "intercomctl")
# The state of the player is in files of the current folder.
MPC = r"""#!/bin/sh
echo "$*" >>calls
case "$*" in
status) printf 'Bach - Air\n[%s] #1/9  0:01/5:00\n' "$(cat state)" ;;
'-q pause') echo paused >state ;;
'-q play') echo playing >state ;;
volume) echo "volume: $(cat volume)%   " ;;
'-q volume '*) echo "$3" >volume ;;
*) exit 2 ;;
esac
"""
PW_CLI = r"""#!/bin/sh
test "$*" = 'list-objects Node' || exit 2
printf '\tid 31, type PipeWire:Interface:Node/3\n'
printf ' \t\tmedia.class = "Audio/Sink"\n'
for id in 40 41 42; do
	printf '\tid %d, type PipeWire:Interface:Node/3\n' $id
	printf ' \t\tmedia.class = "Stream/Output/Audio"\n'
done
"""
WPCTL = r"""#!/bin/sh
case $1 in
get-volume) echo "Volume: $(cat "stream-$2") [MUTED]" ;;
set-volume) test -e "stream-$2" && echo "$3" >"stream-$2" ;;
esac
"""
GPIOSET = r"""#!/bin/sh
case $1 in
--version) echo "gpioset (libgpiod) $(cat version)" ;;
*) echo "$*" >>calls ;;
esac
"""


class Hooks(ClientCase):
    """Each is run by a client before and after a page."""

    def setUp(self):
        super().setUp()
        os.mkdir(self.path("kept"))

    def stand_in(self, name, text):
        write_file(self.path(name), text)
        os.chmod(self.path(name), 0o755)

    def put(self, **files):
        for name, text in files.items():
            write_file(self.path(name.replace("_", "-")), text + "\n")

    def read(self, name):
        return contents(self.path(name)).decode().strip()

    def page(self, example, meanwhile=lambda: None):
        """A page with the example as both hooks; MEANWHILE is called in it."""
        hook = os.path.join(SRCDIR, "examples", example)
        card = Card(self.folder, "card-%d" % len(self.processes))
        server = self.server()
        client = self.client(
            card, "--once", "--before", shlex.quote(hook) + " before",
            "--after", shlex.quote(hook) + " after", server.name,
            env={"PATH": self.folder + ":" + os.environ["PATH"],
                 "STATE_DIRECTORY": self.path("kept"),
                 "XDG_RUNTIME_DIR": self.path("kept")}, cwd=self.folder)
        connection = server.accept()
        data = wav_bytes(noise(RATE * FRAME))
        connection.sendall(data[:100000])
        wait_until(lambda: card.sound(), "sound")
        meanwhile()
        connection.sendall(data[100000:])
        connection.close()
        self.assertEqual(client.wait(), 0, client.output())
        self.assertEqual(client.count("ended with status"), 0,
                         client.output())
        self.assertEqual(os.listdir(self.path("kept")), [])

    def test_mpd_pauses_and_goes_on_only_if_it_played(self):
        self.stand_in("mpc", MPC)
        for state in "playing", "paused":
            self.put(state=state)
            self.page("pause-mpd", lambda: self.assertEqual(
                self.read("state"), "paused"))
            self.assertEqual(self.read("state"), state)

    def test_mpd_goes_on_after_a_client_that_has_died_in_a_page(self):
        self.stand_in("mpc", MPC)
        self.put(state="paused")
        write_file(self.path("kept/pause-mpd"), b"")
        self.page("pause-mpd")
        self.assertEqual(self.read("state"), "playing")
        self.put(volume="20")
        self.put(**{"kept/duck-mpd": "77"})
        self.page("duck-mpd")
        self.assertEqual(self.read("volume"), "77")

    def test_mpd_is_quiet_during_a_page(self):
        self.stand_in("mpc", MPC)
        self.put(volume="77")
        self.page("duck-mpd", lambda: self.assertEqual(
            self.read("volume"), "20"))
        self.assertEqual(self.read("volume"), "77")

    def test_mpd_without_a_volume_is_left_alone(self):
        self.stand_in("mpc", MPC.replace("$(cat volume)%", "n/a"))
        self.page("duck-mpd")
        self.assertNotIn("n/a", self.read("calls"))

    def test_other_streams_of_pipewire_are_quiet_during_a_page(self):
        self.stand_in("pw-cli", PW_CLI)
        self.stand_in("wpctl", WPCTL)
        self.put(stream_40="0.80", stream_41="1.00", stream_42="0.10")

        def volumes():
            return [self.read("stream-%d" % n) for n in (40, 41, 42)
                    if os.path.exists(self.path("stream-%d" % n))]

        def meanwhile():
            self.assertEqual(volumes(), ["0.2", "0.2", "0.10"])
            os.unlink(self.path("stream-41"))  # a program ends

        self.page("duck-pipewire", meanwhile)
        self.assertEqual(volumes(), ["0.80", "0.10"])

    def test_a_relay_is_on_during_a_page_with_either_libgpiod(self):
        self.stand_in("gpioset", GPIOSET)
        for version, call in (("v1.6.3", "--mode=exit gpiochip0 17=%d"),
                              ("v2.2", "--toggle 0 --chip gpiochip0 17=%d")):
            self.put(version=version, calls="")
            self.page("gpio-relay", lambda: self.assertEqual(
                self.read("calls"), call % 1))
            self.assertEqual(self.read("calls").split("\n"),
                             [call % 1, call % 0])


MAIL = r"""#!/bin/sh
{ echo "To: $3"; echo "Subject: $2"; cat; } >>mails
"""


class Monitoring(RollCase):
    """The roll call in other people's programs. What they type as intercomctl
    is ours, on the test's bus."""

    def setUp(self):
        super().setUp()
        self.fast_server("--expect", "1", zones=("lobby", "yard"))
        self.lobby, = self.connect(self.ports["lobby"])

    def run_words(self, words, status=0, errors="^$", **more):
        """A command line as it stands in an example; returns what it prints."""
        path = "%s:%s:%s" % (self.folder, os.path.dirname(
            program("intercomctl")), os.environ["PATH"])
        words[0] = words[0].replace("/usr/bin/", "").replace(
            "/usr/local/bin", os.path.join(SRCDIR, "examples"))
        run = subprocess.run(words, env=self.env(PATH=path, **more),
                             cwd=self.folder, capture_output=True, text=True)
        self.assertEqual(run.returncode, status)
        self.assertRegex(run.stderr, errors)
        return run.stdout

    def wait_missing(self):
        self.assertEqual(self.missing(1), {"yard": "absent"})

    def end_server(self):
        self.processes[1].stop()

    def test_icinga(self):
        text = document("examples/icinga2.conf")
        command = json.loads(re.search(r"command = (\[.*\])", text)[1])
        option = re.search(r'"(--\w+)" = {', text)[1]
        self.wait_missing()
        self.assertRegex(self.run_words([*command], 2), "^CRITICAL - 1 of 2 ")
        self.assertRegex(self.run_words([*command, option, "lobby"]),
                         r"^OK - 1 of 1 .*\|missing=0;;0;0;1 connected=1;;;0;1")
        self.assertRegex(self.run_words(
            [*command, option, "lobby", option, "yard"], 2), "1 in zone yard")

    def test_nrpe(self):
        line = re.search(r"^command\[\w+\]=(.*)$",
                         document("examples/nrpe.cfg"), re.M)[1]
        self.wait_missing()
        self.assertRegex(self.run_words(line.split(), 2), "^CRITICAL - ")
        self.end_server()
        self.assertEqual(self.run_words(line.split(), 3),
                         "UNKNOWN - no server answers (intercomctl status tells "
                         "why)\n")

    def test_home_assistant(self):
        """Its template is evaluated where there is Jinja."""
        text = document("examples/home-assistant.yaml")
        command = re.search(r"^ *command: (.*)$", text, re.M)[1]
        self.wait_missing()
        value = json.loads(self.run_words(command.split()))
        attributes = re.findall(r"^        - (\w+)$", text, re.M)
        self.assertEqual([value[a] for a in attributes],
                         [value["missing"], 1, 2, "on"])
        self.assertEqual(value["missing"][0]["zone"], "yard")
        try:
            import jinja2
        except ImportError:
            return
        template = re.search(r'^ *value_template: "(.*)"$', text, re.M)[1]
        self.assertEqual(jinja2.Template(template).render(value_json=value),
                         "1")

    def textfile(self, **kwargs):
        self.run_words(["/usr/local/bin/textfile", self.path("intercom.prom")],
                       **kwargs)
        text = contents(self.path("intercom.prom")).decode()
        if shutil.which("promtool"):
            check = subprocess.run(["promtool", "check", "metrics"], input=text,
                                   capture_output=True, text=True)
            self.assertEqual((check.returncode, check.stderr), (0, ""))
        return dict(re.findall(r"^(intercom\S+) (\d+)$", text, re.M))

    def test_node_exporter(self):
        self.wait_missing()
        all_there = {"intercom_up": "1", "intercom_loudspeakers_expected": "2",
                     "intercom_loudspeakers_present": "2"}
        self.assertEqual(self.textfile(), {
            **all_there, "intercom_loudspeakers_present": "1",
            'intercom_loudspeakers_missing'
            '{identity="",zone="yard",why="absent"}': "1"})
        self.connect(self.ports["yard"])
        self.back(1)
        self.assertEqual(self.textfile(), all_there)
        self.assertEqual([n for n in os.listdir(self.folder) if ".prom" in n],
                         ["intercom.prom"])

    def test_node_exporter_without_a_server(self):
        self.end_server()
        self.assertEqual(self.textfile(errors="No server on the system bus"),
                         {"intercom_up": "0"})

    def test_mail(self):
        """One for each change, and none from a server that has just begun."""
        write_file(self.path("mail"), MAIL)
        os.chmod(self.path("mail"), 0o755)
        os.mkdir(self.path("kept"))
        command = re.search(r"^ExecStart=(.*)$", document(
            "examples/mail-missing.service"), re.M)[1].split()

        def mails():
            self.run_words([*command], STATE_DIRECTORY=self.path("kept"))
            return (contents(self.path("mails")).decode().split("\n")[1::3]
                    if os.path.exists(self.path("mails")) else [])

        if self.status()["roll_call"] == "starting":
            self.assertEqual(mails(), [])
        self.wait_missing()
        yard, = mails()
        self.assertRegex(yard, r"^Subject: Loudspeakers: 1 missing: 1 in zone "
                         r"yard since [-\d ]*\d\d:\d\d \(not connected\)$")
        self.assertEqual(mails(), [yard])
        self.connect(self.ports["yard"])
        self.back(1)
        back = "Subject: Loudspeakers: 0 missing"
        self.assertEqual(mails(), [yard, back])
        self.lobby.close()  # for less than 30 s
        self.assertEqual(mails(), [yard, back])
        self.end_server()
        self.assertEqual(mails()[2:], [
            "Subject: Loudspeakers: UNKNOWN - no server answers "
            "(intercomctl status tells why)"])


IN_THE_TREE = unittest.skipUnless(
    os.path.isdir(os.path.join(SRCDIR, "debian")),
    "the source archive has neither debian/ nor scripts/")


def document(name):
    return contents(os.path.join(SRCDIR, name)).decode()


def documents():
    names = ["README.md", "SECURITY.md", "HACKING.md"]
    for pattern in ("man/*.[0-9]", "debian/*.README.Debian",
                    "debian/*.default"):
        names += [os.path.relpath(n, SRCDIR)
                  for n in glob.glob(os.path.join(SRCDIR, pattern))]
    return names


def plain(text):
    """A manual's text without its macros and escapes."""
    text = text.replace("\\(dq", '"').replace("\\(aq", "'")
    text = text.replace("\\e", "\\").replace("\\ ", " ").replace("\\&", "")
    text = re.sub(r"^\.D1 |^\.Dl (?:[$#] )?", "    ", text, flags=re.M)
    return re.sub(r"^\.Ic ", "    ", text, flags=re.M)


def command_lines(text):
    """The indented lines that begin with one of our programs."""
    joined = re.sub(r"\\\n\s*", "", plain(text))
    joined = re.sub(r'"\|(.*)"', r"|\1", joined)  # in an asound.conf
    for line in re.findall(r"^(?: {4}|\t).*$", joined, re.M):
        for part in re.split(r"[|;]|&&", line.split("  #")[0]):
            found = re.match(r"\s*(?:\$ |sudo |\./)*(%s)(?= )(.*)"
                             % "|".join(PROGRAMS), part)
            if found:
                yield found[1], shlex.split(found[2])


class Documents(ServerCase):
    def test_every_command_line_is_understood(self):
        """Options are read in order, so --version comes after all others."""
        seen = set()
        for name in documents():
            for tool, words in command_lines(document(name)):
                with self.subTest(name, words=words):
                    run = subprocess.run(
                        [program(tool), *words, "--version"],
                        capture_output=True, text=True, env=self.card_env())
                    self.assertEqual((run.returncode, run.stderr), (0, ""))
                    self.assertTrue(run.stdout.startswith(tool + " ("))
                    seen.add(tool)
        self.assertEqual(seen, set(PROGRAMS))

    def card_env(self):
        return Card(self.folder, "any-%d" % free_port()).env()

    @IN_THE_TREE
    def test_options_in_the_settings_are_understood(self):
        for kind in "client", "server":
            text = document("debian/intercom-%s.default" % kind)
            text += document("debian/intercom-%s.README.Debian" % kind)
            text = text.replace("\\\n", "")
            values = re.findall(r"INTERCOM_\w+_OPTIONS= *(.+)$", text, re.M)
            self.assertGreater(len(values), 1)
            for value in values:
                subprocess.run([program("intercom-" + kind),
                                *shlex.split(value), "--version"], check=True,
                               stdout=subprocess.DEVNULL)

    def test_cards_are_called_by_their_names(self):
        for name in documents():
            self.assertNotRegex(document(name), r"\b(?:plug)?hw:\d|dmix:\d",
                                name)

    @IN_THE_TREE
    def test_files_that_are_named_are_there(self):
        for name in documents() + ["bench/README.md"]:
            for path in re.findall(
                    r"\b(?:src|scripts|tests|bench|man|examples|debian)/"
                    r"[\w./-]*[\w/](?![\w*])", document(name)):
                self.assertTrue(
                    "-x." in path or os.path.exists(os.path.join(SRCDIR, path)) or
                    os.path.exists(os.path.join(SRCDIR, path + ".c")),
                    (name, path))

    def test_text_for_terminals_fits_80_columns(self):
        for name in glob.glob(os.path.join(SRCDIR, "debian/*.README.Debian")):
            for line in contents(name).decode().split("\n"):
                self.assertLessEqual(len(line), 80, line)

    def example(self, pattern, address, port):
        """The command of intercom(7) that matches, for another server."""
        text = plain(document("man/intercom.7"))
        found = re.search("^ *(%s.*)$" % pattern, text, re.M)[1]
        return found.replace("reception", address).replace("2348", str(port))

    def is_a_loudspeaker(self, pattern):
        server = self.server("-d", "0.5")
        command = self.example(pattern, "127.0.0.1", self.port)
        child, screen = self.on_terminal(["sh", "-c", command],
                                         self.card.env())
        self.press_enter(server)
        self.assertEqual(child.wait(30), 0, screen.text)
        size = page_size(0.5)
        self.assertEqual(self.card.sound()[:size], self.sound[:size])

    def test_nc_at_a_terminal_is_a_loudspeaker(self):
        self.is_a_loudspeaker("nc reception")

    @IN_THE_TREE
    def test_nc_is_nowhere_without_its_standard_input(self):
        for name in "README.md", "debian/control":
            self.assertNotRegex(document(name), r"nc \S+ 2348 \|")

    def test_a_client_in_python_keeps_a_page(self):
        text = plain(document("man/intercom.7"))
        script = re.search(r"^import socket\nwith socket.create_conn.*?(?=^\.)",
                           text, re.M | re.S)[0]
        server = self.server("-d", "0.5")
        script = script.replace('"reception", 2348',
                                '"127.0.0.1", %d' % self.port)
        client = self.start([sys.executable, "-c", script], cwd=self.folder)
        self.press_enter(server)
        self.assertEqual(client.wait(), 0, client.output())
        self.assertEqual(contents(self.path("page.wav")),
                         wav_bytes(self.sound[:page_size(0.5)]))

    def test_a_server_in_python_and_one_of_nc_page_a_file(self):
        bell = wav_bytes(noise(20000 * FRAME))
        write_file(self.path("bell.wav"), bell)
        text = plain(document("man/intercom.7"))
        script = re.search(r"^import socket\nwith socket.create_serv.*?(?=^\.)",
                           text, re.M | re.S)[0]
        port = free_port()
        server = self.start(
            [sys.executable, "-c", script.replace('("", 2348)',
                                                  '("127.0.0.1", %d)' % port)],
            cwd=self.folder, stdin=subprocess.PIPE)
        client = connect(port)
        server.write("\n")
        self.assertEqual(receive_all(client), bell)
        client.close()
        port = free_port()
        self.start(["sh", "-c", self.example("nc -N -l", "", port).replace(
            "-l ", "-l 127.0.0.1 ")], cwd=self.folder)
        client = connect(port)
        self.assertEqual(receive_all(client), bell)
        client.close()


if __name__ == "__main__":
    main()
