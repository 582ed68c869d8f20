# SPDX-License-Identifier: MIT
"""A D-Bus client for tests: one connection, exact error names, descriptors.

Speaks the protocol itself, so that a test decides when a caller disconnects,
and no library needs to be installed.
"""
import os
import re
import socket
import struct
import time

METHOD_CALL, METHOD_RETURN, ERROR, SIGNAL = 1, 2, 3, 4
PATH, INTERFACE, MEMBER, ERROR_NAME, REPLY_SERIAL = 1, 2, 3, 4, 5
DESTINATION, SENDER, SIGNATURE, UNIX_FDS = 6, 7, 8, 9
NO_REPLY_EXPECTED = 1

FIXED = {"y": "B", "b": "I", "n": "h", "q": "H", "i": "i", "u": "I",
         "x": "q", "t": "Q", "d": "d", "h": "I"}


class DBusError(Exception):
    def __init__(self, name, message):
        super().__init__("%s: %s" % (name, message))
        self.name = name


class Variant:
    def __init__(self, signature, value):
        self.signature = signature
        self.value = value


def split_type(signature):
    """The first complete type of a signature, and the rest."""
    if signature[0] == "a":
        first, rest = split_type(signature[1:])
        return "a" + first, rest
    if signature[0] in "({":
        depth = 0
        for i, c in enumerate(signature):
            depth += (c in "({") - (c in ")}")
            if depth == 0:
                return signature[:i + 1], signature[i + 1:]
    return signature[0], signature[1:]


def alignment(kind):
    if kind in "yvg":
        return 1
    if kind in "so":
        return 4
    if kind in "({":
        return 8
    return 4 if kind == "a" else struct.calcsize(FIXED[kind])


class Writer:
    def __init__(self):
        self.data = bytearray()
        self.fds = []

    def pad(self, size):
        self.data += bytes(-len(self.data) % size)

    def write(self, signature, *values):
        for value in values:
            kind, signature = split_type(signature)
            self.write_one(kind, value)

    def write_one(self, kind, value):
        first = kind[0]
        self.pad(alignment(first))
        if first == "h":
            self.fds.append(value)
            value = len(self.fds) - 1
        if first in FIXED:
            self.data += struct.pack("<" + FIXED[first], value)
        elif first in "so":
            raw = value.encode()
            self.data += struct.pack("<I", len(raw)) + raw + b"\0"
        elif first == "g":
            self.data += bytes([len(value)]) + value.encode() + b"\0"
        elif first == "v":
            self.write_one("g", value.signature)
            self.write_one(value.signature, value.value)
        elif first == "a":
            self.write_array(kind[1:], value)
        else:
            self.write(kind[1:-1], *value)

    def write_array(self, kind, value):
        at = len(self.data)
        self.data += bytes(4)
        self.pad(alignment(kind[0]))
        start = len(self.data)
        for item in value.items() if isinstance(value, dict) else value:
            self.write_one(kind, item)
        struct.pack_into("<I", self.data, at, len(self.data) - start)


class Reader:
    def __init__(self, data, fds=()):
        self.data = data
        self.at = 0
        self.fds = fds

    def pad(self, size):
        self.at += -self.at % size

    def take(self, size):
        piece = self.data[self.at:self.at + size]
        self.at += size
        return piece

    def read(self, signature):
        values = []
        while signature:
            kind, signature = split_type(signature)
            values.append(self.read_one(kind))
        return values

    def read_one(self, kind):
        first = kind[0]
        self.pad(alignment(first))
        if first in FIXED:
            size = struct.calcsize(FIXED[first])
            (value,) = struct.unpack("<" + FIXED[first], self.take(size))
            return bool(value) if first == "b" else \
                self.fds[value] if first == "h" else value
        if first in "so":
            (size,) = struct.unpack("<I", self.take(4))
            return self.take(size + 1)[:-1].decode()
        if first == "g":
            size = self.take(1)[0]
            return self.take(size + 1)[:-1].decode()
        if first == "v":
            return self.read_one(self.read_one("g"))
        if first == "a":
            return self.read_array(kind[1:])
        return tuple(self.read(kind[1:-1]))

    def read_array(self, kind):
        (size,) = struct.unpack("<I", self.take(4))
        self.pad(alignment(kind[0]))
        end = self.at + size
        items = []
        while self.at < end:
            items.append(self.read_one(kind))
        return dict(items) if kind[0] == "{" else items


class Message:
    def __init__(self, kind, fields, body):
        self.kind = kind
        self.member = fields.get(MEMBER)
        self.error = fields.get(ERROR_NAME)
        self.reply_serial = fields.get(REPLY_SERIAL)
        self.body = body


class Client:
    """A connection. close() makes the server see its caller die."""

    def __init__(self, address, patience=30.0):
        self.patience = patience
        self.serial = 0
        self.buffer = bytearray()
        self.fds = []
        self.signals = []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(patience)
        match = re.match(r"unix:(path|abstract)=([^,;]*)", address)
        self.socket.connect(("\0" if match[1] == "abstract" else "")
                            + match[2])
        self.authenticate()
        (self.name,) = self.call("Hello", path="/org/freedesktop/DBus",
                                 destination="org.freedesktop.DBus",
                                 interface="org.freedesktop.DBus")

    def authenticate(self):
        uid = str(os.geteuid()).encode().hex().encode()
        self.socket.sendall(b"\0AUTH EXTERNAL " + uid + b"\r\n")
        self.expect(b"OK ")
        self.socket.sendall(b"NEGOTIATE_UNIX_FD\r\n")
        self.expect(b"AGREE_UNIX_FD")
        self.socket.sendall(b"BEGIN\r\n")

    def expect(self, start):
        line = b""
        while not line.endswith(b"\r\n"):
            byte = self.socket.recv(1)
            if not byte:
                raise AssertionError("the bus closed: %r" % line)
            line += byte
        assert line.startswith(start), line

    def close(self):
        self.socket.close()
        for fd in self.fds:
            os.close(fd)
        self.fds = []

    # --- sending

    def encode(self, member, signature="", args=(), path="/org/alsaintercom1",
               destination="org.alsaintercom1",
               interface="org.alsaintercom1.Server", flags=0):
        """The next call: its bytes and its descriptors."""
        body = Writer()
        body.write(signature, *args)
        fields = {PATH: Variant("o", path), MEMBER: Variant("s", member),
                  DESTINATION: Variant("s", destination)}
        if interface:
            fields[INTERFACE] = Variant("s", interface)
        if signature:
            fields[SIGNATURE] = Variant("g", signature)
        if body.fds:
            fields[UNIX_FDS] = Variant("u", len(body.fds))
        self.serial += 1
        head = Writer()
        head.write("yyyyuua(yv)", ord("l"), METHOD_CALL, flags, 1,
                   len(body.data), self.serial, list(fields.items()))
        head.pad(8)
        return bytes(head.data + body.data), body.fds

    def send(self, *args, **kwargs):
        """Sends a call, see encode(); returns its serial."""
        data, fds = self.encode(*args, **kwargs)
        sent = socket.send_fds(self.socket, [data], fds) \
            if fds else self.socket.send(data)
        self.socket.sendall(data[sent:])
        return self.serial

    def call(self, member, signature="", args=(), **kwargs):
        """Calls a method and returns its values, or raises a DBusError."""
        return self.wait_reply(self.send(member, signature, args, **kwargs))

    def talk(self, zones=(), seconds=0.0, **options):
        return self.call("Talk", "asda{sv}",
                         (list(zones), seconds, options))[0]

    def play(self, fd, zones=(), **options):
        return self.call("Play", "asha{sv}", (list(zones), fd, options))[0]

    def add_match(self, rule):
        self.call("AddMatch", "s", (rule,), path="/org/freedesktop/DBus",
                  destination="org.freedesktop.DBus",
                  interface="org.freedesktop.DBus")

    # --- receiving

    def fill(self, size, end):
        while len(self.buffer) < size:
            self.socket.settimeout(max(end - time.monotonic(), 0.001))
            data, fds, _, _ = socket.recv_fds(self.socket, 65536, 16)
            if not data:
                raise AssertionError("the bus closed the connection")
            self.buffer += data
            self.fds += fds

    def receive(self, end):
        self.fill(16, end)
        body_size, _, fields_size = struct.unpack_from("<III", self.buffer, 4)
        head_size = 16 + fields_size + -fields_size % 8
        self.fill(head_size + body_size, end)
        head = Reader(bytes(self.buffer[:head_size]))
        kind = head.read("yyyyuu")[1]
        fields = dict(head.read_one("a(yv)"))
        body = bytes(self.buffer[head_size:head_size + body_size])
        del self.buffer[:head_size + body_size]
        fds = [self.fds.pop(0) for _ in range(fields.get(UNIX_FDS, 0))]
        return Message(kind, fields,
                       Reader(body, fds).read(fields.get(SIGNATURE, "")))

    def wait_reply(self, serial):
        end = time.monotonic() + self.patience
        while True:
            message = self.receive(end)
            if message.kind == SIGNAL:
                self.signals.append(message)
            elif message.reply_serial == serial:
                if message.kind == ERROR:
                    raise DBusError(message.error,
                                    message.body[0] if message.body else "")
                return message.body

    def wait_signal(self, member, condition=lambda body: True):
        """Waits for a matching signal of this name; drops those before it."""
        end = time.monotonic() + self.patience
        while True:
            message = self.signals.pop(0) if self.signals \
                else self.receive(end)
            if message.kind == SIGNAL and message.member == member and \
                    condition(message.body):
                return message.body
