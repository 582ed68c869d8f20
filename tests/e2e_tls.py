# SPDX-License-Identifier: MIT
"""Keys end to end: which peers may hear or speak, and that others do no harm."""
import os
import re
import signal
import socket
import stat
import subprocess
import threading
import time
import wave

from e2e_bus import BusCase
from e2e_lib import (Card, Notify, PATIENCE, contents, free_port, in_time,
                     main, noise, page_size, program, receive_all, wait_until,
                     without_page_chunk, write_file)
from e2e_server import ServerCase

# "Unexpected message": of TLS to who has said nothing.
ALERT = b"\x15\x03\x03\x00\x02\x02\x0a"
GNUTLS = "NORMAL:-VERS-ALL:+VERS-TLS1.3:-KX-ALL:+ECDHE-PSK"


def run(*argv, **kwargs):
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=PATIENCE, **kwargs)


def receive_rest(sock):
    """Receives everything, whether the server closes or resets."""
    try:
        return receive_all(sock)
    except ConnectionResetError:
        return b""


class TlsCase(ServerCase):
    def keygen(self, *identities, file="server.psk"):
        result = run(program("intercomctl"), "keygen", "--psk-file",
                     self.path(file), *identities)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result

    def key(self, identity):
        """The key in a loudspeaker's key file, as hexadecimal digits."""
        return re.search(r"^client %s ([0-9a-f]{64})$" % identity,
                         self.text(identity + ".psk"), re.M).group(1)

    def text(self, name):
        return contents(self.path(name)).decode()

    def write_keys(self, file, text):
        """Replaces a key file atomically, as an editor does."""
        path = self.path(file + ".new")
        with open(path, "w", opener=lambda p, f: os.open(p, f, 0o600)) as f:
            f.write(text)
        os.rename(path, self.path(file))

    def tls_server(self, *args, **kwargs):
        """Starts a server with keys: by default those of yard and lobby."""
        if not os.path.exists(self.path("server.psk")):
            self.keygen("yard", "lobby")
        return self.server("--psk-file", self.path("server.psk"), *args,
                           **kwargs)

    def client(self, identity, *args, port=None, card=None):
        """Starts a client that plays on a card of its own, or to a file."""
        argv = [program("intercom-client"), "-D", "card" if card else "null",
                "127.0.0.1:%d" % (port or self.port)]
        if identity:
            argv += ["--psk-file", self.path(identity + ".psk")]
        return self.start(argv + list(args),
                          env=card.env() if card else None)

    def saving(self, identity, *args):
        """Starts a client that saves one page and exits."""
        path = self.path("page-%d.wav" % len(self.processes))
        return self.client(identity, "--once", "--save", path, *args), path

    def frames_of(self, path):
        with wave.open(path) as w:
            return w.readframes(w.getnframes())

    def page_file(self, size=400000, **kwargs):
        frames = noise(size, seed=7)
        return frames, contents(self.wav_file("page.wav", frames, **kwargs))

    def heard(self, server, identity, count=1):
        """All that a loudspeaker receives of a page."""
        client, path = self.saving(identity)
        self.press_enter(server, count)
        self.assertEqual(client.wait(), 0, client.output())
        return self.frames_of(path)

    def play(self, server):
        server.write("play %s\n" % self.path("page.wav"))


class Keygen(TlsCase):
    def mode(self, name):
        return stat.S_IMODE(os.stat(self.path(name)).st_mode)

    def lines(self, name):
        return [l for l in self.text(name).splitlines()
                if l and not l.startswith("#")]

    def test_files_are_for_their_owner_alone(self):
        old = os.umask(0)
        try:
            result = self.keygen("yard", "lobby")
        finally:
            os.umask(old)
        for name in ("server.psk", "yard.psk", "lobby.psk"):
            self.assertEqual(self.mode(name), 0o600)
            self.assertIn(name, result.stdout)
        self.assertEqual(self.lines("server.psk"),
                         ["server yard " + self.key("yard"),
                          "server lobby " + self.key("lobby")])
        self.assertNotEqual(self.key("yard"), self.key("lobby"))
        self.assertNotIn(self.key("yard"), result.stdout + result.stderr)

    def test_more_keys_are_added(self):
        self.keygen("yard")
        with open(self.path("server.psk"), "a") as f:
            f.write("# the last line has no end")
        self.keygen("lobby", "hall")
        self.assertEqual(self.lines("server.psk"),
                         ["server %s %s" % (i, self.key(i))
                          for i in ("yard", "lobby", "hall")])
        self.assertEqual(self.mode("server.psk"), 0o600)

    def files(self):
        return {name: self.text(name) for name in os.listdir(self.folder)}

    def refused(self, status, words, *args):
        before = self.files()
        result = run(program("intercomctl"), "keygen", *args,
                     cwd=self.folder)
        self.assertEqual(result.returncode, status, result.stderr)
        self.assertRegex(result.stderr, words)
        self.assertEqual(result.stderr.count("\n"), 1)
        self.assertEqual(before, self.files())

    def test_nothing_is_overwritten_and_a_failure_leaves_nothing(self):
        self.keygen("yard")
        self.refused(1, "has a key for 'yard' already", "hall", "yard")
        open(self.path("lobby.psk"), "w").close()
        self.refused(1, "lobby.psk'.*not overwritten", "hall", "lobby")
        self.refused(1, "lobby.psk'.*not overwritten",
                     "--psk-file=lobby.psk.2", "lobby")
        # A name whose own file would be the server's.
        self.refused(1, "server.psk'.*not overwritten", "server")
        self.refused(1, "other.psk'.*not overwritten",
                     "--psk-file=other.psk", "other")
        self.refused(1, "No such file", "--psk-file=none/x.psk", "hall")
        os.chmod(self.path("server.psk"), 0o640)
        self.refused(1, "chmod 600 server.psk", "hall")

    def test_names_are_checked(self):
        self.refused(2, "'a/b'", "a/b")
        self.refused(2, "''", "")
        self.refused(2, "'%s'" % ("x" * 64), "x" * 64)
        self.refused(2, "'a' is named twice", "a", "b", "a")

    def test_without_a_name_there_is_one_loudspeaker(self):
        result = run(program("intercomctl"), "keygen", cwd=self.folder)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(self.lines("server.psk"),
                         ["server loudspeaker " + self.key("loudspeaker")])


class Start(TlsCase):
    def test_without_a_key_the_log_says_so_once(self):
        server = self.server()
        (s,) = self.on_air(server)
        receive_all(s)
        server.stop()
        self.assertEqual(server.count("neither secret nor authentic"), 1)

    def test_with_a_key_it_says_nothing(self):
        server = self.tls_server()
        server.stop()
        self.assertEqual(server.count("psk|secret"), 0)

    def refused(self, argv, words):
        name = "card%d" % len(os.listdir(self.folder))
        result = run(*argv, env=Card(self.folder, name).env())
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertRegex(result.stderr, words)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)

    def both_refuse(self, name, words):
        self.refused([program("intercom-server"), "-D", "card", "-l",
                      "127.0.0.1:%d" % free_port(), "--psk-file",
                      self.path(name)], words)
        self.refused([program("intercom-client"), "-D", "card",
                      "127.0.0.1:1", "--psk-file", self.path(name)], words)

    def test_a_file_that_others_can_read_is_refused_with_the_remedy(self):
        self.keygen("yard")
        for name in ("server.psk", "yard.psk"):
            os.chmod(self.path(name), 0o644)
        self.refused([program("intercom-server"), "-D", "card", "--psk-file",
                      self.path("server.psk")],
                     "chmod 600 " + self.path("server.psk"))
        self.refused([program("intercom-client"), "-D", "card", "127.0.0.1:1",
                      "--psk-file", self.path("yard.psk")],
                     "chmod 600 " + self.path("yard.psk"))

    def test_a_file_that_is_wrong_is_refused(self):
        self.write_keys("bad.psk", "server yard 0123\n")
        self.both_refuse("bad.psk", r"bad.psk': line 1: .*64 hexadecimal")
        self.both_refuse("missing.psk", "No such file")

    def test_a_loudspeakers_file_makes_no_server_and_vice_versa(self):
        self.keygen("yard")
        self.refused([program("intercom-server"), "-D", "card", "--psk-file",
                      self.path("yard.psk")], "no line begins with 'server'")
        self.refused([program("intercom-client"), "-D", "card", "--psk-file",
                      self.path("server.psk")], "no line begins with 'client'")

    def test_a_credential_of_systemd_is_accepted(self):
        """A file of root's, with the group bits that an ACL's mask sets."""
        self.keygen("yard")
        os.chmod(self.path("server.psk"), 0o440)
        os.environ["CREDENTIALS_DIRECTORY"] = self.folder
        try:
            server = self.tls_server()
        finally:
            del os.environ["CREDENTIALS_DIRECTORY"]
        self.heard(server, "yard")

    def test_the_credential_is_found_by_the_name_of_what_cannot_be_read(self):
        """As of "--psk-file /etc/credstore/server.psk" in the unit."""
        self.keygen("yard")
        os.environ["CREDENTIALS_DIRECTORY"] = self.folder
        try:
            server = self.server("--psk-file", "/nonexistent/server.psk")
            self.refused([program("intercom-server"), "--psk-file",
                          "/nonexistent/other.psk"],
                         "--psk-file '/nonexistent/other.psk': No such file or "
                         "directory; '%s': No such file" % self.path("other.psk"))
        finally:
            del os.environ["CREDENTIALS_DIRECTORY"]
        self.heard(server, "yard")


class Pages(TlsCase):
    def test_a_page_arrives_exactly(self):
        server = self.tls_server("-d", "1")
        clients = [self.saving(i) for i in ("yard", "lobby")]
        self.press_enter(server, 2)
        for client, path in clients:
            self.assertEqual(client.wait(), 0, client.output())
            self.assertEqual(self.frames_of(path),
                             self.sound[:page_size(1)])
        server.wait_line("Page 1: .* 2 clients reached, 0 lost, 0 skips")

    @in_time
    def test_a_loudspeaker_plays_every_frame(self):
        server = self.tls_server("-d", "1")
        card = Card(self.folder, "speaker")
        client = self.client("yard", card=card)
        for page in (1, 2):
            client.wait_line("connected, waiting for a page")
            self.press_enter(server)
            server.wait_line("Page %d: .*1 client reached" % page)
            wait_until(lambda: len(card.events("close")) == page,
                       "the card to be closed")
        self.assertEqual(card.sound().count(
            self.sound[:page_size(1)]), 2)

    def test_a_page_that_is_cut_off_is_not_complete(self):
        """A cut connection must not pass for the end of an endless page."""
        server = self.tls_server("-d", "0")
        client, path = self.saving("yard")
        self.press_enter(server)
        server.wait_line("on the air")
        client.wait_line("age")
        server.child.kill()
        self.assertEqual(client.wait(), 1, client.output())

    def test_a_large_file_arrives_exactly(self):
        server = self.tls_server("--mode", "store")
        frames, _ = self.page_file(8000000, rate=384000)
        client, path = self.saving("yard")
        self.wait_clients(server, 1)
        self.play(server)
        self.assertEqual(client.wait(), 0, client.output())
        self.assertEqual(self.frames_of(path), frames)

    def strangers(self, count):
        """Other programs, each with the place its bytes go to."""
        for _ in range(count):
            yield ["openssl", "s_client", "-quiet", "-tls1_3", "-connect",
                   "127.0.0.1:%d" % self.port, "-psk_identity", "yard",
                   "-psk", self.key("yard")]
            yield ["gnutls-cli", "--logfile", self.path("gnutls.log"),
                   "--priority", GNUTLS, "--pskusername", "yard", "--pskkey",
                   self.key("yard"), "-p", str(self.port), "127.0.0.1"]

    def test_openssl_and_gnutls_cli_receive_a_page(self):
        server = self.tls_server()
        _, expected = self.page_file()
        children, threads, results = [], [], {}
        for argv in self.strangers(2):
            child = subprocess.Popen(argv, stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE,
                                     stderr=subprocess.DEVNULL)
            children.append(child)
            threads.append(threading.Thread(
                target=lambda c=child: results.update(
                    {c.pid: c.stdout.read()})))
            threads[-1].start()
        try:
            self.wait_clients(server, len(children))
            self.play(server)
            for thread in threads:
                thread.join(PATIENCE)
        finally:
            for child in children:
                child.kill()
                child.communicate()
        self.assertEqual(len(results), 4)
        for child in children:
            self.assertEqual(without_page_chunk(results[child.pid]), expected,
                             child.args[0])


class Strangers(TlsCase):
    def test_without_a_key_one_hears_nothing(self):
        server = self.tls_server("-d", "1")
        honest, path = self.saving("yard")
        (plain,) = self.on_air(server)
        self.assertEqual(honest.wait(), 0)
        server.wait_line("Page 1: .* 1 client reached, 0 lost")
        # An alert: the client has not proven itself in time.
        self.assertEqual(receive_all(plain), ALERT)
        server.wait_line("127.0.0.1:%d was not let in: no handshake in time"
                         % plain.getsockname()[1])

    def test_a_plain_client_hears_nothing(self):
        server = self.tls_server("-d", "1")
        card = Card(self.folder, "speaker")
        plain = self.client(None, card=card)
        honest, path = self.saving("yard")
        self.press_enter(server)
        self.assertEqual(honest.wait(), 0)
        plain.wait_line("lets in only who has a key")
        self.assertEqual(card.events("open"), [])

    def test_a_client_without_a_key_is_told_once(self):
        """And its pauses grow, until the server wants no key."""
        notify = Notify(self.path("notify-client"))
        self.addCleanup(notify.close)
        server = self.tls_server()
        plain = self.start([program("intercom-client"), "-D", "null",
                            "127.0.0.1:%d" % self.port],
                           env={**os.environ, "NOTIFY_SOCKET": notify.path})
        server.wait_line("no handshake in time", 2)
        self.assertEqual(plain.count("lets in only who has a key"), 1)
        self.assertEqual(plain.count("connected, waiting for a page"), 1)
        notify.wait(b"STATUS=Connected to 0 of 1 servers; 127.0.0.1:%d: It "
                    b"lets in only who has a key" % self.port)
        server.stop()
        plain.wait_line("Connection refused")
        with socket.create_server(("127.0.0.1", self.port)):
            plain.wait_line("connected, waiting for a page", 2, 2 * PATIENCE)

    def test_wrong_and_unknown_keys_look_the_same_to_the_peer(self):
        server = self.tls_server()
        self.write_keys("wrong.psk", "client yard %s\n" % self.key("lobby"))
        self.write_keys("unknown.psk", "client hall %s\n" % self.key("lobby"))
        lines = []
        for name, told in (("wrong", "the key is not that of 'yard'"),
                           ("unknown", "there is no key for 'hall'")):
            client = self.client(name)
            lines.append(client.wait_line("No handshake: .*does not accept"))
            client.stop()
        server.wait_line("was not let in: the key is not that of 'yard'")
        self.assertEqual(lines[0].replace("yard", "hall"), lines[1])

    def test_a_server_without_the_key_cannot_make_a_client_play(self):
        self.keygen("yard", "lobby")
        card = Card(self.folder, "speaker")
        page = self.page_file()[1]
        with socket.create_server(("127.0.0.1", 0)) as fake:
            fake.settimeout(PATIENCE)
            client = self.client("yard", card=card,
                                 port=fake.getsockname()[1])
            for _ in range(2):
                connection, _ = fake.accept()
                connection.sendall(page)
                connection.close()
            client.wait_line("No handshake: ")
        self.assertEqual(card.events("open"), [])
        client.stop()

    def fake_tls(self, *options):
        """Runs an openssl s_server that would send a page, until it refuses a
        client or a client refuses it."""
        port = free_port()
        card = Card(self.folder, "speaker%d" % port)
        fake = self.start(["openssl", "s_server", "-accept",
                           "127.0.0.1:%d" % port, "-tls1_3", "-quiet",
                           *options], stdin=subprocess.PIPE)
        client = self.client("yard", card=card, port=port)
        client.wait_line("No handshake: (?!.*Connection refused)")
        client.stop()
        fake.child.kill()
        self.assertEqual(client.count("connected"), 0)
        self.assertEqual(card.events("open"), [])

    def test_a_tls_server_without_the_key_cannot_either(self):
        self.keygen("yard", "lobby")
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes",
            "-keyout", self.path("tls.key"), "-out", self.path("tls.crt"),
            "-subj", "/CN=127.0.0.1", check=True)
        self.fake_tls("-nocert", "-psk", self.key("lobby"), "-psk_identity",
                      "yard")
        self.fake_tls("-cert", self.path("tls.crt"), "-key",
                      self.path("tls.key"))

    def test_a_loudspeakers_key_does_not_reach_the_others(self):
        """The owner of lobby's key runs a server with it."""
        self.keygen("yard", "lobby")
        self.write_keys("stolen.psk", "server yard %s\nserver x %s\n"
                        % (self.key("lobby"), "0" * 64))
        self.server("--psk-file", self.path("stolen.psk"))
        client = self.client("yard")
        client.wait_line("No handshake: ")
        self.assertEqual(client.count("connected"), 0)


class Abuse(TlsCase):
    def test_handshakes_that_never_end_disturb_no_page(self):
        server = self.tls_server("-d", "2")
        client, path = self.saving("yard")
        self.wait_clients(server, 1)
        silent = self.clients(100)
        garbage = self.clients(20)
        for s in garbage:
            s.sendall(noise(500))
        partial = self.clients(5)
        for s in partial:
            s.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        server.write("\n")
        self.assertEqual(client.wait(), 0, client.output())
        self.assertEqual(self.frames_of(path), self.sound[:page_size(2)])
        server.wait_line("Page 1: .* 1 client reached, 0 lost, 0 skips, "
                         "0 overruns")
        for s in garbage + silent + partial:
            self.assertNotIn(b"RIFF", receive_rest(s))
        wait_until(lambda: server.fd_count() < 40, "descriptors to be closed")
        # The log must not have a line for each of them.
        self.assertLess(server.count("was not let in"), 10)

    def test_the_oldest_handshake_makes_room(self):
        server = self.tls_server("-d", "0.5")
        before = server.fd_count()
        silent = self.clients(400)
        # The server closes them one after the other, oldest first.
        self.assertEqual(receive_rest(silent[0]), ALERT)
        client, path = self.saving("yard")
        self.wait_clients(server, 1)
        self.assertLess(server.fd_count(), before + 140)
        server.write("\n")
        self.assertEqual(client.wait(), 0, client.output())

    def test_a_client_that_takes_nothing_does_not_stop_the_others(self):
        server = self.tls_server("--mode", "store")
        stuck, late = self.saving("lobby")
        client, path = self.saving("yard")
        self.wait_clients(server, 2)
        stuck.signal(signal.SIGSTOP)
        frames, _ = self.page_file(8000000, rate=384000)
        self.play(server)
        self.assertEqual(client.wait(), 0, client.output())
        self.assertEqual(self.frames_of(path), frames)
        # The server had to wait within a record, and goes on there.
        stuck.signal(signal.SIGCONT)
        self.assertEqual(stuck.wait(), 0, stuck.output())
        self.assertEqual(self.frames_of(late), frames)


class Names(BusCase):
    def test_the_status_names_each_client(self):
        keys = self.path("server.psk")
        self.ctl("keygen", "--psk-file", keys, "yard-1", "hall")
        self.server("--psk-file", keys)
        for name in ("yard-1", "hall"):
            client = self.start(
                [program("intercom-client"), "-D", "null", "--psk-file",
                 self.path(name + ".psk"),
                 "127.0.0.1:%d" % self.ports["yard"]])
            client.wait_line("waiting for a page")
        with socket.create_connection(("127.0.0.1",
                                       self.ports["yard"])) as stranger:
            stranger.sendall(b"What is this?\r\n")
            receive_rest(stranger)
        asker = self.client()
        wait_until(lambda: asker.call("Status")[0]["unproven"] == 1,
                   "the stranger to be counted")
        status = asker.call("Status")[0]
        self.assertEqual({c["identity"] for c in asker.call("Clients")[0]},
                         {"yard-1", "hall"})
        self.assertEqual(status["accepted"], 2)
        self.assertRegex(self.ctl("clients"),
                         r"(?m)^127.0.0.1:\d+ +yard-1 +yard ")
        self.assertIn("\n1 turned away: without a key\n",
                      self.ctl("status"))

    def test_without_keys_there_are_no_names(self):
        self.server()
        self.listen("yard")
        self.assertRegex(self.ctl("clients"),
                         r"\ACLIENT +ZONE +CONNECTED +STATE\n"
                         r"127.0.0.1:\d+ +yard [^\n]*\Z")


class LockingOut(TlsCase):
    def lock_out(self, identity):
        lines = self.text("server.psk").splitlines(True)
        self.write_keys("server.psk", "".join(
            l for l in lines if not l.startswith("server %s " % identity)))

    def test_a_loudspeaker_that_waits_hears_no_more(self):
        server = self.tls_server("-d", "0.5")
        card = Card(self.folder, "speaker")
        out = self.client("lobby", card=card)
        client, path = self.saving("yard")
        self.wait_clients(server, 2)
        self.lock_out("lobby")
        server.write("\n")
        self.assertEqual(client.wait(), 0, client.output())
        server.wait_line(r"127.0.0.1:\d+ \('lobby'\) was locked out")
        server.wait_line("Page 1: .* 1 client reached, 0 lost")
        out.wait_line("does not accept the key of 'lobby'")
        self.assertEqual(card.events("open"), [])

    def test_during_a_page_it_is_cut_off(self):
        server = self.tls_server("-d", "0")
        out, _ = self.saving("lobby")
        client, path = self.saving("yard")
        self.press_enter(server, 2)
        server.wait_line("on the air")
        self.lock_out("lobby")
        self.assertEqual(out.wait(), 1)
        server.wait_line("'lobby'.* was locked out")
        server.write("\n")
        self.assertEqual(client.wait(), 0, client.output())

    def test_new_keys_are_used_without_a_restart(self):
        self.keygen("yard", "lobby")
        self.write_keys("late.psk", "client hall %s\n" % ("1" * 64))
        server = self.tls_server("-d", "0.5")
        client, path = self.saving("late")
        client.wait_line("does not accept the key of 'hall'")
        self.keygen("hall")
        self.write_keys("late.psk", "client hall %s\n" % self.key("hall"))
        self.wait_clients(server, 1)
        server.wait_line("keys in .* have changed: 3 now")
        server.write("\n")
        self.assertEqual(client.wait(), 0, client.output())

    def test_a_file_that_became_wrong_changes_nothing(self):
        server = self.tls_server("-d", "0.5")
        self.write_keys("server.psk", "server\n")
        client, path = self.saving("yard")
        self.wait_clients(server, 1)
        server.wait_line("cannot be read again, the previous ones remain "
                         "valid: "
                         "line 1")
        server.write("\n")
        self.assertEqual(client.wait(), 0, client.output())
        self.assertEqual(server.count("cannot be read again"), 1)

    def test_no_wrong_edit_takes_the_keys_away(self):
        server = self.tls_server("-d", "0.2")
        path = self.path("server.psk")
        good = contents(path)

        def written(data, mode=0o600):
            write_file(path, data)
            os.chmod(path, mode)

        wrong = (lambda: written(good[:len(good) // 2 - 7]),
                 lambda: written(b""),
                 lambda: written(good, 0o644),
                 lambda: written(os.urandom(5000)),
                 lambda: None,  # it is removed
                 lambda: os.mkdir(path),
                 lambda: os.mkfifo(path, 0o600),
                 lambda: os.symlink(path, path))
        for count, make in enumerate(wrong, 1):
            if os.path.isdir(path):
                os.rmdir(path)
            elif os.path.lexists(path):
                os.unlink(path)
            make()
            client, saved = self.saving("yard")
            server.wait_line("cannot be read again", count)
            self.wait_clients(server, 1)
            server.write("\n")
            self.assertEqual(client.wait(), 0, client.output())
            os.unlink(saved)
        os.unlink(path)
        written(good)
        client, _ = self.saving("yard")
        server.wait_line("have changed")
        self.wait_clients(server, 1)
        server.write("\n")
        self.assertEqual(client.wait(), 0, client.output())
        self.assertEqual(server.count("cannot be read again"), len(wrong))


class Crawl(TlsCase):
    def test_a_byte_a_second_is_no_handshake(self):
        """Neither to the server nor to a client."""
        server = self.tls_server("-d", "0.2")
        crawler, = self.clients(1)
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        self.write_keys("crawl.psk", "client yard %s\n" % ("1" * 64))
        client = self.start([
            program("intercom-client"), "-D", "card", "--psk-file",
            self.path("crawl.psk"),
            "127.0.0.1:%d" % listener.getsockname()[1]], env=self.card.env())
        other, _ = listener.accept()
        hello = b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03" + bytes(99)
        with other:
            try:
                for byte in hello:
                    other.send(bytes([byte]))
                    crawler.send(bytes([byte]))
                    time.sleep(1)
                self.fail("both still listen")
            except (BrokenPipeError, ConnectionResetError):
                pass
        client.wait_line("No handshake")
        self.assertNotIn(b"RIFF", receive_rest(crawler))
        honest, _ = self.saving("yard")
        self.wait_clients(server, 1)
        server.write("\n")
        self.assertEqual(honest.wait(), 0, honest.output())


if __name__ == "__main__":
    main()
