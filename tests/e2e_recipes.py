# SPDX-License-Identifier: MIT
"""The recipes of intercom-recipes(7), run as they stand: with the real programs
of ours, of ALSA, ffmpeg and systemd-analyze, and stand-ins for other people's.
Paths of the system are those of a folder, hosts are this machine."""
import glob
import os
import re
import shlex
import signal
import subprocess
import sys

from e2e_bus import ManualCase
from e2e_lib import (Card, FRAME, SRCDIR, connect, contents, free_port, main,
                     noise, program, receive, receive_all, wait_until,
                     without_page_chunk, write_file)

MANUAL = "intercom-recipes.7"
RECORD = r"#!/bin/sh" "\n" 'echo "${0##*/} $*" >>%s/calls' "\n"
GPIOMON = r"""#!/bin/sh
case $1 in
--version) echo "gpiomon (libgpiod) $(cat version)" ;;
*)
	echo "$*" >>presses
	[ "$(wc -l <presses)" -eq 1 ]
	;;
esac
"""
PW_CLI = r"""#!/bin/sh
printf '\tid 40, type PipeWire:Interface:Node/3\n'
printf ' \t\tmedia.class = "Stream/Output/Audio"\n'
"""
WPCTL = r"""#!/bin/sh
case $1 in
get-volume) echo "Volume: 0.80" ;;
*) echo "$*" >>"$HOME/wpctl" ;;
esac
"""


def text_of(part):
    return (part.replace("\\(dq", '"').replace("\\(aq", "'")
            .replace("\\e", "\\"))


def sections():
    """The recipes: title and text."""
    text = contents(os.path.join(SRCDIR, "man", MANUAL)).decode()
    parts = re.split(r"^\.Sh (.*)\n", text, flags=re.M)[1:]
    found = dict(zip(parts[::2], parts[1::2]))
    return {title: text_of(part) for title, part in found.items()
            if title not in ("NAME", "SEE ALSO")}


def blocks_of(section):
    return re.findall(r"^\.Bd .*?\n(.*?)^\.Ed", section, re.M | re.S)


def path_of(block):
    """Of a block that is the contents of a file: where that is."""
    found = re.match(r"# ([/~]\S+)\n", block)
    return found and found[1]


class RecipeCase(ManualCase):
    def setUp(self):
        super().setUp()
        self.groups = []
        self.short_bell = self.wav("chime.wav", 8000)
        os.mkdir(self.path("tools"))
        for name in ("systemctl", "modprobe", "adduser", "chown"):
            self.stand_in(name, RECORD % self.folder)
        for folder in ("etc/systemd/system", "etc/default", "usr/local/bin",
                       "etc/modules-load.d", "etc/intercom/sip", ".config"):
            os.makedirs(self.path(folder))

    def tearDown(self):
        for process in self.groups:
            self.end_group(process, signal.SIGKILL)
        super().tearDown()

    def end_group(self, process, number):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            pass

    def stand_in(self, name, text):
        write_file(self.path("tools/" + name), text)
        os.chmod(self.path("tools/" + name), 0o755)

    def here(self, text):
        """The same with the paths and hosts of the test."""
        for there, here in (
                (r"/usr/share/doc/intercom-(?:ctl|client)/examples",
                 os.path.join(SRCDIR, "examples")),
                (r"/usr/share/alsa-intercom/chime\.wav", self.short_bell),
                (r"--chime default", "--chime " + self.short_bell),
                (r"(?<![\w/])/etc/", self.path("etc/")),
                (r"/usr/local/", self.path("usr/local/")),
                (r"/usr/bin/", ""),
                (r"plughw:CARD=Dummy", "plugcard")):
            text = re.sub(there, lambda _: here, text)
        return text

    def recipe(self, title, **environment):
        """Writes its files; returns its commands, and the blocks that are
        scripts. All are to be run by the test of that recipe."""
        section = sections()[title]
        self.environment = environment
        self.left = re.findall(r"^\.Dl [$#] (.*)$", section, re.M)
        for block in blocks_of(section):
            if path_of(block):
                write_file(self.there(path_of(block)), self.here(block))
            else:
                self.left.append(block)

    def there(self, path):
        return self.path(path.replace("~", ".").lstrip("/"))

    def begin(self, pattern, adapt=lambda script: script):
        """Starts the one that matches, in a process group of its own."""
        script, = [s for s in self.left if re.search(pattern, s)]
        self.left.remove(script)
        return self.shell(adapt(self.here(script)), HOME=self.folder,
                          **self.environment)

    def run_one(self, pattern, adapt=lambda script: script):
        process = self.begin(pattern, adapt)
        self.assertEqual(process.wait(), 0, process.output())
        return process.output()

    def adapt_file(self, path):
        """An example that a recipe has installed."""
        text = contents(self.path(path)).decode()
        write_file(self.path(path), self.here(text))
        return self.here(text)

    def bell(self):
        self.run_example(self.here(blocks_of(sections()["DESCRIPTION"])[0]))

    def calls(self):
        calls = contents(self.path("calls")).decode().splitlines()
        os.unlink(self.path("calls"))
        return calls

    def exec_start(self, path):
        text = self.adapt_file(path)
        return re.search(r"^ExecStart=(.*)$", text, re.M)[1]

    def setting(self, path, name):
        """The words of a setting, split as systemd does."""
        text = contents(self.there(path)).decode().replace("\\\n", "")
        return shlex.split(re.search("^%s=(.*)$" % name, text, re.M)[1])

    def servers(self, path, **ports):
        """Those of a file in /etc/default, at the test's ports."""
        named = {"reception" + (":%d" % port if port else ""):
                 "127.0.0.1:%d" % self.ports[zone]
                 for zone, port in ports.items()}
        return [named[name] for name in
                self.setting(path, "INTERCOM_CLIENT_SERVERS")]

    def loudspeaker(self, card, *args, **more):
        process = self.start(
            [program("intercom-client"), *args],
            env=self.env(**card.environment, HOME=self.folder,
                         STATE_DIRECTORY=self.folder,
                         XDG_RUNTIME_DIR=self.folder, **more),
            cwd=self.folder)
        return process

    def on_the_air(self, **expected):
        """Waits for a page like that."""
        return wait_until(
            lambda: [p for p in self.pages()
                     if all(p[k] == v for k, v in expected.items())],
            "a page with %s" % expected)[0]

    def interrupt(self, process):
        """Ctrl-C, at a terminal."""
        self.end_group(process, signal.SIGINT)

    def shell(self, script, **more):
        process = super().shell(script, start_new_session=True, **more)
        self.groups.append(process)
        return process

    def programs_card(self):
        """A card with the PCMs of the recipe."""
        card = Card(self.folder, "programs", capture=noise(200000))
        block, = blocks_of(sections()["ALSA PROGRAMS"])
        with open(card.conf, "a") as f:
            f.write(self.here(block))
        return card


class Recipes(RecipeCase):
    def test_every_recipe_has_a_test(self):
        for title in sections():
            name = "test_" + re.sub(r"\W+", "_", title.lower())
            self.assertTrue(hasattr(self, name), title)

    def all_is_run(self):
        self.assertEqual(self.left, [])

    def test_description(self):
        self.recipe("DESCRIPTION")
        self.run_one("bell.wav")
        self.all_is_run()

    def test_school_timetable(self):
        self.server()
        self.listen("lobby")
        self.bell()
        self.recipe("SCHOOL TIMETABLE")
        self.run_one("install bell-day")
        self.adapt_file("usr/local/bin/bell-day")
        self.run_one("enable --now")
        self.run_one("daemon-reload")
        self.assertEqual(self.calls(), [
            "systemctl enable --now bell-normal.timer bell-short.timer",
            "systemctl daemon-reload"])
        self.assertRegex(self.run_one("systemd-analyze"),
                         r"Normalized form: Mon\.\.Thu \*-\*-\* 11:45:00")
        bell_day = self.path("usr/local/bin")
        self.environment["PATH"] = bell_day + ":" + os.environ["PATH"]
        self.assertEqual(self.run_one("bell-day short"), "rings")
        self.all_is_run()
        self.assertIn("(complete)", self.run_example(
            self.exec_start("etc/systemd/system/bell@.service")))
        names = {t: [name for name in ("normal", "short", "none")
                     if self.bell_day(name, t).wait() == 0]
                 for t in ("2026-12-22", "2026-12-23", "2027-01-01",
                           "2027-01-06", "2027-01-07", "2027-06-18")}
        self.assertEqual(names, {
            "2026-12-22": ["normal"], "2026-12-23": ["none"],
            "2027-01-01": ["none"], "2027-01-06": ["none"],
            "2027-01-07": ["normal"], "2027-06-18": ["short"]})

    def test_of_lines_about_one_day_the_last_counts(self):
        self.recipe("SCHOOL TIMETABLE")
        self.run_one("install bell-day")
        self.adapt_file("usr/local/bin/bell-day")
        with open(self.path("etc/intercom/days"), "a") as f:
            f.write("2026-12-29 2026-12-29 short\n")
        self.assertEqual([self.bell_day("short", "2026-12-%d" % day).wait()
                          for day in (28, 29, 30)], [1, 0, 1])

    def bell_day(self, *args):
        return self.start([self.path("usr/local/bin/bell-day"), *args])

    def test_a_day_that_is_written_wrong_fails_and_is_named(self):
        self.recipe("SCHOOL TIMETABLE")
        self.run_one("install bell-day")
        self.adapt_file("usr/local/bin/bell-day")
        days = self.path("etc/intercom/days")
        for line in ("2027-01-06 2026-12-23 none", "23.12.2026 6.1.2027 none",
                     "2026-12-23 none"):
            write_file(days, "# days\n\n" + line + "\n")
            wrong = self.bell_day("normal")
            self.assertEqual(wrong.wait(), 255)
            self.assertIn(days + ":3: not FIRST-DAY LAST-DAY", wrong.output())
        os.unlink(days)
        self.assertEqual(self.bell_day("normal").wait(), 255)

    def test_text_to_speech(self):
        self.server()
        lobby, = self.listen("lobby")
        write_file(self.path("notice.txt"), "Der Laden schließt.\n")
        self.recipe("TEXT TO SPEECH")
        self.assertIn("(complete)", self.run_one("espeak-ng"))
        self.assertGreater(len(receive_all(lobby)), 8000)
        self.all_is_run()

    def music(self, name, seconds):
        subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi",
                        "-i", "sine=600:duration=%s" % seconds, name],
                       check=True, cwd=self.folder)

    def test_mp3_ogg_radio(self):
        self.server()
        self.recipe("MP3, OGG, RADIO")
        for name in "song.mp3", "song.ogg":
            self.music(name, 0.5)
            lobby, = self.listen("lobby")
            self.assertIn("(complete)", self.run_one(re.escape(name)))
            page = receive_all(lobby)
            self.assertAlmostEqual(len(page) / 44100 / 2, 0.5, delta=0.1)
        self.all_is_run()

    def test_a_radio_station(self):
        self.server()
        self.music("song.ogg", 0.5)
        port = free_port()
        self.start([sys.executable, "-m", "http.server", "-b", "127.0.0.1",
                    str(port)], cwd=self.folder)
        connect(port).close()
        self.listen("lobby")
        self.recipe("MP3, OGG, RADIO")
        address = "http://127.0.0.1:%d/song.ogg" % port
        self.assertIn("(complete)", self.run_one(
            "song.ogg", lambda s: s.replace("song.ogg", address)))

    def test_doorbell(self):
        self.server()
        self.listen("lobby")
        self.bell()
        self.recipe("DOORBELL")
        self.run_one("install doorbell")
        self.assertEqual(self.calls(),
                         ["systemctl enable --now doorbell.service"])
        self.adapt_file("usr/local/bin/doorbell")
        self.stand_in("gpiomon", GPIOMON)
        command = self.exec_start("etc/systemd/system/doorbell.service")
        for version, pressed in (
                ("v1.6.3", "--falling-edge --num-events=1 --bias=pull-up "
                 "gpiochip0 17"),
                ("v2.2.1", "--edges falling --num-events 1 --bias pull-up "
                 "--chip gpiochip0 17")):
            write_file(self.path("version"), version)
            rung = self.shell(command)
            self.assertEqual(rung.wait(), 1)
            self.assertIn("(complete)", rung.output())
            self.assertEqual(contents(self.path("presses")).decode(),
                             (pressed + "\n") * 2)
            os.unlink(self.path("presses"))
        self.remote_shell()
        yaml = r"(?s)shell_command:\n  doorbell: (?:>-\n)?(.*)"

        def action(script):
            return " ".join(re.match(yaml, script)[1].split())

        self.assertIn("(complete)", self.run_one("doorbell: inter", action))
        self.assertIn("(complete)", self.run_one("doorbell: >-", action))
        self.all_is_run()

    def test_music_on_a_loudspeaker(self):
        self.server("-d", "0.5", zones=("all",))
        self.recipe("MUSIC ON A LOUDSPEAKER")
        self.run_one("install -D")
        self.run_one("systemctl --user")
        self.assertEqual(self.calls(), [
            "systemctl --user enable --now intercom-client.service"])
        self.all_is_run()
        self.stand_in("pw-cli", PW_CLI)
        self.stand_in("wpctl", WPCTL)
        client = self.loudspeaker(
            Card(self.folder, "speaker"),
            *self.setting("~/.config/intercom-client",
                          "INTERCOM_CLIENT_OPTIONS"),
            *self.servers("~/.config/intercom-client", all=0), "--once",
            PATH=self.path("tools") + ":" + os.environ["PATH"])
        client.wait_line("connected")
        self.ctl("talk")
        self.assertEqual(client.wait(), 0, client.output())
        self.assertEqual(contents(self.path("wpctl")).decode(),
                         "set-volume 40 0.2\nset-volume 40 0.80\n")

    def test_background_music(self):
        self.server("-d", "0.5", zones=("all", "music"))
        self.recipe("BACKGROUND MUSIC")
        self.run_one("music.service /etc|cp ")
        self.music("etc/intercom/music.ogg", 1)
        command = self.exec_start("etc/systemd/system/music.service")
        music = self.shell(command)
        self.on_the_air(zones=["music"])
        client = self.loudspeaker(
            Card(self.folder, "speaker"),
            *self.servers("/etc/default/intercom-client", all=0, music=2350))
        heard = r"Page from 127\.0\.0\.1:%d begins"
        client.wait_line(heard % self.ports["music"])
        self.assertIn("1 client", self.run_one("talk --zone"))
        client.wait_line(heard % self.ports["all"])
        client.wait_line(heard % self.ports["music"], 2)
        self.on_the_air(zones=["music"])
        self.ctl("talk")  # in all zones
        self.assertEqual(music.wait(), 4)
        music = self.shell(command)
        client.wait_line(heard % self.ports["music"], 3)
        self.run_one("systemctl stop")
        self.end_group(music, signal.SIGTERM)
        music.wait()
        wait_until(lambda: not self.pages(), "the music to end")
        self.assertEqual(self.calls(), [
            "systemctl enable --now music.service",
            "systemctl stop music.service"])
        self.all_is_run()

    def volume(self, card):
        """Gives a card a mixer; returns the path of its state."""
        path = os.path.join(card.folder, "volume")
        write_file(path, "50 60\n")
        with open(card.conf, "a") as f:
            f.write('ctl_type.vctl { lib "%s" }\n'
                    'ctl.!default { type vctl file "%s" }\n'
                    % (os.environ.get("VCTL_SO", program("vctl.so")), path))
        return lambda: contents(path).decode().strip()

    def test_emergency_zone(self):
        self.server("-d", "0", zones=("all", "emergency"))
        self.recipe("EMERGENCY ZONE")
        clients, horn_card = {}, Card(self.folder, "horn")
        volume = self.volume(horn_card)
        clients["hall"] = self.loudspeaker(
            Card(self.folder, "hall"),
            *self.servers("/etc/default/intercom-client", all=0,
                          emergency=2999))
        clients["horn"] = self.loudspeaker(
            horn_card, *self.setting("/etc/default/intercom-client.Horn",
                                     "INTERCOM_CLIENT_OPTIONS"),
            *self.servers("/etc/default/intercom-client.Horn", all=0,
                          emergency=2999))
        clients["hall"].wait_line("connected", 2)
        clients["horn"].wait_line("connected")
        heard = r"Page from 127\.0\.0\.1:%d begins"
        routine = self.ctl_begin("talk", "--zone", "all")
        clients["hall"].wait_line(heard % self.ports["all"])
        emergency = self.begin("talk --zone emergency")
        for client in clients.values():
            client.wait_line(heard % self.ports["emergency"])
        self.assertEqual(routine.wait(), 4, routine.output())
        wait_until(lambda: volume() == "200 200", "full volume")
        self.ctl("stop")
        self.assertEqual(emergency.wait(), 0)
        wait_until(lambda: volume() == "50 60", "the volume that was")
        self.assertEqual(
            clients["horn"].count(heard % self.ports["all"]), 0)
        self.run_one("systemctl enable")
        self.assertEqual(self.calls(), [
            "systemctl enable --now intercom-client@Horn.service"])
        self.all_is_run()

    def test_volume_by_server_sets_that_of_each_page(self):
        card = Card(self.folder, "shared")
        volume = self.volume(card)
        for server, level in (("reception:2999", "200 200"),
                              ("reception", "120 120")):
            subprocess.run(
                ["sh", "-c", os.path.join(SRCDIR, "examples",
                                          "volume-by-server")],
                env=self.env(**card.environment, INTERCOM_SERVER=server),
                check=True)
            self.assertEqual(volume(), level)

    def is_live(self, process, lobby):
        """What comes is heard; and Ctrl-C ends it."""
        self.assertEqual(receive(lobby, 44 + 20000)[:4], b"RIFF")
        self.interrupt(process)
        process.wait()
        receive_all(lobby)
        wait_until(lambda: not self.pages(), "the end of the page")

    def test_other_machines(self):
        self.server("-d", "0.5")
        desk = Card(self.folder, "desk", capture=noise(200000))
        self.remote_shell()
        self.recipe("OTHER MACHINES", **desk.environment)
        lobby, = self.listen("lobby")
        self.is_live(self.begin("^arecord"), lobby)
        lobby, = self.listen("lobby")
        key = r'^restrict,command="(.*)" ssh-ed25519 .*\n'
        self.is_live(self.begin("^restrict", lambda script: re.sub(
            key, r"arecord -q -f S16_LE -r 16000 | \1", script)), lobby)
        self.assertIn("(complete)", self.run_one("ssh -t"))
        self.all_is_run()

    def test_alsa_programs(self):
        self.server()
        self.bell()
        self.recipe("ALSA PROGRAMS", **self.programs_card().environment)
        lobby, = self.listen("lobby")
        self.run_one("aplay -D page")
        bell, page = (without_page_chunk(receive_all(lobby)),
                      noise(8000 * FRAME, seed=5))
        self.assertEqual(bell[44:][:len(page)], page)
        lobby, = self.listen("lobby")
        self.is_live(self.begin("aplay -D speech"), lobby)
        self.run_one("echo snd-dummy")
        self.run_one("modprobe")
        self.assertEqual(contents(self.path(
            "etc/modules-load.d/snd-dummy.conf")), b"snd-dummy\n")
        self.assertEqual(self.calls(), ["modprobe snd-dummy"])
        self.all_is_run()

    def test_while_another_page_is_on_the_air_alsa_programs_fail(self):
        self.server("-d", "0")
        self.wav("etc/intercom/bell.wav", 400000)
        self.recipe("ALSA PROGRAMS", **self.programs_card().environment)
        talk = self.ctl_begin("talk")
        self.on_the_air(state="speech")
        refused = self.begin("aplay -D page")
        self.assertNotEqual(refused.wait(), 0)
        self.assertIn("is on the air", refused.output())
        self.ctl("stop")
        self.assertEqual(talk.wait(), 0)

    def test_telephone(self):
        """What a call does: it plays to the PCM that the settings name."""
        self.server()
        self.recipe("TELEPHONE", **self.programs_card().environment)
        settings = contents(self.path("etc/intercom/sip/config")).decode()
        pcm, = re.findall(r"^audio_player alsa,(\w+)$", settings, re.M)
        lobby, = self.listen("lobby")
        self.is_live(self.shell("arecord -q -f S16_LE | aplay -q -D " + pcm,
                                **self.environment), lobby)
        self.run_one("adduser")
        self.assertEqual(os.stat(self.path("etc/intercom/sip/accounts"))
                         .st_mode & 0o077, 0)
        self.assertEqual([c.split()[0] for c in self.calls()],
                         ["adduser", "chown", "systemctl"])
        self.all_is_run()

    def test_monitoring(self):
        """e2e_examples runs the examples."""
        self.recipe("MONITORING")
        self.run_one("install mail-missing")
        self.assertTrue(os.access(self.path("usr/local/bin/mail-missing"),
                                  os.X_OK))
        self.assertEqual(self.calls(),
                         ["systemctl enable --now mail-missing.timer"])
        self.all_is_run()

    def test_units_are_valid(self):
        units = self.path("units")
        os.mkdir(units)
        texts = {os.path.basename(n): contents(n).decode() for n in
                 glob.glob(os.path.join(SRCDIR, "examples/*.service")) +
                 glob.glob(os.path.join(SRCDIR, "examples/*.timer"))}
        for section in sections().values():
            for block in blocks_of(section):
                if (path_of(block) or "").startswith("/etc/systemd/"):
                    texts[os.path.basename(path_of(block))] = block
        self.assertEqual(len(texts), 8)
        for name, text in texts.items():
            write_file(os.path.join(units, name), re.sub(
                r"^(Exec\w+=)/\S+", r"\1/bin/true", text, flags=re.M))
        run = subprocess.run(["systemd-analyze", "verify",
                              *glob.glob(units + "/*")],
                             capture_output=True, text=True)
        ours = [l for l in run.stderr.split("\n")
                if any(name.split("@")[0].split(".")[0] in l
                       for name in texts)]
        self.assertEqual(ours, [])


if __name__ == "__main__":
    main()
