# SPDX-License-Identifier: MIT
"""The manual pages, --help, the completions and the D-Bus interface say the
same, and what the source does: every option, command, member and word."""
import os
import re
import subprocess
import xml.etree.ElementTree as ET

from e2e_lib import Case, SRCDIR, completed, contents, main, program

PAGES = {"intercom-server": "intercom-server.8",
         "intercom-client": "intercom-client.1",
         "intercomctl": "intercomctl.1"}
# libsystemd reads these by itself.
OF_LIBRARIES = {"LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_USEC",
                "DBUS_SYSTEM_BUS_ADDRESS", "DBUS_SESSION_BUS_ADDRESS"}


def text_of(*path):
    return contents(os.path.join(SRCDIR, *path)).decode()


def section(page, name):
    """What is under a heading of a manual page, up to the next."""
    return re.split(r"^\.S[hs] ", text_of("man", page).split(
        " %s\n" % name, 1)[1], 1, re.M)[0]


def words(pattern, text):
    """All that the pattern finds; they are never none."""
    found = re.findall(pattern, text, re.M)
    assert found, pattern
    return found


def helped(name):
    """--help's lines of options: letter, name, "", "=" or "[=", the text."""
    run = subprocess.run([program(name), "--help"], check=True,
                         capture_output=True, text=True)
    parts = re.split(r"^ {2,6}(?:-(\w), )?--([\w-]+)(\[=|=)?", run.stdout,
                     flags=re.M)
    return [(letter or "", option, kind or "", re.sub(r"\s+", " ", text))
            for letter, option, kind, text in
            zip(parts[1::4], parts[2::4], parts[3::4], parts[4::4])]


def described(name):
    """The same of its manual page."""
    text = re.split(r"^\.(?:El\n\.Pp|Sh)", text_of("man", PAGES[name]).split(
        "\n.It Fl ", 1)[1], 1, re.M)[0]
    parts = re.split(r"^\.It Fl (?:(\w) , Fl )?-([\w-]+)( Ns Op =| Ns =)?",
                     "\n.It Fl " + text, flags=re.M)
    kinds = {None: "", " Ns =": "=", " Ns Op =": "[="}
    return [(letter or "", option, kinds[kind], text)
            for letter, option, kind, text in
            zip(parts[1::4], parts[2::4], parts[3::4], parts[4::4])]


def users(text):
    """The commands of intercomctl that a line of --help is about."""
    found = re.match(r"\S* ((?:[a-z]+, )*[a-z]+):", text)
    return found[1].split(", ") if found else []


def verbs():
    run = subprocess.run([program("intercomctl"), "--help"], check=True,
                         capture_output=True, text=True)
    return words(r"^ {2}([a-z]+)\b", run.stdout)


class Options(Case):
    def test_the_commands(self):
        self.assertEqual(words(r"^\.It Cm ([a-z]+)",
                               text_of("man/intercomctl.1")), verbs())

    def test_what_cannot_be_printed_is_a_failure(self):
        for name in PAGES:
            for option in ("--help", "--version", "-L"):
                if (name, option) == ("intercomctl", "-L"):
                    continue
                with open("/dev/full", "w") as full:
                    run = subprocess.run([program(name), option], stdout=full,
                                         stderr=subprocess.PIPE, text=True)
                self.assertEqual(run.returncode, 1, (name, option))
                self.assertIn("Cannot write to standard output", run.stderr)

    def test_the_manual_has_them_as_help_has_them(self):
        for name in PAGES:
            with self.subTest(name):
                self.assertEqual([row[:3] for row in described(name)],
                                 [row[:3] for row in helped(name)])

    def test_the_synopsis_has_every_letter(self):
        for name, page in PAGES.items():
            synopsis = section(page, "SYNOPSIS")
            letters = set("".join(words(r"(?:Fl|\|) (\w+)(?= |$)", synopsis)))
            if name == "intercomctl":
                letters -= set("statusclientszonesmonitor") - {"d", "h"}
            self.assertEqual(letters, {row[0] for row in helped(name)} - {""},
                             name)

    def test_the_defaults_are_in_the_manual(self):
        for name in PAGES:
            manual = {row[1]: row[3] for row in described(name)}
            for _, option, _, text in helped(name):
                for value in re.findall(r"\(default: ([\w.=]+)\)", text):
                    self.assertRegex(manual[option],
                                     r"(?<![\w.])%s\b" % re.escape(value),
                                     (name, option))

    def test_each_command_has_its_options_in_help_synopsis_and_manual(self):
        rows = helped("intercomctl")
        taken = {verb: [option for _, option, _, text in rows
                        if verb in users(text)] for verb in verbs()}
        long_names = {row[0]: row[1] for row in rows}
        synopsis = {}
        for usage in section("intercomctl.1", "SYNOPSIS").split(".Nm\n"):
            options = [long_names.get(found, found) for found in
                       re.findall(r"\.Op Fl -?([\w-]+)", usage)]
            for verb in " ".join(re.findall(
                    r"^\.Cm (.*)$", usage, re.M)).split(" | "):
                if verb:
                    synopsis[verb] = [o for o in options if o != "user"]
                    self.assertEqual("user" in options, verb != "keygen")
        self.assertEqual(synopsis, taken)
        manual = {row[1]: row[3] for row in described("intercomctl")}
        for _, option, _, text in rows:
            item = manual[option].split("\n", 1)[1]
            about = item.split(" :\n")[0] if item.startswith("For\n") else ""
            self.assertEqual(re.findall(r"[a-z]+", re.sub(
                r"^For$|^\.Cm|\band\b", "", about, flags=re.M)), users(text),
                option)


class Completion(Case):
    def offered(self, *line):
        return set(completed(line, cwd=self.folder, env={
            **os.environ, "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/none"}))

    def test_each_command_of_intercomctl_has_its_options(self):
        taken = {verb: {"--user"} for verb in verbs()}
        taken["keygen"] = set()  # keygen needs no bus
        for _, option, _, text in helped("intercomctl"):
            for verb in users(text):
                taken[verb].add("--" + option)
        self.assertEqual(self.offered("intercomctl", ""), set(taken))
        self.assertEqual(self.offered("intercomctl", "s"),
                         {"save", "status", "stop"})
        for verb, options in taken.items():
            self.assertEqual(self.offered("intercomctl", verb, "--"), options)

    def test_a_value_is_expected_where_the_program_expects_one(self):
        for name in PAGES:
            command = ["talk"] if name == "intercomctl" else []
            for letter, option, kind, _ in helped(name):
                for word in ["-" + letter] * bool(letter) + ["--" + option]:
                    offered = self.offered(name, *command, word, "--")
                    self.assertEqual(offered == set(), kind == "=",
                                     (name, word, offered))

    def test_no_option_is_offered_that_is_none(self):
        for name in PAGES:
            known = {"--" + row[1] for row in helped(name)}
            text = re.sub(r"#.*|-e '[^']*'|-- \"\$cur\"", "",
                          text_of("completions", name))
            self.assertLessEqual(set(words(r"--[a-z][a-z-]*", text)), known)
            if name != "intercomctl":
                self.assertEqual(self.offered(name, "--"), known)


class Interface(Case):
    PAGE = "org.alsaintercom1.5"

    def declared(self, kind):
        root = ET.parse(os.path.join(
            SRCDIR, "dbus/org.alsaintercom1.Server.xml")).getroot()
        for member in root.iter(kind):
            args = {way: ["%s %s" % (a.get("type"), a.get("name"))
                          for a in member.iter("arg")
                          if a.get("direction", "in") == way]
                    for way in ("in", "out")}
            yield member.get("name"), args["in"], args["out"]

    def explained(self, heading):
        for name, taken, given in words(
                r'^\.It Fn (\w+)((?: "[^"]*")*)(?: No \\\(-> (.*))?$',
                section(self.PAGE, heading)):
            yield (name, [arg for arg in re.findall(r'"([^"]*)"', taken)
                          if arg], given.split(", ") if given else [])

    def test_members_and_their_arguments(self):
        for kind, heading in ("method", "METHODS"), ("signal", "SIGNALS"):
            self.assertCountEqual(list(self.explained(heading)),
                                  list(self.declared(kind)))
        root = ET.parse(os.path.join(
            SRCDIR, "dbus/org.alsaintercom1.Server.xml")).getroot()
        self.assertEqual(words(r"^\.It Sy (\w+) Pq (\S+)",
                               section(self.PAGE, "PROPERTIES")),
                         [(p.get("name"), p.get("type"))
                          for p in root.iter("property")])

    def test_events_of_the_monitor_are_the_signals(self):
        source = text_of("src/ctl/monitor.c")
        events = words(r'\{"([A-Z]\w+)",\s*"(\w+)",\s*\{([^}]*), NULL\}\}',
                       source)
        self.assertCountEqual(
            [(member, re.findall(r'"(\w+)"', keys))
             for member, _, keys in events],
            [(name, [arg.split()[1] for arg in args])
             for name, args, _ in self.declared("signal")])
        told = section("intercomctl.1", "DESCRIPTION").split(".Sy event :")[1]
        self.assertEqual(
            set(words(r"\b((?:page|client|server)_\w+)", told)),
            {event for _, event, _ in events} | {"server_gone"})

    def test_errors(self):
        own = words(r'"(org\.alsaintercom1\.Error\.\w+)"',
                    text_of("src/bus/names.h"))
        told = words(r"^\.It Sy (\S+)$", section(self.PAGE, "ERROR NAMES"))
        self.assertCountEqual(
            [name for name in told if "freedesktop" not in name], own)

    def test_options_of_a_page(self):
        self.assertCountEqual(
            words(r"^\.It Sy (\w+) Pq",
                  section(self.PAGE, "Options of Talk and Play")),
            words(r'\{"(\w+)", read_\w+\}', text_of(
                "src/server/bus/request.c")))

    def test_every_key_that_is_told_exists(self):
        sources = "".join(text_of("src/server/bus", name) for name in
                          ("status.c", "bus.c"))
        keys = set()
        for heading in "WHO HAS HEARD A PAGE", "STATUS":
            for item in words(r"^\.It (Sy .* P[qo] .*)$",
                              section(self.PAGE, heading)):
                keys |= set(re.findall(r"\b([a-z_]{2,})\b", re.sub(
                    r"P[qo] \S+( Pc)?", "", item)))
        for key in keys:
            self.assertIn('"%s"' % key, sources)

    def assert_told(self, found, *told):
        for text in told:
            missing = [word for word in found
                       if not re.search(r"\b%s\b" % word, text)]
            self.assertEqual(missing, [], text)

    def item(self, heading, name):
        return re.split(r"^\.It |^\.El", section(self.PAGE, heading).split(
            ".It Sy %s P" % name, 1)[1], 1, re.M)[0]

    def test_words(self):
        ends = words(r'\[PAGE_\w+\] = "([a-z-]+)"', text_of(
            "src/server/page.c").split("page_end_name", 1)[1])
        self.assertCountEqual(words(r"^\.It Sy ([a-z-]+)$", section(
            self.PAGE, "SIGNALS").split("reason is one of")[1]), ends)
        states = words(r'\[PAGE_\w+\] = "([a-z-]+)"', text_of(
            "src/server/page.c").split("page_end_name", 1)[0])
        states.remove("done")  # and gone
        self.assert_told(states, self.item("STATUS", "state"))
        self.assert_told(
            words(r'X\([A-Z_]+, "([a-z-]+)"', text_of("src/bus/names.h")),
            self.item("STATUS", "why"))
        receipt = text_of("src/wire/receipt.c")
        results = words(r'\[RECEIPT_(?!CARD_)\w+\] = "([a-z-]+)"', receipt)
        self.assert_told(results, self.item("WHO HAS HEARD A PAGE", "result"))
        results.remove("unknown")
        self.assert_told(results, section("intercom.7", "Receipts") +
                         section("intercom-client.1", "HOOKS"))
        cards = words(r'\[RECEIPT_CARD_\w+\] = "([a-z-]+)"', receipt)
        self.assert_told(cards, self.item("WHO HAS HEARD A PAGE", "card"),
                         section("intercom.7", "Receipts"),
                         section("intercom.7", "Heartbeats"))
        self.assert_told(words(r'^    \{"(\w+)", offsetof', receipt),
                         section("intercom.7", "Receipts"))
        self.assert_told(
            words(r'\[LEDGER_\w+\] = "([a-z-]+)"', text_of(
                "src/server/ledger.c")),
            self.item("WHO HAS HEARD A PAGE", "heard"))


class Surroundings(Case):
    """What is read from the environment, and put there and in the journal."""

    def set_by(self, path):
        return set(words(r'"(INTERCOM_\w+)=', text_of(path)))

    def test_the_variables_of_hooks(self):
        told = words(r"^\.It Ev (INTERCOM_\w+)$",
                     section("intercom-client.1", "HOOKS"))
        self.assertCountEqual(told, self.set_by("src/client/hook.c"))

    def test_the_fields_of_the_journal(self):
        for path, page, heading in (
                ("src/client/journal.c", "intercom-client.1", "ENVIRONMENT"),
                ("src/server/systemd.c", "intercom-server.8", "LOG")):
            self.assertEqual(set(words(r"Dv (INTERCOM_\w+)",
                                       section(page, heading))),
                             self.set_by(path))

    def test_the_variables_that_are_read(self):
        read = set()
        for folder, _, names in os.walk(os.path.join(SRCDIR, "src")):
            for name in names:
                read |= set(re.findall(r'getenv\("(\w+)"\)', contents(
                    os.path.join(folder, name)).decode()))
        self.assertGreater(len(read), 3)
        told = set()
        for page in PAGES.values():
            for line in words(r"^\.(?:It )?Ev (.*)$",
                              section(page, "ENVIRONMENT")):
                told |= set(re.findall(r"[A-Z_]+", line))
        self.assertEqual(told - OF_LIBRARIES, read - {"HOME"})

    def test_exit_statuses(self):
        self.assertEqual(
            words(r"^\.It (\d)$", section("intercomctl.1", "EXIT STATUS")),
            words(r"^\tCTL_\w+ = (\d),", text_of("src/ctl/ctl.h")))


class Map(Case):
    """Of HACKING.md."""

    def test_every_module_is_on_it(self):
        hacking = text_of("HACKING.md")
        named = set()
        for row in words(r"^\| (`.*?) \|", hacking):
            named |= set(re.findall(r"`([a-z0-9-]+)`", row))
        named |= set(re.findall(r"`([a-z]+)`", hacking.split(
            "| `bus/` |", 1)[1].split("\n", 1)[0]))
        there = set()
        for folder, _, names in os.walk(os.path.join(SRCDIR, "src")):
            if os.path.basename(folder) != "ctl":  # a file a command
                there |= {os.path.splitext(name)[0] for name in names
                          if name.endswith((".c", ".h"))}
        self.assertEqual(named, there - {"main", "configuration"})


if __name__ == "__main__":
    main()
