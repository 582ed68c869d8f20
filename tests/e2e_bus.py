# SPDX-License-Identifier: MIT
"""D-Bus and intercomctl end to end: a private bus, the real programs."""
import json
import os
import pwd
import re
import shutil
import signal
import struct
import subprocess
import time
import xml.etree.ElementTree as ET

from dbus_client import Client, DBusError, NO_REPLY_EXPECTED, Variant
from e2e_lib import (CHUNK, Card, Case, FRAME, PATIENCE, SRCDIR, completed,
                     contents, free_port, main, noise, page_frames, page_size,
                     program, receive, receive_all, wait_until, wav_bytes,
                     without_page_chunk, write_file)

ERROR = "org.alsaintercom1.Error."
MATCH = "type='signal',path='/org/alsaintercom1'"
LONG = 3600.0


class BusCase(Case):
    def setUp(self):
        super().setUp()
        self.clients = []
        self.socket_path = self.path("bus")
        self.address = "unix:path=" + self.socket_path
        self.daemon = self.start_daemon()

    def tearDown(self):
        for client in self.clients:
            client.close()
        super().tearDown()

    # --- the bus

    def start_daemon(self, *args):
        daemon = self.start(["dbus-daemon", "--nofork", "--nopidfile",
                             "--print-address", "--address=" + self.address,
                             *(args or ("--session",))])
        daemon.wait_line("^unix:")
        return daemon

    def env(self, **more):
        return {**os.environ, "DBUS_SESSION_BUS_ADDRESS": self.address,
                "DBUS_SYSTEM_BUS_ADDRESS": self.address, **more}

    def client(self):
        client = Client(self.address)
        self.clients.append(client)
        return client

    def listener(self):
        """A client that receives the server's signals."""
        client = self.client()
        client.add_match(MATCH)
        return client

    def assert_error(self, name, function, *args, **kwargs):
        with self.assertRaises(DBusError) as caught:
            function(*args, **kwargs)
        self.assertEqual(caught.exception.name,
                         name if "." in name else ERROR + name)
        return str(caught.exception)

    def assert_ended(self, listener, page, reason):
        body = listener.wait_signal("PageEnded")
        self.assertEqual((body[0], body[6]), (page, reason))

    # --- the server

    def server(self, *args, zones=("lobby", "yard"), bus="user", wait=True,
               card="mic", card_options="", **kwargs):
        self.sound = noise(400000 * FRAME)
        self.card = Card(self.folder, card, capture=self.sound,
                         options=card_options)
        self.ports = {zone: free_port() for zone in zones}
        argv = [program("intercom-server"), "-D", "card", "--bus", bus]
        for zone, port in self.ports.items():
            argv += ["-l", "%s=127.0.0.1:%d" % (zone, port)]
        process = self.start(argv + list(args),
                             env=self.env(**self.card.environment), **kwargs)
        if wait:
            process.wait_line("Taking commands on the %s bus" % bus)
        return process

    def listen(self, *zones):
        """Connects a loudspeaker to each zone and waits until it is accepted."""
        sockets = self.connect(*[self.ports[zone] for zone in zones])
        asker = self.client()
        wait_until(lambda: asker.call("Status")[0]["accepted"] >=
                   len(sockets), "the clients to be accepted")
        return sockets

    def pages(self):
        return self.client().call("Status")[0]["pages"]

    def wait_card_closed(self, count=1):
        wait_until(lambda: len(self.card.events("close")) >= count,
                   "the microphone to be closed")

    # --- intercomctl

    def argv(self, *args):
        return [program("intercomctl"), "--user", *args]

    def ctl(self, *args, status=0, **kwargs):
        """Runs intercomctl to its end and returns its output."""
        process = self.ctl_begin(*args, **kwargs)
        self.assertEqual(process.wait(), status, process.output())
        return process.output()

    def ctl_begin(self, *args, **kwargs):
        return self.start(self.argv(*args), env=self.env(), **kwargs)

    def opened(self, path):
        """Opens a descriptor that is closed when the test ends."""
        fd = os.open(path, os.O_RDONLY)
        self.addCleanup(os.close, fd)
        return fd

    def chime(self, *args):
        """A WAV file as the "chime" or another option; see wav()."""
        return Variant("h", self.opened(self.wav("chime.wav", *args)))

    def wav(self, name, frames, rate=44100, channels=2, seed=5):
        return self.wav_file(name, noise(frames * channels * 2, seed=seed),
                             rate, channels)


class ServedCase(BusCase):
    """Tests that start with a running server."""

    def setUp(self):
        super().setUp()
        self.running = self.server()

    def send_nothing(self, client, options):
        """Calls Play with a pipe that stays empty; returns the serial."""
        r, self.pipe = os.pipe()
        self.addCleanup(os.close, self.pipe)
        serial = client.send("Play", "asha{sv}", ([], r, options))
        os.close(r)
        return serial

    def play_nothing(self):
        """As send_nothing(), until the page is prepared: client, serial."""
        client = self.client()
        serial = self.send_nothing(client, {})
        wait_until(self.pages, "the page to be prepared")
        return client, serial



class Interface(ServedCase):
    def described(self, root):
        """Members of the interface: kind, name, arguments, access."""
        found = set()
        for interface in root.iter("interface"):
            if interface.get("name") != "org.alsaintercom1.Server":
                continue
            for member in interface:
                if member.tag == "annotation":
                    continue
                args = tuple((a.get("direction", "out"), a.get("type"),
                              a.get("name")) for a in member.iter("arg"))
                notes = tuple((a.get("name"), a.get("value"))
                              for a in member.iter("annotation")
                              if "EmitsChanged" in a.get("name"))
                found.add((member.tag, member.get("name"), args, notes,
                           member.get("type"), member.get("access")))
        return found

    def test_introspection_is_the_installed_interface_file(self):
        (text,) = self.client().call(
            "Introspect", interface="org.freedesktop.DBus.Introspectable")
        live = self.described(ET.fromstring(text))
        path = os.path.join(SRCDIR, "dbus", "org.alsaintercom1.Server.xml")
        self.assertEqual(live, self.described(ET.parse(path).getroot()))
        self.assertEqual(len(live), 18)

    def test_busctl_introspect_documents_it(self):
        text = subprocess.run(
            ["busctl", "--user", "introspect", "org.alsaintercom1",
             "/org/alsaintercom1"], env=self.env(), check=True,
            capture_output=True, text=True).stdout
        for member in (r"\.Talk +method +asda\{sv\} +u",
                       r"\.Play +method +asha\{sv\} +u",
                       r"\.Stop +method +u +u",
                       r"\.Zones +property +aa\{sv\}",
                       r"\.PageEnded +signal +uastuuts"):
            self.assertRegex(text, member)

    def test_the_manual_names_every_key_of_the_status(self):
        (lobby,) = self.listen("lobby")
        client = self.listener()
        page = client.play(self.opened(self.wav("bell.wav", 100)), ["lobby"])
        receive_all(lobby)
        lobby.sendall(b"intercom-receipt 1 result=complete arrived=100 "
                      b"heard=100 dropped=0 starved_ms=0\n")
        client.wait_signal("PageHeard")
        self.listen("lobby")
        client.talk(seconds=LONG)
        (status,) = client.call("Status")
        manual = contents(os.path.join(
            SRCDIR, "man", "org.alsaintercom1.5")).decode()
        keys = set(status)
        (clients,) = client.call("Clients")
        (heard,) = client.call("Receipts", "u", (page,))
        keys |= set(heard) | set(status["last_heard"])
        for items in (status["zones"], status["pages"], clients[-1:],
                      heard["loudspeakers"]):
            self.assertGreater(len(items), 0)
            keys |= set(items[0])
        for key in keys:
            self.assertRegex(manual, r"\b%s\b" % key)

    def test_properties_tell_their_changes(self):
        listener = self.listener()
        self.listen("yard")
        body = listener.wait_signal("PropertiesChanged",
                                    lambda body: "Zones" in body[1])
        self.assertEqual(body[0], "org.alsaintercom1.Server")
        self.assertEqual(body[1]["Zones"],
                         [{"name": "lobby", "clients": 0, "expected": 0},
                          {"name": "yard", "clients": 1, "expected": 0}])
        self.assertEqual(body[2], [])
        page = self.client().talk(["lobby"], LONG)
        listener.wait_signal(
            "PropertiesChanged", lambda body: [p for p in body[1].get(
                "Pages", []) if p["id"] == page and p["state"] == "speech"])


class Errors(ServedCase):
    def test_no_device(self):
        self.card.set("unplugged")
        self.assert_error("NoDevice", self.client().talk)
        self.card.clear("unplugged")
        self.client().talk(seconds=0.1)

    def test_no_device_of_a_queued_page_is_told_by_the_signal(self):
        self.card.set("busy")
        listener = self.listener()
        page = listener.talk(queue=Variant("b", True))
        body = listener.wait_signal("PageEnded", lambda b: b[0] == page)
        self.assertEqual(body[6], "no-device")

    def test_busy(self):
        client = self.client()
        page = client.talk(["lobby"], LONG)
        self.assert_error("Busy", client.talk, ["lobby"])
        self.assert_error("Busy", client.talk)
        self.assertEqual(client.call("Stop", "u", (page,)), [1])

    def test_unknown_zone(self):
        text = self.assert_error("UnknownZone", self.client().talk,
                                 ["lobby", "attic"])
        self.assertIn("'attic'", text)

    def test_not_audio(self):
        (loudspeaker,) = self.listen("lobby")
        client = self.client()
        self.assert_error("NotAudio", client.play, self.opened("/dev/zero"))
        self.assert_error("NotAudio", client.play,
                          self.opened(self.folder))
        self.assert_silent(loudspeaker)

    def test_a_chime_that_is_none(self):
        client = self.client()
        self.assert_error("NotAudio", client.talk,
                          chime=Variant("h", self.opened("/etc/passwd")))
        r, w = os.pipe()
        self.addCleanup(os.close, r)
        self.addCleanup(os.close, w)
        self.assert_error("NotAudio", client.talk,
                          chime=Variant("h", r))
        self.assert_error("NotAudio", client.talk,
                          chime=self.chime(31 * 8000, 8000, 1))
        self.assertEqual(self.pages(), [])

    def test_not_found(self):
        client = self.client()
        self.assert_error("NotFound", client.call, "Stop", "u", (7,))
        self.assert_error("NotFound", client.call, "Meter", "u", (7,))
        self.assert_error("NotFound", client.call, "LastPage")
        self.assertEqual(client.call("Stop", "u", (0,)), [0])

    def test_limit(self):
        client = self.client()
        client.talk(seconds=LONG)
        for _ in range(63):
            client.talk(seconds=1.0, queue=Variant("b", True))
        self.assert_error("Limit", client.talk, [], 1.0,
                          queue=Variant("b", True))
        self.assertEqual(client.call("Stop", "u", (0,)), [64])

    def test_stopped_before_it_began(self):
        client, serial = self.play_nothing()
        self.assertEqual(self.client().call("Stop", "u", (0,)), [1])
        self.assert_error("Stopped", client.wait_reply, serial)

    def test_pushed_aside_before_it_began(self):
        client, serial = self.play_nothing()
        self.client().talk(priority=Variant("y", 9))
        os.write(self.pipe, wav_bytes(b"1234"))
        self.assert_error("Busy", client.wait_reply, serial)

    def test_what_is_no_audio_ends_no_other_page(self):
        (lobby,) = self.listen("lobby")
        client = self.client()
        low = client.talk([], LONG, priority=Variant("y", 1))
        high = {"priority": Variant("y", 9)}
        zeros = self.opened("/dev/zero")
        self.assert_error("NotAudio", client.play, zeros, **high)
        self.assert_error("NotAudio", client.talk, chime=Variant("h", zeros),
                          **high)
        self.send_nothing(client, high)
        wait_until(lambda: len(self.pages()) == 2, "the pipe's page")
        self.assertEqual([(p["id"], p["state"]) for p in self.pages()],
                         [(low, "speech"), (low + 3, "preparing")])
        receive(lobby, 44 + 2 * CHUNK * FRAME)
        self.assertEqual(self.client().call("Stop", "u", (0,)), [2])

    def test_a_server_that_ends_answers(self):
        client, serial = self.play_nothing()
        self.running.signal(signal.SIGTERM)
        self.assert_error("Stopped", client.wait_reply, serial)
        self.assertEqual(self.running.wait(), 0)

    def test_invalid_arguments(self):
        client = self.client()
        invalid = "org.freedesktop.DBus.Error.InvalidArgs"
        for options in ({"priority": Variant("i", 10)},
                        {"priority": Variant("i", -1)},
                        {"priority": Variant("u", 2 ** 32 - 1)},
                        {"priority": Variant("s", "5")},
                        {"queue": Variant("i", 1)},
                        {"keep": Variant("s", "yes")},
                        {"chime": Variant("s", "gong.wav")},
                        {"loud": Variant("b", True)}):
            self.assert_error(invalid, client.talk, [], 1.0, **options)
        for seconds in (float("nan"), float("inf"), 1e12, 0.001, 0.0232):
            self.assert_error(invalid, client.talk, [], seconds)
        self.assert_error(invalid, client.call, "Talk", "s", ("lobby",))
        self.assertEqual(self.pages(), [])
        self.assertIn("0.02 seconds: shorter than one chunk of 1024 frames",
                      self.ctl("talk", "-d", "0.02", status=1))


class Pages(ServedCase):
    def test_a_page_goes_to_its_zone_with_exact_frames(self):
        lobby, yard = self.listen("lobby", "yard")
        listener = self.listener()
        page = self.client().talk(["yard"], 0.3)
        self.assertEqual(page, 1)
        frames = page_frames(0.3)
        self.assertEqual(receive_all(yard),
                         wav_bytes(self.sound[:frames * FRAME]))
        self.assertEqual(listener.wait_signal("PageStarted"),
                         [1, ["yard"], 0.0])
        self.assertEqual(listener.wait_signal("PageSpeech"), [1])
        yard.close()
        self.assertEqual(listener.wait_signal("PageEnded"),
                         [1, ["yard"], frames, 1, 0, 0, "complete"])
        self.assert_silent(lobby)

    def test_two_zones_at_once(self):
        lobby, yard = self.listen("lobby", "yard")
        bell = self.wav("bell.wav", 8000, 16000, 1)
        client = self.client()
        talk = client.talk(["yard"], LONG)
        play = client.play(self.opened(bell), ["lobby"])
        self.assertEqual({p["id"]: (p["source"], p["zones"], p["state"])
                          for p in self.pages()},
                         {talk: ("microphone", ["yard"], "speech"),
                          play: ("file", ["lobby"], "speech")})
        self.assertEqual(without_page_chunk(receive_all(lobby)),
                         contents(bell))
        self.assertEqual(client.call("Stop", "u", (talk,)), [1])
        data = receive_all(yard)[44:]
        self.assertGreater(len(data), 0)
        self.assertEqual(data, self.sound[:len(data)])

    def test_a_higher_page_ends_a_lower_one_only_where_it_needs_to(self):
        lobby, yard = self.listen("lobby", "yard")
        listener = self.listener()
        low = self.client().talk([], LONG)
        bell = self.wav("alarm.wav", 4410)
        high = listener.play(self.opened(bell), ["lobby"],
                             priority=Variant("i", 9))
        receive_all(lobby)  # the low page ends here,
        self.assertIn(low, [p["id"] for p in self.pages()])  # but not in yard
        body = listener.wait_signal("PageEnded")
        self.assertEqual((body[0], body[1], body[6]),
                         (high, ["lobby"], "complete"))
        self.assertEqual(listener.call("Stop", "u", (low,)), [1])
        self.assertEqual(listener.wait_signal("PageEnded")[6], "stopped")
        self.assertGreater(len(receive_all(yard)), 44)

    def test_preempted_everywhere_it_ends(self):
        listener = self.listener()
        low = self.client().talk(["lobby"], LONG, priority=Variant("u", 3))
        high = listener.talk([], 0.1, priority=Variant("y", 4))
        self.assert_ended(listener, low, "preempted")
        self.assert_ended(listener, high, "complete")

    def test_the_queue_goes_by_priority_then_age(self):
        listener = self.listener()
        first = listener.talk(seconds=LONG)
        queue = Variant("b", True)
        later = [listener.talk(seconds=0.05, queue=queue,
                               priority=Variant("i", p)) for p in (2, 5, 2)]
        self.assertEqual([p["state"] for p in self.pages()],
                         ["speech", "queued", "queued", "queued"])
        listener.call("Stop", "u", (first,))
        ended = [listener.wait_signal("PageEnded") for _ in range(4)]
        self.assertEqual([b[0] for b in ended],
                         [first, later[1], later[0], later[2]])
        self.assertEqual([b[6] for b in ended],
                         ["stopped", "complete", "complete", "complete"])
        self.assertTrue(all(b[2] == page_frames(0.05) for b in ended[1:]))

    def test_chime_then_speech_without_a_gap(self):
        (lobby,) = self.listen("lobby")
        listener = self.listener()
        chime = self.wav("chime.wav", 5000)
        page = listener.talk([], 0.3, chime=Variant("h", self.opened(chime)))
        speech = page_frames(0.3)
        data = receive_all(lobby)
        sound = contents(chime)[44:]
        self.assertEqual(data, wav_bytes(
            sound + self.sound[5000 * FRAME:(5000 + speech) * FRAME]))
        body = listener.wait_signal("PageStarted")
        self.assertAlmostEqual(body[2], 5000 / 44100)
        self.assertEqual(listener.wait_signal("PageSpeech"), [page])
        self.assertEqual(listener.wait_signal("PageEnded")[2], 5000 + speech)

    def test_meter_and_status_of_a_page(self):
        (lobby,) = self.listen("lobby")
        client = self.client()
        page = client.talk([], LONG, priority=Variant("i", 7))
        meter = wait_until(
            lambda: [m for m in [client.call("Meter", "u", (page,))]
                     if m[0] > 0 and m[1] > 0], "sound")[0]
        self.assertLessEqual(meter[0], 1.0)
        self.assertAlmostEqual(meter[2], page_frames(LONG) / 44100, places=3)
        self.assertEqual(meter[3], 1)
        (info,) = self.pages()
        self.assertEqual((info["id"], info["priority"], info["zones"],
                          info["format"], info["rate"], info["channels"],
                          info["clients"], info["planned_frames"]),
                         (page, 7, ["lobby", "yard"], "S16_LE", 44100, 2, 1,
                          page_frames(LONG)))
        ((told,),) = client.call("Clients")
        self.assertTrue(told["on_air"])
        self.assertEqual(told["peer"],
                         "127.0.0.1:%d" % lobby.getsockname()[1])

    def test_the_last_page_is_a_sealed_wav_file(self):
        (lobby,) = self.listen("lobby")
        client = self.client()
        client.talk([], 0.3)
        data = receive_all(lobby)
        (fd,) = wait_until(lambda: self.last_page(client), "the last page")
        self.addCleanup(os.close, fd)
        with os.fdopen(os.dup(fd), "rb") as f:
            self.assertEqual(f.read(), data)
        with self.assertRaises(PermissionError):
            os.write(fd, b"RIFF")

    def last_page(self, client):
        try:
            return client.call("LastPage")
        except DBusError:
            return None


class Callers(ServedCase):
    def test_who_dies_takes_a_page_without_an_end_along(self):
        listener = self.listener()
        caller = self.client()
        page = caller.talk()
        caller.close()
        self.assert_ended(listener, page, "stopped")
        self.wait_card_closed()

    def test_and_its_place_in_the_queue(self):
        listener = self.listener()
        first = listener.talk(seconds=LONG)
        caller = self.client()
        page = caller.talk(seconds=1.0, queue=Variant("b", True))
        caller.close()
        self.assertEqual(listener.wait_signal("PageEnded")[0], page)
        self.assertEqual([p["id"] for p in self.pages()], [first])

    def test_and_a_pipe(self):
        listener = self.listener()
        caller = self.client()
        r, w = os.pipe()
        self.addCleanup(os.close, w)
        # Enough to begin with, and no end.
        os.write(w, wav_bytes(b"", 8000, 1, 1)[:40] +
                 struct.pack("<I", 0x7ffff000) + bytes(20000))
        page = caller.play(r)
        os.close(r)
        caller.close()
        self.assert_ended(listener, page, "stopped")

    def test_and_a_page_that_it_still_waits_for(self):
        listener = self.listener()
        caller, _ = self.play_nothing()
        caller.close()
        listener.wait_signal("PageEnded")
        self.assertEqual(self.pages(), [])

    def test_but_not_what_ends_by_itself_or_is_to_be_kept(self):
        listener = self.listener()
        caller = self.client()
        page = caller.talk(seconds=0.5)
        kept = caller.talk(queue=Variant("b", True), keep=Variant("b", True))
        caller.close()
        body = listener.wait_signal("PageEnded")
        self.assertEqual((body[0], body[2], body[6]),
                         (page, page_frames(0.5), "complete"))
        listener.wait_signal("PageSpeech", lambda b: b[0] == kept)
        self.assertEqual(listener.call("Stop", "u", (kept,)), [1])

    def test_who_wants_no_answer_may_leave_at_once(self):
        listener = self.listener()
        caller = self.client()
        caller.send("Talk", "asda{sv}", ([], 0.2, {}),
                    flags=NO_REPLY_EXPECTED)
        listener.wait_signal("PageStarted")
        caller.close()
        body = listener.wait_signal("PageEnded")
        self.assertEqual((body[2], body[6]), (page_frames(0.2), "complete"))

    def test_though_its_chime_has_yet_to_be_read(self):
        listener = self.listener()
        caller = self.client()
        # So long that it takes a while to convert.
        caller.send("Talk", "asda{sv}",
                    ([], 0.2, {"chime": self.chime(29 * 8000, 8000, 1)}),
                    flags=NO_REPLY_EXPECTED)
        caller.close()
        (page, _, chime) = listener.wait_signal("PageStarted")
        self.assertAlmostEqual(chime, 29, places=1)
        self.assertEqual(listener.call("Stop", "u", (page,)), [1])

    def test_a_hundred_rapid_pages_leak_nothing(self):
        client = self.client()
        chime = self.chime(200)

        def cycle():
            page = client.talk(chime=chime)
            self.assertEqual(client.call("Stop", "u", (page,)), [1])

        for _ in range(10):
            cycle()
        wait_until(lambda: not self.pages(), "the pages to end")
        self.wait_card_closed(10)
        before = self.running.fd_count(), self.running.rss_kib()
        for _ in range(100):
            cycle()
        wait_until(lambda: not self.pages(), "the pages to end")
        self.wait_card_closed(110)
        wait_until(lambda: self.running.fd_count() <= before[0],
                   "the descriptors to be closed")
        if b"libasan" not in contents("/proc/%d/maps" % self.running.pid):
            self.assertLess(self.running.rss_kib() - before[1], 4096)
        self.running.stop()
        self.assertEqual(self.running.wait(), 0, self.running.output())

    def test_callers_that_come_and_die_leak_nothing(self):
        listener = self.listener()
        before = self.running.fd_count()
        for _ in range(30):
            caller = self.client()
            page = caller.talk()
            caller.close()
            listener.wait_signal("PageEnded", lambda b, p=page: b[0] == p)
        wait_until(lambda: self.running.fd_count() <= before + 1,
                   "the descriptors to be closed")
        self.running.stop()
        self.assertEqual(self.running.wait(), 0, self.running.output())


class OtherServers(BusCase):
    """Faults that the tests above do not cover."""

    def test_negative_seconds_are_the_servers_own(self):
        self.server("-d", "0.2")
        listener = self.listener()
        listener.talk(seconds=-1.0)
        self.assertEqual(listener.wait_signal("PageEnded")[2],
                         page_frames(0.2))

    def test_a_chime_of_another_format_is_converted(self):
        self.server("-r", "48000")
        (lobby,) = self.listen("lobby")
        self.client().talk([], 0.1, chime=self.chime(2205, 22050, 1))
        frames = (len(receive_all(lobby)) - 44) // FRAME
        chime = frames - page_frames(0.1, 48000)
        self.assertAlmostEqual(chime, 4800, delta=48)

    def test_talk_for_cron_lasts_as_long_as_the_server_says(self):
        self.server("-d", "0.2")
        text = self.ctl("talk", stdin=subprocess.DEVNULL)
        self.assertIn("(complete): %d frames" % page_frames(0.2), text)

    def test_interrupted_while_the_microphone_opens(self):
        self.server(card_options="open_delay 1000")
        listener = self.listener()
        talk = self.ctl_begin("talk", "-d", "5", "--require-heard")
        wait_until(self.pages, "the page")
        talk.signal(signal.SIGINT)
        self.assertEqual(talk.wait(), 1)
        self.assertIn("Interrupted before the server had answered",
                      talk.output())
        body = listener.wait_signal("PageEnded")
        self.assertEqual((body[2], body[6]), (0, "stopped"))
        self.assertEqual(self.pages(), [])

    def test_json_survives_any_name(self):
        name = 'a"b\\c\td\x7f\u00fc\u20ac'
        self.server("-D", name)
        text = self.ctl("status", "--json")
        self.assertEqual(json.loads(text)["device"], name)

    def test_a_device_that_is_no_text_harms_nothing(self):
        self.server("-D", b"no\xfftext".decode(errors="surrogateescape"))
        self.assertEqual(json.loads(self.ctl("status", "--json"))["device"],
                         "?")
        self.assertIn("the server's log says why",
                      self.ctl("talk", "-d", "1", status=1))

    def test_monitor_with_as_many_zones_as_there_can_be(self):
        zones = ["z%02d-" % i + "n" * 44 for i in range(64)]
        self.server(zones=zones)
        programs = self.ctl_begin("monitor", "--json")
        plain = self.ctl_begin("monitor")
        programs.wait_line(zones[0])
        plain.wait_line(zones[0])
        self.listen(zones[-1])
        programs.wait_line('"clients":1')
        plain.wait_line(zones[-1] + " 1$")
        for line in programs.output().split("\n"):
            self.assertEqual([z["name"] for z in json.loads(line)["zones"]],
                             zones)

    def test_no_server(self):
        for args in (("status",), ("talk",), ("play", self.wav("a.wav", 9)),
                     ("stop",), ("monitor",), ("save", "-"), ("zones",)):
            self.assertIn("No server on the user bus",
                          self.ctl(*args, status=3))
        self.daemon.stop()
        self.assertIn("Cannot connect to the user bus",
                      self.ctl("status", status=3))

    def test_wrong_command_lines(self):
        for args in ((), ("sing",), ("play",),
                     ("save",), ("status", "now"), ("stop", "all"),
                     ("talk", "-d", "-1"), ("talk", "-d", "soon"),
                     ("talk", "--priority", "10"), ("talk", "--json"),
                     ("stop", "--zone", "lobby"), ("play", "a", "-d", "1"),
                     ("talk", "--loud"),
                     ("talk",) + ("--zone", "a") * 65):
            self.server_if_needed(args)
            text = self.ctl(*args, status=2)
            self.assertTrue(text, args)

    def server_if_needed(self, args):
        if args == ("stop", "all"):
            self.server()


class TheBusItself(BusCase):
    def test_without_a_bus_all_else_works_and_it_comes_later(self):
        self.daemon.stop()
        server = self.server("-i", "-d", "0.1", wait=False,
                             stdin=subprocess.PIPE)
        server.wait_line("Cannot connect to the user bus")
        (lobby,) = self.connect(self.ports["lobby"])
        wait_until(lambda: server.write("status\n") or
                   server.count("Zone lobby: 1 client$"), "the client")
        server.write("\n")
        self.assertGreater(len(receive_all(lobby)), 44)
        self.daemon = self.start_daemon()
        server.wait_line("Taking commands on the user bus")
        self.assertEqual(server.count("Cannot connect"), 1)
        self.assertEqual(self.client().call("Status")[0]["pages_begun"], 1)

    def test_a_bus_that_hangs_holds_nothing_up(self):
        self.daemon.signal(signal.SIGSTOP)
        try:
            server = self.server("-i", "-d", "0.1", wait=False,
                                 stdin=subprocess.PIPE)
            for _ in range(3):
                (lobby,) = self.connect(self.ports["lobby"])
                wait_until(lambda: server.write("status\n") or re.search(
                    "Zone lobby: 1 client\\b", "\n".join(server.lines[-4:])),
                    "the client")
                server.write("\n")
                self.assertGreater(len(receive_all(lobby)), 44)
                lobby.close()
            self.assertEqual(server.count("Taking commands"), 0)
        finally:
            self.daemon.signal(signal.SIGCONT)
        server.wait_line("Taking commands")
        self.assertEqual(self.client().call("Status")[0]["pages_begun"], 3)
        self.daemon.signal(signal.SIGSTOP)
        try:
            server.stop()
        finally:
            self.daemon.signal(signal.SIGCONT)
        self.assertEqual(server.wait(), 0)

    def test_a_bus_that_is_restarted_ends_pages_nobody_can_end(self):
        server = self.server("-i", "-v", stdin=subprocess.PIPE)
        caller = self.client()
        caller.talk()
        self.daemon.stop()
        server.wait_line("Lost the user bus")
        server.wait_line("Page 1 ends: the program that asked for it is gone")
        self.wait_card_closed()
        self.daemon = self.start_daemon()
        server.wait_line("Taking commands on the user bus", 2)
        self.assertEqual(self.client().talk(seconds=0.1), 2)

    def test_a_second_server_waits_for_the_name(self):
        first = self.server(zones=("one",))
        second = self.server(zones=("two",), wait=False, card="other")
        second.wait_line("Another server has the name")
        first.stop()
        client = self.client()
        wait_until(lambda: self.zone_names(client) == ["two"],
                   "the second server to take over")

    def zone_names(self, client):
        try:
            return [z["name"] for z in client.call("Status")[0]["zones"]]
        except DBusError:
            return []


CONFIGURATION = """<!DOCTYPE busconfig PUBLIC
 "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><auth>EXTERNAL</auth><listen>%s</listen>
<servicedir>%s</servicedir>
<policy context="default"><allow send_destination="*" eavesdrop="true"/>
<allow eavesdrop="true"/><allow own="*"/></policy>
</busconfig>"""


class Activation(BusCase):
    """The bus starts the server, by itself instead of through systemd."""

    def start_daemon(self):
        self.server_log = self.path("server.log")
        os.mkdir(self.path("services"))
        write_file(self.path("bus.conf"), CONFIGURATION % (
            self.address, self.path("services")))
        return super().start_daemon("--config-file=" + self.path("bus.conf"))

    def tearDown(self):
        self.end_server()
        super().tearDown()

    def offer(self, *args):
        """A service file for a server with these options."""
        card = Card(self.folder, "mic", capture=noise(400000 * FRAME))
        argv = [program("intercom-server"), "-D", "card", "--bus", "user", "-l",
                "all=127.0.0.1:0", *args]
        write_file(self.path("start"), "#!/bin/sh\n%s exec %s >>%s 2>&1\n" % (
            " ".join("%s=%s" % pair for pair in card.environment.items()),
            " ".join(argv), self.server_log))
        os.chmod(self.path("start"), 0o755)
        write_file(self.path("services/org.alsaintercom1.service"),
                   "[D-BUS Service]\nName=org.alsaintercom1\nExec=%s\n"
                   % self.path("start"))
        self.client().call("ReloadConfig", path="/org/freedesktop/DBus",
                           destination="org.freedesktop.DBus",
                           interface="org.freedesktop.DBus")

    def server_pid(self):
        asker = self.client()
        try:
            return asker.call("GetConnectionUnixProcessID", "s",
                              ("org.alsaintercom1",),
                              path="/org/freedesktop/DBus",
                              destination="org.freedesktop.DBus",
                              interface="org.freedesktop.DBus")[0]
        except DBusError:
            return 0

    def end_server(self):
        pid = self.server_pid()
        if pid:
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda: self.server_pid() == 0, "the server's end")

    def times_left(self):
        return contents(self.server_log).count(b"Nobody is connected")

    def test_commands_start_the_server(self):
        self.offer("--idle-exit", "600")
        self.assertIn("all", self.ctl("status"))
        self.end_server()
        text = self.ctl("talk", "-d", "0.1")
        self.assertIn("has ended (complete)", text)
        self.end_server()
        self.ctl("play", self.wav("bell.wav", 4410))

    def test_talk_and_play_with_nobody_connected_say_so(self):
        self.offer()
        for args in (("talk", "-d", "0.1"),
                     ("play", self.wav("bell.wav", 4410))):
            self.assertIn("No loudspeaker is connected", self.ctl(*args))

    def test_calls_while_the_server_leaves_are_answered(self):
        """Again and again a server leaves: none of the calls is lost."""
        self.offer("--idle-exit", "1")
        callers = [self.client() for _ in range(4)]
        callers[0].call("Status")
        while self.times_left() < 3:
            serials = [caller.send("Status") for caller in callers]
            for caller, serial in zip(callers, serials):
                self.assertIn("zones", caller.wait_reply(serial)[0])
            self.assert_error("NotFound", callers[0].call, "LastPage")

    def test_a_page_that_the_leaving_server_refuses_goes_to_the_next(self):
        """The call is there when the idle time is over, before or after."""
        self.offer("--idle-exit", "1")
        for _ in range(3):
            self.client().call("Status")
            pid = self.server_pid()
            os.kill(pid, signal.SIGSTOP)
            try:
                talk = self.ctl_begin("talk", "-d", "0.1")
                time.sleep(1.2)  # the idle time, not a synchronisation
            finally:
                os.kill(pid, signal.SIGCONT)
            self.assertEqual(talk.wait(), 0, talk.output())
            self.assertIn("has ended (complete)", talk.output())


class SystemBusCase(BusCase):
    """The policy file, on a bus configured like the system's; whoever runs the
    test may be the server, as root may."""

    GROUP_USER = "games"  # a user and a group on every Debian

    def setUp(self):
        super().setUp()
        self.daemon.stop()
        os.chmod(self.folder, 0o755)
        policy = contents(os.path.join(
            SRCDIR, "dbus", "org.alsaintercom1.conf")).decode()
        for kind, name, replacement in (
                ("group", "intercom", self.GROUP_USER),
                ("user", "root", pwd.getpwuid(os.getuid()).pw_name)):
            whose = '<policy %s="%%s">' % kind
            self.assertIn(whose % name, policy)
            policy = policy.replace(whose % name, whose % replacement)
        write_file(self.path("policy.conf"), policy)
        write_file(self.path("bus.conf"),
                   '<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS '
                   'Bus Configuration 1.0//EN" "http://www.freedesktop.org/'
                   'standards/dbus/1.0/busconfig.dtd"><busconfig>'
                   "<type>system</type><auth>EXTERNAL</auth>"
                   "<listen>%s</listen>"
                   '<policy context="default"><allow user="*"/>'
                   '<deny own="*"/><deny send_type="method_call"/>'
                   '<allow send_type="signal"/>'
                   '<allow send_requested_reply="true" '
                   'send_type="method_return"/>'
                   '<allow send_requested_reply="true" send_type="error"/>'
                   '<allow receive_type="method_call"/>'
                   '<allow receive_type="method_return"/>'
                   '<allow receive_type="error"/>'
                   '<allow receive_type="signal"/>'
                   '<allow send_destination="org.freedesktop.DBus" '
                   'send_interface="org.freedesktop.DBus"/></policy>'
                   "<include>policy.conf</include></busconfig>"
                   % self.address)
        self.daemon = self.start_daemon(
            "--config-file=" + self.path("bus.conf"))


class Policy(SystemBusCase):
    """To act as more than one user takes root."""

    def setUp(self):
        if os.getuid() != 0:
            self.skipTest("only root can be several users")
        super().setUp()

    def busctl(self, user, *args):
        entry = pwd.getpwnam(user)
        return subprocess.run(
            ["busctl", "--system", *args], env=self.env(), cwd="/",
            user=entry.pw_uid, group=entry.pw_gid, extra_groups=[],
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=PATIENCE)

    def method(self, user, *args):
        return self.busctl(user, "call", "org.alsaintercom1",
                           "/org/alsaintercom1", "org.alsaintercom1.Server",
                           *args)

    def test_strangers_may_look_and_not_touch(self):
        self.server(bus="system")
        for args in (("Status",),):
            run = self.method("nobody", *args)
            self.assertEqual(run.returncode, 0, run.stderr)
        run = self.busctl("nobody", "get-property", "org.alsaintercom1",
                          "/org/alsaintercom1", "org.alsaintercom1.Server",
                          "Zones")
        self.assertIn('"lobby"', run.stdout)
        run = self.method("nobody", "Meter", "u", "1")
        self.assertIn("There is no page 1", run.stderr)
        for args in (("Talk", "asda{sv}", "0", "1", "0"),
                     ("Stop", "u", "0"), ("LastPage",), ("Clients",)):
            run = self.method("nobody", *args)
            self.assertNotEqual(run.returncode, 0)
            self.assertRegex(run.stderr, "Access denied|not allowed|Rejected",
                             args)

    def test_a_call_without_an_interface_is_no_way_round(self):
        self.server(bus="system")
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                os.setgroups([])
                os.setgid(pwd.getpwnam("nobody").pw_gid)
                os.setuid(pwd.getpwnam("nobody").pw_uid)
                client = Client(self.address)
                try:
                    client.call("Stop", "u", (0,), interface=None)
                except DBusError as e:
                    status = 0 if e.name.endswith("AccessDenied") else 2
            finally:
                os._exit(status)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0)

    def test_the_group_may_command(self):
        self.server(bus="system")
        listener = self.listener()
        run = self.method(self.GROUP_USER, "Talk", "asda{sv}", "0", "0.1", "0")
        self.assertEqual((run.returncode, run.stdout), (0, "u 1\n"),
                         run.stderr)
        self.assertEqual(listener.wait_signal("PageEnded")[6], "complete")
        run = self.method(self.GROUP_USER, "Stop", "u", "0")
        self.assertEqual(run.stdout, "u 0\n")
        run = self.method(self.GROUP_USER, "Clients")
        self.assertEqual(run.stdout, "aa{sv} 0\n")
        run = self.method(self.GROUP_USER, "LastPage")
        self.assertEqual(run.returncode, 0, run.stderr)

    def test_who_has_heard_a_page_is_for_the_group_alone(self):
        self.server(bus="system")
        run = self.method("nobody", "Receipts", "u", "1")
        self.assertRegex(run.stderr, "Access denied|not allowed|Rejected")
        outsider, listener = self.outsider(), self.listener()
        for page in 1, 2:
            run = self.method(self.GROUP_USER, "Talk", "asda{sv}", "0", "0.1",
                              "0")
            self.assertEqual(run.returncode, 0, run.stderr)
            self.assertEqual(listener.wait_signal("PageHeard")[0], page)
        run = self.method(self.GROUP_USER, "Receipts", "u", "1")
        self.assertIn('"heard_all" u 0', run.stdout)
        received = []
        while received.count("PageEnded") < 2:
            received.append(outsider.receive(time.monotonic() +
                                             PATIENCE).member)
        self.assertNotIn("PageHeard", received)

    def outsider(self):
        """A listener of another user."""
        os.seteuid(pwd.getpwnam("nobody").pw_uid)
        try:
            return self.listener()
        finally:
            os.seteuid(0)

    def test_nobody_else_can_be_the_server(self):
        run = self.busctl("nobody", "call", "org.freedesktop.DBus",
                          "/org/freedesktop/DBus", "org.freedesktop.DBus",
                          "RequestName", "su", "org.alsaintercom1", "0")
        self.assertRegex(run.stderr, "(?i)access denied|not allowed")

    def test_intercomctl_uses_the_system_bus(self):
        self.server(bus="system")
        process = self.start([program("intercomctl"), "zones"],
                             env=self.env())
        self.assertEqual(process.wait(), 0)
        self.assertIn("yard", process.output())


class Ctl(ServedCase):
    def test_talk_lasts_its_time(self):
        (lobby,) = self.listen("lobby")
        talk = self.ctl_begin("talk", "-d", "0.3", "--zone", "lobby")
        self.assertEqual(receive_all(lobby), wav_bytes(
            self.sound[:page_size(0.3)]))
        lobby.close()
        self.assertEqual(talk.wait(), 0)
        self.assertRegex(talk.output(), "speak now")
        self.assertIn("%d frames, 1 client reached, 0 lost, 0 overruns"
                      % page_frames(0.3), talk.output())

    def test_signals_end_a_talk(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            talk = self.ctl_begin("talk", "-d", "0")
            talk.wait_line("speak now")
            talk.signal(number)
            self.assertEqual(talk.wait(), 0)
            self.assertIn("has ended (stopped)", talk.output())
            self.assertEqual(self.pages(), [])

    def at_terminal(self, *args):
        return self.on_terminal(self.argv(*args), self.env())

    def test_enter_ends_a_talk_on_a_terminal(self):
        self.listen("lobby")
        child, screen = self.at_terminal("talk")
        screen.wait(r"speak now \(Enter ends it\)")
        screen.wait(r"0:00\.\d  \[#+-*\] +(?:-?\d+ dB|CLIP)  1 client\b")
        screen.type("\n")
        screen.wait(r"has ended \(stopped\)")
        self.assertEqual(child.wait(PATIENCE), 0)
        self.wait_card_closed()

    def test_control_c_ends_a_talk_on_a_terminal(self):
        child, screen = self.at_terminal("talk", "-d", "60")
        screen.wait(r"0:00\.\d of 0:59\.\d")
        screen.type("\x03")
        screen.wait(r"has ended \(stopped\)")
        self.assertEqual(child.wait(PATIENCE), 0)
        self.wait_card_closed()

    def test_play_shows_progress_on_a_terminal(self):
        child, screen = self.at_terminal(
            "play", self.wav("a.wav", 8000, 8000, 1))
        screen.wait(r"(?s)of 0:01\.0.*has ended \(complete\)")
        self.assertEqual(child.wait(PATIENCE), 0)
        # Ten times a second, however long the machine has been up.
        self.assertLess(screen.text.count(" of 0:01"), 100)

    def test_talk_tells_when_the_chime_goes_out(self):
        (lobby,) = self.listen("lobby")
        chime = self.wav("chime.wav", 4410)
        text = self.ctl("talk", "-d", "0.1", "--chime", chime,
                        "--zone=yard")
        self.assertRegex(text, r"(?s)the chime plays, wait for its end "
                               r"\(0\.1 s\).*speak now")
        self.assertIn("%d frames" % (4410 + page_frames(0.1)), text)

    def test_play_a_file(self):
        (lobby,) = self.listen("lobby")
        path = self.wav("bell.wav", 4000, 8000, 1)
        play = self.ctl_begin("play", path)
        self.assertEqual(without_page_chunk(receive_all(lobby)),
                         contents(path))
        lobby.close()
        self.assertEqual(play.wait(), 0)
        self.assertIn("4000 frames, 1 client reached", play.output())

    def test_play_standard_input(self):
        (lobby,) = self.listen("lobby")
        sound = noise(3000 * 2)
        # As espeak-ng writes it: with a size that is not meant.
        header = bytearray(wav_bytes(b"", 16000, 1))
        struct.pack_into("<I", header, 4, 0x7ffff024)
        struct.pack_into("<I", header, 40, 0x7ffff000)
        play = self.ctl_begin("play", "-", stdin=subprocess.PIPE)
        play.child.stdin.write(bytes(header) + sound)
        play.child.stdin.close()
        # The pipe has ended, so that its size is known.
        self.assertEqual(without_page_chunk(receive_all(lobby)),
                         wav_bytes(sound, 16000, 1))
        lobby.close()
        self.assertEqual(play.wait(), 0)
        self.assertIn("3000 frames", play.output())

    def test_play_refuses_what_is_no_wav_file(self):
        (lobby,) = self.listen("lobby")
        self.assertIn("'/etc/passwd': This is not a WAV file",
                      self.ctl("play", "/etc/passwd", status=1))
        self.assertIn("'/etc/passwd': The chime cannot be used",
                      self.ctl("talk", "--chime", "/etc/passwd", status=1))
        self.assertIn("no zone 'roof'; 'intercomctl zones' lists them",
                      self.ctl("play", "--zone", "roof",
                               self.wav("bell.wav", 100), status=1))
        self.assertIn("Cannot open", self.ctl("play", self.path("none"),
                                              status=1))
        self.ctl("play", "-", status=1, stdin=subprocess.DEVNULL)
        self.assert_silent(lobby)

    def test_interrupting_play_ends_the_page(self):
        play = self.ctl_begin("play", self.wav("long.wav", 80000, 8000, 1))
        play.wait_line("plays")
        play.signal(signal.SIGINT)
        self.assertEqual(play.wait(), 0)
        self.assertEqual(self.pages(), [])

    def test_killing_talk_ends_the_page(self):
        listener = self.listener()
        talk = self.ctl_begin("talk", "-d", "0")
        talk.wait_line("speak now")
        talk.signal(signal.SIGKILL)
        self.assertEqual(listener.wait_signal("PageEnded")[6], "stopped")

    def test_busy_and_queue(self):
        first = self.ctl_begin("talk", "-d", "0")
        first.wait_line("speak now")
        bell = self.wav("bell.wav", 800, 8000, 1)
        for args in (("talk", "-d", "1"), ("play", bell)):
            self.assertRegex(self.ctl(*args, status=4),
                             "equal or higher priority.*--queue waits")
        waiting = self.ctl_begin("play", "--queue", bell)
        waiting.wait_line("when its turn comes")
        self.assertEqual(self.ctl("stop", "1"), "1 page ended")
        self.assertEqual(first.wait(), 0)
        self.assertEqual(waiting.wait(), 0)
        self.assertIn("800 frames", waiting.output())

    def test_a_place_in_the_queue_can_be_given_up(self):
        first = self.client().talk(seconds=LONG)
        for stop in (lambda p: p.signal(signal.SIGINT),
                     lambda p: self.ctl("stop", "3")):
            waiting = self.ctl_begin("talk", "-d", "1", "--queue")
            waiting.wait_line("when its turn comes")
            stop(waiting)
            self.assertEqual(waiting.wait(), 1, waiting.output())
            self.assertIn("The page was not completed: stopped",
                          waiting.output())
            self.assertEqual([p["id"] for p in self.pages()], [first])

    def test_priority_wins(self):
        low = self.ctl_begin("talk", "-d", "0", "--priority", "0")
        low.wait_line("speak now")
        self.ctl("talk", "-d", "0.1", "--priority=9")
        self.assertEqual(low.wait(), 4)
        self.assertIn("preempted", low.output())

    def test_a_missing_microphone(self):
        self.card.set("unplugged")
        self.assertIn("card", self.ctl("talk", "-d", "1", status=1))

    def test_stop(self):
        client = self.client()
        self.assertEqual(self.ctl("stop"), "0 pages ended")
        page = client.talk(["lobby"], LONG)
        client.play(self.opened(self.wav("a.wav", 800000, 8000, 1)), ["yard"])
        self.assertEqual(self.ctl("stop", str(page)), "1 page ended")
        self.assertEqual(self.ctl("stop"), "1 page ended")
        self.assertIn("no page %d" % page,
                      self.ctl("stop", str(page), status=1))
        self.ctl("stop", "0", status=2)
        with open("/dev/full", "w") as full:
            self.assertEqual(subprocess.run(
                self.argv("stop"), env=self.env(), stdout=full,
                stderr=subprocess.DEVNULL).returncode, 1)

    def test_status_for_people_and_programs(self):
        self.listen("lobby")
        self.client().talk(["lobby"], LONG)
        text = self.ctl("status")
        self.assertRegex(text, r"^intercom-server \S+, mode live\n"
                               r"Microphone 'card': S16_LE, 44100 Hz, "
                               r"2 channels\n1 page and 1 connection so far; "
                               r"1 client now\n"
                               r"Page 1: microphone, speech, priority 5, "
                               r"zone lobby\n"
                               r"  \d+\.\d s of 3600\.0 s, 1 client\nZONE ")
        for line in (text + "\n" + self.ctl("clients")).split("\n"):
            self.assertLessEqual(len(line), 80, line)
        status = json.loads(self.ctl("status", "--json"))
        self.assertEqual((status["rate"], status["pages_begun"],
                          status["pages"][0]["zones"], status["clients"]),
                         (44100, 1, ["lobby"], 1))
        self.assertEqual(status["zones"],
                         [{"name": "lobby", "clients": 1, "expected": 0},
                          {"name": "yard", "clients": 0, "expected": 0}])

    def test_clients_and_zones(self):
        (yard,) = self.listen("yard")
        peer = "127.0.0.1:%d" % yard.getsockname()[1]
        self.assertRegex(self.ctl("clients"),
                         re.escape(peer) + r" +yard +00:00:\d\d +waits$")
        (client,) = json.loads(self.ctl("clients", "--json"))
        self.assertEqual((client["peer"], client["zone"], client["on_air"]),
                         (peer, "yard", False))
        self.assertRegex(self.ctl("zones"),
                         r"(?s)^ZONE +CLIENTS\nlobby +0\nyard +1$")
        self.assertEqual(json.loads(self.ctl("zones", "--json"))[1],
                         {"name": "yard", "clients": 1, "expected": 0})

    def test_monitor(self):
        plain = self.ctl_begin("monitor")
        programs = self.ctl_begin("monitor", "--json")
        for monitor in plain, programs:
            monitor.wait_line("lobby")
        self.ctl("talk", "-d", "0.1", "--zone", "yard")
        (yard,) = self.listen("yard")
        stamp = r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d "
        plain.wait_line(stamp + "page 1 started: zone yard$")
        plain.wait_line(stamp + "page 1 on the air$")
        plain.wait_line(stamp + r"page 1 ended \(complete\): zone yard, %d "
                        "frames, reached 0, lost 0, overruns 0$"
                        % page_frames(0.1))
        plain.wait_line(stamp + "page 1: no loudspeaker was on the air$")
        plain.wait_line(stamp + "clients: lobby 0, yard 1$")
        programs.wait_line('"clients":1')
        self.running.stop()
        plain.wait_line("the server is gone")
        programs.wait_line("server_gone")
        events = [json.loads(line) for line in programs.output().split("\n")]
        self.assertEqual([e["event"] for e in events],
                         ["clients", "page_started", "page_speech",
                          "page_ended", "page_heard", "clients",
                          "server_gone"])
        self.assertEqual((events[1]["id"], events[1]["zones"],
                          events[3]["frames"], events[3]["reason"]),
                         (1, ["yard"], page_frames(0.1), "complete"))
        for monitor in plain, programs:
            monitor.signal(signal.SIGINT)
            self.assertEqual(monitor.wait(), 0)

    def test_save_the_last_page(self):
        path = self.path("last.wav")
        self.assertIn("No page", self.ctl("save", path, status=1))
        self.assertFalse(os.path.exists(path))
        self.ctl("talk", "-d", "0.2")
        self.ctl("save", path)
        wanted = wav_bytes(self.sound[:page_size(0.2)])
        self.assertEqual(contents(path), wanted)
        self.ctl("save", path)
        self.assertEqual(contents(path), wanted)
        saved = subprocess.run(self.argv("save", "-"), env=self.env(),
                               check=True, capture_output=True)
        self.assertEqual(saved.stdout, wanted)
        self.assertIn("Cannot save", self.ctl(
            "save", self.path("no/such/folder.wav"), status=1))
        self.assertEqual([n for n in os.listdir(self.folder)
                          if n.endswith(".part")], [])

    def test_a_page_is_not_saved_to_a_terminal(self):
        child, screen = self.at_terminal("save", "-")
        screen.wait("save -: a file or a pipe is needed")
        self.assertEqual(child.wait(PATIENCE), 2)

    def test_a_server_that_dies_meanwhile(self):
        talk = self.ctl_begin("talk", "-d", "0")
        talk.wait_line("speak now")
        self.running.signal(signal.SIGKILL)
        self.assertEqual(talk.wait(), 3)
        self.assertIn("The server ended before the page did", talk.output())


class ManualCase(BusCase):
    """Tests of what the manuals tell people to type."""

    def manual(self, name):
        return contents(os.path.join(SRCDIR, "man", name)).decode()

    def shell(self, script, start_new_session=False, **more):
        """Runs a script from the manuals on the private bus."""
        env = self.env(**more)
        tools = self.path("tools")
        os.makedirs(tools, exist_ok=True)
        if not os.path.exists(os.path.join(tools, "intercomctl")):
            for name, command in (
                    ("intercomctl", program("intercomctl")),
                    ("busctl", shutil.which("busctl"))):
                write_file(os.path.join(tools, name),
                           '#!/bin/sh\nexec "%s" --user "$@"\n' % command)
                os.chmod(os.path.join(tools, name), 0o755)
            if not shutil.which("espeak-ng"):
                self.speak(os.path.join(tools, "espeak-ng"))
        env["PATH"] = tools + ":" + env["PATH"]
        return self.start(["sh", "-ec", script], env=env, cwd=self.folder,
                          start_new_session=start_new_session)

    def speak(self, path):
        """A program that writes a WAV file as espeak-ng does."""
        write_file(path + ".wav", wav_bytes(noise(4000), 22050, 1))
        write_file(path, '#!/bin/sh\n'
                   'case "$*" in *--stdout*) cat "%s.wav" ;; *) exit 1 ;; '
                   'esac\n' % path)
        os.chmod(path, 0o755)

    def run_example(self, script):
        process = self.shell(script)
        self.assertEqual(process.wait(), 0, script + process.output())
        return process.output()

    def examples(self, name):
        """The commands after a prompt, and the literal blocks."""
        text = self.manual(name).split(".Sh EXAMPLES")[1]
        text = text.replace("\\(dq", '"').replace("\\(aq", "'") \
            .replace("\\e", "\\")
        return (re.findall(r"^\.Dl \$ (.*)$", text, re.M),
                re.findall(r"^\.Bd .*?\n(.*?)^\.Ed", text, re.M | re.S))

    def remote_shell(self):
        """An ssh that does all that it is asked on this machine."""
        path = self.path("tools/ssh")
        write_file(path, '#!/bin/sh\nwhile getopts ti:o: option; do :; done\n'
                         'shift "$OPTIND"\nexec sh -c "$*"\n')
        os.chmod(path, 0o755)


class Documents(ManualCase):
    def test_help_is_the_text_that_is_kept(self):
        self.check_help("intercomctl")

    def test_version(self):
        self.assertRegex(self.ctl("--version"), r"^intercomctl \(alsa-intercom\) \d")

    def test_the_examples_of_intercomctl(self):
        self.server("-d", "0.2")
        self.listen("lobby", "yard")
        commands, blocks = self.examples("intercomctl.1")
        self.assertEqual((len(commands), len(blocks)), (4, 1))
        self.assertIn("--chime default", commands[0])
        chime = self.wav("chime.wav", 2000)
        talked = self.run_example(commands[0].replace("default", chime))
        self.assertRegex(talked, "(?s)the chime plays.*speak now")
        self.assertIn("(complete)", self.run_example(
            commands[1].replace("default", chime)))
        self.assertIn("(complete)", self.run_example(commands[2].replace(
            "/usr/share/alsa-intercom/chime.wav", chime)))
        self.listen("lobby", "yard")
        self.assertIn("2", self.run_example(commands[3]))
        lamp, = blocks
        self.lamp(lamp)

    def lamp(self, script):
        # Stopping the monitor ends the loop that reads from it.
        ready = script.replace("intercomctl monitor --json",
                               "(echo $$ >pid; exec intercomctl monitor "
                               "--json)")
        ready = ready.replace("$$", "$(exec sh -c 'echo $PPID')")
        process = self.shell(ready.replace(
            "case $event in", "echo \"$event\" >>events; case $event in"))
        wait_until(lambda: os.path.exists(self.path("events")), "monitor")
        self.ctl("talk", "-d", "0.1")
        process.wait_line("lamp on")
        process.wait_line("lamp off")
        os.kill(int(contents(self.path("pid"))), signal.SIGTERM)
        self.assertEqual(process.wait(), 0)

    def test_the_examples_of_the_interface(self):
        self.server()
        _, blocks = self.examples("org.alsaintercom1.5")
        talk, stop, zones = blocks
        self.assertEqual(self.run_example(talk), "u 1")
        self.assertEqual(self.run_example(stop), "u 1")
        self.assertIn('"lobby" "clients" u 0', self.run_example(zones))


class Completion(BusCase):
    def complete(self, *line):
        return sorted(completed(line, env=self.env(), cwd=self.folder))

    def test_zones_and_files(self):
        self.server()
        self.wav("gong.wav", 10)
        write_file(self.path("gong.txt"), b"")
        line = ("intercomctl", "--user", "talk", "--zone")
        self.assertEqual(self.complete(*line, ""), ["lobby", "yard"])
        self.assertEqual(self.complete(*line, "=", "l"), ["lobby"])
        self.assertEqual(self.complete(*line, "="), ["lobby", "yard"])
        self.assertEqual(self.complete("intercomctl", "play", "go"),
                         ["gong.wav"])
        self.assertEqual(self.complete("intercomctl", "talk", "--chime", "g"),
                         ["gong.wav"])
        self.assertEqual(self.complete("intercomctl", "talk", "-d", ""), [])

    def test_the_other_programs(self):
        for name in ("intercom-server", "intercom-client"):
            self.assertEqual(self.complete(name, "-D", "nul"), ["null"])
        self.assertEqual(self.complete("intercom-server", "--mode", ""),
                         ["live", "store"])
        self.assertEqual(self.complete("intercom-server", "--bus", "=", "s"),
                         ["system"])


if __name__ == "__main__":
    main()
