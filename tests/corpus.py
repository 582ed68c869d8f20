#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Plays WAV files of others, raw over TCP into the client and through a server,
and compares each sample with what ffmpeg decodes. Files that are refused must
have a reason, which is counted.

Debian packages that have many (apt-get download, dpkg -x): alsa-utils
amphetamine-data bambam bucklespring-data crossfire-client csmash-data
csoundqt-examples emacspeak excellent-bifurcation fenrir
garden-of-coloured-lights-data gentle gnome-audio guitarix-common
heroes-sound-effects jconvolver-config-files lbreakout2-data lbreakouthd-data
libreoffice-common lmms-common micropolis-data mirrormagic-data overgod-data
pd-smlib sound-icons tecnoballz-data tworld-data."""
import collections
import concurrent.futures
import os
import re
import subprocess
import sys
import tempfile

from e2e_client import Server
from e2e_lib import (Process, connect, contents, free_port, program,
                     receive_all)

CODECS = {(1, 8): "u8", (1, 16): "s16le", (1, 24): "s24le", (1, 32): "s32le",
          (3, 32): "f32le", (6, 8): "alaw", (7, 8): "mulaw"}
PLAYED_SECONDS = 3  # longer ones take too long to be played in real time
WORKERS = 6


def samples_of(page):
    """The codec of ffmpeg's name and the samples of a page or a saved file."""
    position, codec = 12, None
    while position + 8 <= len(page):
        name = page[position:position + 4]
        size = int.from_bytes(page[position + 4:position + 8], "little")
        body = page[position + 8:position + 8 + size]
        if name == b"fmt ":
            tag = int.from_bytes(body[:2], "little")
            if tag == 0xFFFE:
                tag = int.from_bytes(body[24:26], "little")
            codec = CODECS[tag, int.from_bytes(body[14:16], "little")]
        if name == b"data":
            return codec, page[position + 8:][:size]
        position += 8 + size + size % 2
    return codec, b""


def decoded(path, codec):
    return subprocess.run(
        ["ffmpeg", "-nostdin", "-v", "quiet", "-i", path, "-map", "0:a:0",
         "-c:a", "pcm_" + codec, "-f", codec, "-"], capture_output=True).stdout


def over_tcp(path, folder):
    """Through the client: codec and samples, or None and the reason."""
    saved = os.path.join(folder, "tcp.wav")
    server = Server()
    client = Process([program("intercom-client"), "--once", "-D", "null",
                      "--save", saved, "127.0.0.1:%d" % server.port])
    try:
        connection = server.accept()
        try:
            connection.sendall(contents(path))
        except OSError:
            pass  # refused before its end
        connection.close()
        line = client.wait_line(r"This is not a page: |ended \(|no samples|"
                                "ended before a page")
        reason = re.search(r"(?:not a page: |from \S+ |The )(.*?)"
                           "(?:; trying|$)", line)[1]
        if "ended (" in line:
            client.wait()
            return samples_of(contents(saved)), None
        return None, reason
    finally:
        client.stop()


def through_play(path, folder):
    port = free_port()
    link = os.path.join(folder, "played.wav")
    os.symlink(os.path.abspath(path), link)
    server = Process([program("intercom-server"), "-i", "-D", "null", "-l",
                      "127.0.0.1:%d" % port], stdin=subprocess.PIPE)
    try:
        server.wait_line("listens")
        with connect(port) as s:
            server.write("play %s\n" % link)
            line = server.wait_line("on the air|can be played: |Page 1: ")
            if "can be played: " in line:
                return None, re.search(r"played: (.*?)(?:; this|$)", line)[1]
            return samples_of(receive_all(s)), None
    finally:
        server.stop()


def seconds(path):
    said = subprocess.run(
        ["ffprobe", "-v", "quiet", "-show_entries", "format=duration", "-of",
         "csv=p=0", path], capture_output=True, text=True).stdout
    return float(said) if re.match(r"[\d.]+$", said.strip()) else 0.0


def judge(path):
    """[(way, "right", "wrong" or why it was refused)] of one file."""
    ways = [over_tcp]
    if seconds(path) <= PLAYED_SECONDS:
        ways.append(through_play)
    verdicts = []
    for way in ways:
        with tempfile.TemporaryDirectory() as folder:
            found, reason = way(path, folder)
        if found:
            expected = decoded(path, found[0])
            reason = ("right" if found[1] == expected else
                      "wrong" if expected else "ffmpeg reads none of it")
        verdicts.append((way.__name__, reason))
    return verdicts


def main():
    paths = sorted(os.path.join(folder, name) for root in sys.argv[1:]
                   for folder, _, names in os.walk(root) for name in names
                   if name.lower().endswith(".wav") and
                   os.path.isfile(os.path.join(folder, name)))
    counts = collections.Counter()
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        for path, verdicts in zip(paths, pool.map(judge, paths)):
            counts.update(verdicts)
            if any(verdict == "wrong" for _, verdict in verdicts):
                print("wrong: %s %s" % (path, verdicts), flush=True)
    for (way, verdict), count in sorted(counts.items()):
        print("%6d  %-12s  %s" % (count, way, verdict))
    wrong = sum(n for (_, verdict), n in counts.items() if verdict == "wrong")
    print("%d files, %d wrong" % (len(paths), wrong))
    return 1 if wrong or not paths else 0


if __name__ == "__main__":
    sys.exit(main())
