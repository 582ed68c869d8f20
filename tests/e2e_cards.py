#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Sound cards as they are: with a delay behind the ring, a delay that is not
known at once or jumps, a position in steps, a clock that stands still."""
from e2e_client import ClientCase, Live, tone
from e2e_lib import (Card, FRAME, RATE, contents, in_time, main, noise,
                     page_size, program, wait_until, wav_bytes)
from e2e_server import ServerCase


class Awkward(ClientCase):
    def awkward(self, name, options, *args, **kwargs):
        """A card with a client and its server."""
        card = Card(self.folder, name, options=options,
                    **{"patient": kwargs.pop("patient", True)})
        return self.with_server(*args, card=card, **kwargs)

    def send(self, server, data, live):
        if live:
            Live(server.accept(), data)
        else:
            server.page(wav_bytes(data))

    def standing(self, name, options, live):
        """A page of 3 s on a card whose clock stands still from some time on:
        the line about its end, the exit status and the hook's words."""
        log = self.path(name + ".words")
        card, server, client = self.awkward(
            name, options, "--once", "--after",
            'echo "$INTERCOM_RESULT $INTERCOM_HEARD" >%s' % log)
        if not options:
            card.set("stalled")
        self.send(server, tone(3), live)
        line = client.wait_line("ended \\(")
        return line, client.wait(), contents(log).decode().split()


class Delay(Awkward):
    @in_time
    def test_what_is_behind_the_ring_is_not_its_fill(self):
        data = tone(3)
        pages = []
        for ms in (100, 150, 200, 250, 300, 400):
            for live in (False, True):
                card, server, client = self.awkward(
                    "%d%d" % (ms, live), "delay %d" % ms)
                self.send(server, data, live)
                pages.append((card, client, ms))
        for card, client, ms in pages:
            line = client.wait_line("ended")
            self.assert_clean(line)
            self.assertNotIn("s heard", line)
            self.assertTrue(card.sound().startswith(data), ms)
            self.assertEqual(len(card.events("start")), 1, ms)
            # How late the page is is told with all that is behind the ring.
            self.assertGreater(self.counters(line)["latency"], ms)

    @in_time
    def test_a_delay_that_jumps_costs_one_correction_at_most(self):
        card, server, client = self.awkward("jump", "delay 200 jump 150")
        live = Live(server.accept(), tone(6))
        wait_until(lambda: live.sent > 3 * RATE * FRAME, "a live page")
        card.set("jump")
        wait_until(lambda: card.events("jump"), "the jump")
        counters = self.counters(client.wait_line("ended"))
        self.assertEqual(counters["result"], "complete")
        for name in ("xruns", "starvations", "losses"):
            self.assertEqual(counters[name], 0, name)
        self.assertLessEqual(counters["dropped_ms"], 150)

    @in_time
    def test_a_delay_that_is_not_known_yet_is_no_loss(self):
        for seconds in (0.05, 0.5):
            card, server, client = self.awkward(
                "timing%g" % seconds, "timing 200 delay 50")
            for number in range(1, 6):
                data = tone(seconds)
                server.page(wav_bytes(data))
                line = client.wait_line("ended", number)
                self.assert_clean(line)
                self.assertNotIn("s heard", line)
            # Each between the silences that surround it.
            self.assertEqual(card.sound().count(data), 5)
            self.assertEqual(client.count("is lost"), 0)


class Heard(Awkward):
    @in_time
    def test_a_card_that_opens_and_stands_still_is_not_heard(self):
        for live in (False, True):
            line, status, words = self.standing("still%d" % live, "", live)
            self.assertIn("ended (unheard)", line)
            self.assertIn(", 0.00 s heard)", line)
            self.assertEqual((status, words), (1, ["unheard", "0.000"]))

    @in_time
    def test_a_card_that_stops_half_way_tells_how_much_was_heard(self):
        for delay in (0, 200):
            line, status, words = self.standing(
                "half%d" % delay, "stall_after 1500 delay %d" % delay, False)
            heard = 1.5 - delay / 1000
            self.assertIn(", %.2f s heard)" % heard, line)
            self.assertAlmostEqual(float(words[1]), heard, 2)
            self.assertGreaterEqual(self.counters(line)["losses"], 1)

    @in_time
    def test_null_and_file_play_at_once(self):
        card = Card(self.folder)
        with open(card.conf, "a") as f:
            f.write('pcm.disk { type file slave.pcm null file "%s" }\n'
                    % self.path("disk.raw"))
        data = noise(RATE * FRAME)
        for device in ("null", "disk"):
            for live in (False, True):
                server = self.server()
                client = self.client(card, "--once", server.name,
                                     device=device)
                self.send(server, data, live)
                line = client.wait_line("ended \\(complete")
                self.assertNotIn("s heard", line)
                self.assertEqual(client.wait(), 0, line)
                if device == "disk" and not live:
                    self.assertIn(data, contents(self.path("disk.raw")))


class Steps(Awkward):
    @in_time
    def test_a_position_in_steps_raises_the_target_once(self):
        card, server, client = self.awkward(
            "steps", "step -1 period_bytes_min 4096", "--latency", "5",
            patient=False)
        Live(server.accept(), tone(5))
        counters = self.counters(client.wait_line("ended"))
        self.assertEqual(counters["result"], "complete")
        self.assertEqual(client.count("in steps of up to 23.2 ms"), 1)
        # A busy machine can add some; without the step it was each period.
        self.assertLess(counters["xruns"] + counters["starvations"], 30)
        # The next page begins with it.
        server.page(wav_bytes(noise(RATE * FRAME)))
        client.wait_line("ended", 2)
        self.assertEqual(client.count("in steps of up to"), 1)

    @in_time
    def test_steps_that_are_shorter_than_the_latency_cost_nothing(self):
        data = tone(3)
        for step in (48, -1):
            for live in (False, True):
                card, server, client = self.awkward(
                    "short%d%d" % (step, live), "step %d" % step)
                self.send(server, data, live)
                self.assert_heard(client, card, data)
                self.assertEqual(client.count("in steps of"), 0)


class Capture(ServerCase):
    def test_a_page_is_whole_whatever_the_card(self):
        for number, options in enumerate((
                "step 48", "step -1 period_bytes_min 16384",
                "step -1 period_bytes_max 256", "start_delay 1000")):
            sound = noise(RATE * FRAME)
            server = self.server(
                "-d", "0.5", sound=sound, card=Card(
                    self.folder, "mic%d" % number, capture=sound,
                    options=options))
            data = self.hear(server)
            self.assertEqual(data[44:], sound[:page_size(0.5)], options)
            self.assertIn(" 0 overruns", server.wait_line("Page 1: .*reached"))
            server.stop()


class Test(ClientCase):
    def sound_test(self, card, *args):
        client = self.client(card, "--test", *args)
        return client, client.wait()

    def test_the_loudspeaker_is_tested_by_a_page(self):
        card = Card(self.folder, options="delay 200")
        client, status = self.sound_test(
            card, "--after", "echo it was $INTERCOM_RESULT", "--save",
            self.path("saved.wav"), "nowhere.invalid")
        self.assertEqual(status, 0, client.output())
        self.assert_clean(client.wait_line("Page from test ended"))
        client.wait_line("it was complete")
        self.assertTrue(
            card.sound().startswith(contents(self.path("saved.wav"))[44:]))
        self.assertEqual(client.count("nowhere|psk-file"), 0)

    def test_a_loudspeaker_that_is_not_heard_fails_the_test(self):
        for fault in ("stalled", "unplugged"):
            card = Card(self.folder, fault)
            card.set(fault)
            client, status = self.sound_test(card)
            self.assertEqual(status, 1)
            client.wait_line("ended \\(unheard\\)")

    def test_one_that_is_heard_only_at_first_fails_it_too(self):
        card = Card(self.folder)
        client = self.client(card, "--test")
        wait_until(card.sound, "the first note")
        card.set("unplugged")
        self.assertEqual(client.wait(), 1, client.output())
        client.wait_line(r"1\.40 s, \d\.\d+ s heard")

    def microphone_test(self, card, *args):
        server = self.start([program("intercom-server"), "-D", "card",
                             "--test", *args], env=card.env())
        return server, server.wait()

    def test_the_microphone_is_tested_without_a_page(self):
        card = Card(self.folder, capture="tone 440")
        server, status = self.microphone_test(card, "2")
        self.assertEqual(status, 0, server.output())
        self.assertEqual(server.count(r"\d s \[#+-*\]  -6 dB$"), 2)
        server.wait_line("'card': 2.0 s, peak -6.0 dBFS, mean -9.0 dBFS")

    def test_a_microphone_that_gives_nothing_fails_the_test(self):
        silent = Card(self.folder, "silent", capture=b"\0" * 40000)
        server, status = self.microphone_test(silent, "0.5")
        self.assertEqual(status, 1)
        server.wait_line("nothing but digital silence")
        for fault, words in (("stalled", "gives no samples"),
                             ("busy", "Device or resource busy"),
                             ("unplugged", "No such device")):
            card = Card(self.folder, fault, capture="tone 440")
            card.set(fault)
            server, status = self.microphone_test(card)
            self.assertEqual(status, 1)
            server.wait_line(words)

    def test_how_long_to_test_must_be_a_time(self):
        server = self.start([program("intercom-server"), "--test", "soon"])
        self.assertEqual(server.wait(), 2)
        server.wait_line("--test 'soon'")


if __name__ == "__main__":
    main()
