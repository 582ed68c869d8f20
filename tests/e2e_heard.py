# SPDX-License-Identifier: MIT
"""Who has heard a page: on the bus, in intercomctl, at the server's terminal.

Loudspeakers are sockets that say a receipt, where only their words matter, and
the real client on a virtual card, where they have to be true.
"""
import json
import signal
import subprocess

from e2e_bus import BusCase, ServedCase
from e2e_lib import (Card, FRAME, main, program, receive, receive_all,
                     wait_until)

RATE = 8000
HALF = 4000  # frames: half a second


def receipt(name="hall", result="complete", heard=None, dropped=0,
            card="ready", more=""):
    """What a loudspeaker says that a number of frames has arrived at; by
    default it has heard them all."""
    def line(arrived):
        return ("intercom-receipt 1 name=%s result=%s arrived=%d heard=%d "
                "dropped=%d starved_ms=0 card=%s%s\n" % (
                    name, result, arrived, arrived if heard is None else heard,
                    dropped, card, more)).encode()
    return line


def silence(arrived):
    return b""


class HeardCase(ServedCase):
    def play_begin(self, *args, frames=HALF):
        """intercomctl with a page of half a second."""
        return self.ctl_begin("play", self.bell(frames), *args)

    def bell(self, frames=HALF):
        return self.wav("bell.wav", frames, RATE, 1)

    def say(self, sock, line, frame=2, before=b""):
        """Takes the rest of a page, and says a line of all of it."""
        page = before + receive_all(sock)
        size = len(page) - page.index(b"data") - 8
        sock.sendall(line(size // frame))
        sock.close()

    def heard(self, *lines, args=(), status=0, zones=("lobby",), frames=HALF):
        """Plays to loudspeakers that say these lines; intercomctl's output."""
        sockets = self.listen(*[zones[i % len(zones)]
                                for i in range(len(lines))])
        play = self.play_begin(*args, frames=frames)
        for sock, line in zip(sockets, lines):
            self.say(sock, line)
        self.assertEqual(play.wait(), status, play.output())
        return play.output()


class Sentence(HeardCase):
    def test_play_ends_with_who_heard_it(self):
        text = self.heard(receipt("hall"), receipt("yard"),
                          receipt("gym", "unheard", 0, card="busy"),
                          silence)
        self.assertIn("Page 1: hall (127.0.0.1) and yard (127.0.0.1) heard all "
                      "of it; gym (127.0.0.1): the card is busy; 1 player "
                      "gives no receipts", text)

    def test_talk_says_it_too(self):
        (lobby,) = self.listen("lobby")
        talk = self.ctl_begin("talk", "-d", "0.2")
        self.say(lobby, receipt(), frame=FRAME)
        self.assertEqual(talk.wait(), 0)
        self.assertIn("Page 1: hall (127.0.0.1) heard all of it",
                      talk.output())

    def test_nobody(self):
        self.assertIn("Page 1: no loudspeaker was on the air", self.heard())

    def test_who_does_not_answer_is_not_waited_for(self):
        (lobby,) = self.listen("lobby")
        play = self.play_begin()
        receive_all(lobby)
        self.assertEqual(play.wait(), 0)
        self.assertIn("127.0.0.1 has not answered yet", play.output())

    def test_an_interrupt_does_not_wait_at_all(self):
        (lobby,) = self.listen("lobby")
        play = self.play_begin("--require-heard")
        receive_all(lobby)
        play.wait_line("has ended")
        play.signal(signal.SIGINT)
        self.assertEqual(play.wait(), 5)

    def test_a_page_that_failed_is_told_of_all_the_same(self):
        (lobby,) = self.listen("lobby")
        low = self.ctl_begin("play", "--priority", "1",
                             self.bell(60 * RATE))
        page = receive(lobby, 44 + 2 * RATE)
        high = self.play_begin("--priority", "9")
        self.say(lobby, receipt(), before=page)
        self.assertEqual(low.wait(), 4)
        self.assertRegex(low.output(),
                         r"(?m)Page 1: hall \(127\.0\.0\.1\) heard all of "
                         "it$")
        self.assertEqual(high.wait(), 0)

    def test_what_does_not_fit_is_not_left_out_silently(self):
        text = self.heard(*[receipt("%02d%s" % (i, "n" * 60),
                                    ("limit", "stopped")[i // 16],
                                    heard=800 * (1 + i // 4 % 4))
                            for i in range(32)])
        line = self.running.wait_line(r"Page 1: \d.*of 0\.5 s")
        for told in line, text.split("\n")[-1]:
            self.assertTrue(told.endswith("..."), told)

    def test_a_page_of_one_frame(self):
        text = self.heard(receipt(), frames=1)
        self.assertIn("(complete): 1 frame, 1 client", text)
        self.running.wait_line(r"1 frame \(0\.00 s\), 1 client")

    def test_lies_of_a_name(self):
        evil = "all%20of%20it%22;%20%1b%5b2J%e2%80%ae%ff%ef%bf%bf"
        text = self.heard(receipt(evil))
        self.assertIn("Page 1: \"all of it'; ?[2J???????\" (127.0.0.1) heard "
                      "all of it", text)


class Required(HeardCase):
    def test_all(self):
        self.heard(receipt("hall"), receipt("yard"), args=["--require-heard"])

    def test_hushed_ones_are_left_out(self):
        self.heard(receipt("hall"), receipt("lab", "hushed", 0),
                   receipt("group", "group", 0), args=["--require-heard"])

    def test_whoever_did_not_hear_it_is_named(self):
        for line, reason in (
                (receipt("gym", "unheard", 0, card="busy"),
                 "gym (127.0.0.1): the card is busy"),
                (receipt("gym", heard=HALF - 1, dropped=1),
                 "gym (127.0.0.1): all but 1 ms (sound came too late)"),
                (receipt("gym", heard=1000),
                 "gym (127.0.0.1): 0.1 of 0.5 s (the card did not play)"),
                (receipt("gym", "relayed"),
                 "gym (127.0.0.1): passes it on, and does not know who heard "
                 "it"),
                (silence, "127.0.0.1: gives no receipts"),
                (lambda arrived: b"GET / HTTP/1.1\r\n\r\n",
                 "127.0.0.1: its answer is no true receipt")):
            text = self.heard(receipt("hall"), line, status=5,
                              args=["--require-heard"])
            self.assertIn("Only 1 of 2 loudspeakers heard all of the page",
                          text)
            self.assertIn("intercomctl: " + reason, text)
            self.assertNotIn("intercomctl: hall", text)

    def test_a_part_of_them_may_be_enough(self):
        lines = [receipt("hall"), receipt("yard"), receipt("lab"),
                 receipt("gym", "unheard", 0)]
        self.heard(*lines, args=["--require-heard=75"])
        text = self.heard(*lines, args=["--require-heard=75.1"], status=5)
        self.assertIn("Only 3 of 4", text)
        self.heard(*lines, args=["--require-heard"], status=5)

    def test_nobody_is_a_failure(self):
        text = self.heard(args=["--require-heard=1"], status=5)
        self.assertIn("Nobody heard the page: no loudspeaker was on the air",
                      text)
        self.heard(receipt("lab", "hushed", 0), args=["--require-heard=1"],
                   status=5)

    def test_a_lost_one_did_not_hear_it(self):
        (lobby,) = self.listen("lobby")
        play = self.play_begin("--require-heard", frames=3 * RATE)
        receive(lobby, 44)
        lobby.close()
        self.assertEqual(play.wait(), 5)
        self.assertRegex(play.output(), r"127\.0\.0\.1: lost after \d\.\d s")

    def test_one_that_takes_no_more_is_lost_where_it_stopped(self):
        """And not ten seconds later, when the server gives it up."""
        (lobby,) = self.connect(self.ports["lobby"], rcvbuf=4096)
        talk = self.ctl_begin("talk", "-d", "0")
        receive(lobby, 44 + FRAME * 44100)
        self.running.wait_line("took nothing for 10 s", patience=60)
        talk.signal(signal.SIGINT)
        self.assertEqual(talk.wait(), 0)
        self.assertRegex(talk.output(), r"127\.0\.0\.1: lost after [1-4]\.\d s")

    def test_it_waits_for_an_answer_that_takes_its_time(self):
        (lobby,) = self.listen("lobby")
        play = self.play_begin("--require-heard")
        receive_all(lobby)
        play.wait_line("has ended")
        # Who does not insist has gone by then.
        (yard,) = self.listen("yard")
        hasty = self.play_begin("--zone", "yard")
        receive_all(yard)
        self.assertEqual(hasty.wait(), 0)
        self.assertIsNone(play.child.poll())
        lobby.sendall(receipt()(HALF))
        lobby.close()
        self.assertEqual(play.wait(), 0, play.output())

    def test_wrong_values(self):
        for value in ("0", "101", "-1", "", "x", "50%", "nan"):
            text = self.ctl("play", "--require-heard=" + value, "x.wav",
                            status=2)
            self.assertRegex(text, "--require-heard.*1.*100", value)
        for args in (("stop",), ("status",), ("monitor",)):
            self.ctl(*args, "--require-heard", status=2)

    def test_a_server_that_ends_has_no_answer(self):
        (lobby,) = self.listen("lobby")
        play = self.play_begin("--require-heard")
        receive_all(lobby)
        play.wait_line("has ended")
        self.running.signal(signal.SIGTERM)
        self.assertEqual(play.wait(), 5)
        self.assertIn("ended before all loudspeakers had answered",
                      play.output())


class Merged(HeardCase):
    def test_a_late_joiner(self):
        (lobby,) = self.listen("lobby")
        play = self.play_begin("--require-heard", frames=4 * RATE)
        page = receive(lobby, 44 + 2 * 2 * RATE)
        (late,) = self.listen("lobby")
        self.say(lobby, receipt("hall"), before=page)
        self.say(late, receipt("gym"))
        self.assertEqual(play.wait(), 5)
        self.assertRegex(play.output(), r"hall \(127.0.0.1\) heard all of it; "
                         r"gym \(127.0.0.1\): all from [2-4]\.\d s on")

    def test_who_was_cut_off_and_came_back_is_one(self):
        (lobby,) = self.listen("lobby")
        play = self.play_begin("--require-heard", frames=4 * RATE)
        receive(lobby, 44 + 2 * 2 * RATE)
        lobby.close()
        (again,) = self.listen("lobby")
        self.say(again, receipt("hall"))
        self.assertEqual(play.wait(), 5)
        self.assertRegex(play.output(), r"(?m)Page 1: hall \(127.0.0.1\): cut "
                         r"off, then all from [2-4]\.\d s on$")

    def test_a_loudspeaker_in_both_zones_is_one(self):
        text = self.heard(receipt("hall"),
                          receipt("hall", "taken-over", 0),
                          zones=("lobby", "yard"), args=["--require-heard"])
        self.assertRegex(text, r"(?m)Page 1: hall \(127.0.0.1\) heard all of "
                         r"it$")


class Bus(HeardCase):
    def test_the_signal_comes_after_the_end_and_has_all_of_it(self):
        (lobby, yard) = self.listen("lobby", "yard")
        listener = self.listener()
        page = listener.play(self.opened(self.bell()))
        self.say(lobby, receipt("hall"))
        self.assertEqual(listener.wait_signal("PageEnded")[:1], [page])
        receive_all(yard)
        (pending,) = self.client().call("Receipts", "u", (page,))
        self.assertEqual((pending["pending"], pending["heard_all"]), (1, 1))
        yard.sendall(receipt("gym", heard=2000, dropped=2000)(HALF))
        yard.close()
        body = listener.wait_signal("PageHeard")
        self.assertEqual(body[0], page)
        heard = body[1]
        self.assertEqual({key: heard[key] for key in (
            "total", "heard_all", "heard_partly", "unheard", "unreported",
            "pending", "excused")}, {
                "total": 2, "heard_all": 1, "heard_partly": 1, "unheard": 0,
                "unreported": 0, "pending": 0, "excused": 0})
        gym, hall = heard["loudspeakers"]
        self.assertEqual(gym, {
            "label": "gym (127.0.0.1)", "identity": "", "name": "gym",
            "address": "127.0.0.1", "heard": "partly",
            "reason": "0.2 of 0.5 s (sound came too late)",
            "joined_seconds": 0.0, "heard_seconds": 0.25,
            "starved_seconds": 0.0, "dropped_seconds": 0.25,
            "result": "complete", "card": "ready"})
        self.assertEqual((hall["label"], hall["heard"], hall["reason"]),
                         ("hall (127.0.0.1)", "all", ""))
        self.assertEqual(self.client().call("Receipts", "u", (page,)),
                         [heard])

    def test_more_than_64_loudspeakers(self):
        lines = [receipt("room-%02d" % i, "unheard", 0) for i in range(10)] + \
            [receipt("hall-%02d" % i) for i in range(54)] + [silence] * 20
        listener = self.listener()
        text = self.heard(*lines, zones=("lobby", "yard"))
        self.assertIn("54 loudspeakers heard all of it; room-00 (127.0.0.1), "
                      "room-01 (127.0.0.1), room-02 (127.0.0.1) and 7 more: "
                      "the card did not play; 20 players give no receipts",
                      text)
        page, heard = listener.wait_signal("PageHeard")
        self.assertEqual((heard["total"], len(heard["loudspeakers"])),
                         (84, 64))
        self.assertEqual([p["heard"] for p in heard["loudspeakers"]],
                         ["unheard"] * 10 + ["unreported"] * 20 +
                         ["all"] * 34)
        (everything,) = self.client().call("Receipts", "u", (page,))
        self.assertEqual(len(everything["loudspeakers"]), 84)
        self.assertEqual(everything["loudspeakers"][:64],
                         heard["loudspeakers"])

    def test_receipts_of_pages_that_are_not_kept(self):
        client = self.client()
        self.assert_error("NotFound", client.call, "Receipts", "u", (1,))
        pages = []
        for _ in range(18):
            listener = self.listener()
            pages.append(listener.play(self.opened(self.bell(100))))
            listener.wait_signal("PageHeard")
            listener.close()
        self.assert_error("NotFound", client.call, "Receipts", "u", (2,))
        self.assertEqual(client.call("Receipts", "u", (3,))[0]["total"], 0)

    def test_a_page_that_never_began_is_not_heard_of(self):
        listener = self.listener()
        self.assert_error("NotAudio", listener.play, self.opened("/dev/zero"))
        listener.wait_signal("PageEnded")
        listener.play(self.opened(self.bell(100)))
        self.assertEqual(listener.wait_signal("PageHeard")[0], 2)

    def test_the_last_receipt_of_each_client(self):
        self.heard(receipt("hall", heard=1000))
        self.listen("lobby")
        (client,) = self.client().call("Clients")[0]
        self.assertEqual(
            {key: client[key] for key in (
                "last_page", "name", "heard", "reason", "result",
                "heard_seconds")},
            {"last_page": 1, "name": "hall", "heard": "partly",
             "reason": "0.1 of 0.5 s (the card did not play)",
             "result": "complete", "heard_seconds": 0.125})
        self.assertRegex(self.ctl("clients"), r"(?m) waits, page 1: 0\.1 of "
                         r"0\.5 s \(the card did not play\)$")
        last = json.loads(self.ctl("status", "--json"))["last_heard"]
        self.assertEqual((last["id"], last["total"], last["heard_partly"]),
                         (1, 1, 1))
        self.assertNotIn("loudspeakers", last)
        self.assertIn("Page 1: 1 heard a part\n", self.ctl("status"))
        self.assertNotIn("sync_us", {**client, **last})

    def test_it_is_not_that_of_others_at_the_address(self):
        self.heard(receipt("hall"))
        self.listen("lobby", "lobby", "yard")
        for client in self.client().call("Clients")[0]:
            self.assertNotIn("last_page", client)
        self.assertNotIn("page 1", self.ctl("clients"))

    def test_nor_that_of_a_page_before(self):
        self.heard(receipt("hall"))
        self.heard(receipt("hall"), receipt("gym"))
        self.listen("lobby")
        (client,) = self.client().call("Clients")[0]
        self.assertNotIn("last_page", client)

    def test_how_well_in_step(self):
        """Of each loudspeaker, and the worst of the page: one of them does
        not say that it was in step."""
        monitor = self.ctl_begin("monitor", "--json")
        monitor.wait_line("zones")
        self.heard(receipt("hall", more=" sync_us=85"),
                   receipt("yard", more=" sync_us=230"), receipt("gym"))
        said = json.loads(monitor.wait_line("page_heard"))["heard"]
        self.assertEqual(said["sync_us"], 230)
        self.assertEqual({p["name"]: p.get("sync_us")
                          for p in said["loudspeakers"]},
                         {"hall": 85, "yard": 230, "gym": None})
        last = json.loads(self.ctl("status", "--json"))["last_heard"]
        self.assertEqual(last["sync_us"], 230)
        self.assertIn("Page 1: 3 heard all of it, those in step within 230 us\n",
                      self.ctl("status"))
        # Names at one address: the next connection must be the only one.
        self.heard(receipt("hall", more=" sync_us=85"))
        self.listen("lobby")
        (client,) = json.loads(self.ctl("clients", "--json"))
        self.assertEqual(client["sync_us"], 85)
        self.assertIn(" waits, page 2: heard all, in step within 85 us",
                      self.ctl("clients"))

    def test_monitor(self):
        plain = self.ctl_begin("monitor")
        as_json = self.ctl_begin("monitor", "--json")
        for monitor in plain, as_json:
            monitor.wait_line("clients|zones")
        self.heard(receipt("hall"))
        plain.wait_line(r"\d page 1: hall \(127\.0\.0\.1\) heard all of it$")
        event = json.loads(as_json.wait_line('"event":"page_heard"'))
        self.assertEqual((event["id"], event["heard"]["heard_all"],
                          event["heard"]["loudspeakers"][0]["name"]),
                         (1, 1, "hall"))


class RealClients(BusCase):
    """The client's own words, in TLS where they have keys."""

    def keys(self, *identities, args=()):
        subprocess.run([program("intercomctl"), "keygen", "--psk-file",
                        self.path("server.psk"), *identities], check=True,
                       capture_output=True)
        self.server("--psk-file", self.path("server.psk"), *args)

    def loudspeaker(self, name, *args, fault=None, key=True, zone="lobby"):
        """A client with a card of its own, when it is connected."""
        card = Card(self.folder, name)
        if fault:
            card.set(fault)
        if key:
            args += ("--psk-file", self.path(name + ".psk"))
        before = self.connected()
        client = self.start(
            [program("intercom-client"), "-D", "card",
             "127.0.0.1:%d" % self.ports[zone], *args], env=card.env())
        wait_until(lambda: self.connected() > before, name)
        return client, card

    def connected(self):
        return self.client().call("Status")[0]["clients"]

    def bell(self, seconds=0.5):
        return self.wav("bell.wav", int(seconds * RATE), RATE, 1)

    def test_cards_that_are_busy_stalled_or_missing(self):
        self.keys("hall", "yard", "gym", "lab", "attic")
        self.loudspeaker("hall")
        self.loudspeaker("yard", zone="yard")
        self.loudspeaker("gym", fault="busy")
        self.loudspeaker("lab", fault="stalled")
        self.loudspeaker("attic", fault="unplugged")
        text = self.ctl("play", "--require-heard", self.bell(), status=5)
        self.assertIn("Page 1: hall and yard heard all of it; gym: the card "
                      "is busy; attic and lab: the card is missing or broken",
                      text)
        self.assertIn("Only 2 of 5 loudspeakers heard all of the page", text)
        self.ctl("play", "--require-heard=40", self.bell())

    def test_names_without_keys_beside_a_plain_player(self):
        self.server()
        self.loudspeaker("hall", "--name", "hall", key=False)
        (player,) = self.listen("lobby")
        play = self.ctl_begin("play", self.bell())
        receive_all(player)
        player.close()
        self.assertEqual(play.wait(), 0)
        self.assertRegex(play.output(), r"(?m)Page 1: hall \(127\.0\.0\.1\) "
                         "heard all of it; 1 player gives no receipts$")

    def test_one_that_dies_before_it_answers(self):
        self.keys("hall")
        client, _ = self.loudspeaker("hall", "--latency", "5000")
        play = self.ctl_begin("play", "--require-heard", self.bell())
        play.wait_line("has ended")
        client.signal(signal.SIGKILL)
        self.assertEqual(play.wait(), 5)
        self.assertIn("Page 1: hall has not answered", play.output())

    def test_what_is_told_of_a_client_is_told_once(self):
        self.keys("hall")
        self.loudspeaker("hall")
        self.ctl("play", self.bell())
        wait_until(self.connected, "the next connection")
        keys = []
        json.loads(self.ctl("clients", "--json"), object_pairs_hook=lambda
                   pairs: keys.extend(key for key, _ in pairs))
        self.assertIn("last_page", keys)
        self.assertEqual(len(keys), len(set(keys)), keys)

    def test_two_cards_of_a_machine_are_two(self):
        self.server()
        self.loudspeaker("one", "--name", "pi", key=False)
        self.loudspeaker("two", "--name", "pi", key=False, fault="busy")
        text = self.ctl("play", "--require-heard", self.bell(), status=5)
        self.assertIn("Page 1: pi (127.0.0.1) heard all of it; "
                      "pi (127.0.0.1): the card is busy", text)

    def test_a_stored_page_is_waited_for_as_long_as_it_plays(self):
        self.keys("hall", args=("--mode", "store"))
        self.loudspeaker("hall")
        self.assertIn("Page 1: hall heard all of it",
                      self.ctl("play", self.bell(5)))

    def test_a_talk_that_is_ended_by_hand_was_heard(self):
        self.keys("hall")
        self.loudspeaker("hall")
        talk = self.ctl_begin("talk", "-d", "0", "--require-heard")
        talk.wait_line("speak now")
        talk.signal(signal.SIGINT)
        self.assertEqual(talk.wait(), 0, talk.output())
        self.assertIn("Page 1: hall heard all of it", talk.output())

    def test_one_that_joins_late(self):
        self.keys("hall", "gym")
        self.loudspeaker("hall")
        play = self.ctl_begin("play", "--require-heard", self.bell(6))
        wait_until(lambda: (p := self.pages()) and p[0].get("seconds", 0) > 2,
                   "2 s of the page")
        self.loudspeaker("gym")
        self.assertEqual(play.wait(), 5)
        self.assertRegex(play.output(), r"Page 1: hall heard all of it; gym: "
                         r"all from [2-5]\.\d s on")

    def test_one_that_was_cut_off_and_came_back(self):
        self.keys("hall")
        first, _ = self.loudspeaker("hall")
        play = self.ctl_begin("play", "--require-heard", self.bell(6))
        wait_until(lambda: (p := self.pages()) and p[0].get("seconds", 0) > 2,
                   "2 s of the page")
        first.signal(signal.SIGKILL)
        first.wait()
        wait_until(lambda: self.connected() == 0, "the loss")
        self.start([program("intercom-client"), "-D", "card", "--psk-file",
                    self.path("hall.psk"), "127.0.0.1:%d" %
                    self.ports["lobby"]], env=Card(self.folder, "new").env())
        self.assertEqual(play.wait(), 5)
        self.assertRegex(play.output(), r"(?m)Page 1: hall: cut off, then all "
                         r"from [2-5]\.\d s on$")


class Log(HeardCase):
    def test_the_server_logs_the_sentence(self):
        self.heard(receipt("hall"), silence)
        self.running.wait_line(r"Page 1: hall \(127\.0\.0\.1\) heard all of it; "
                               "1 player gives no receipts")


if __name__ == "__main__":
    main()
