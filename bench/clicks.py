# SPDX-License-Identifier: MIT
"""Finds the clicks of the virtual microphone in what the virtual loudspeaker
played, and how late they were. A click begins on each whole second of
CLOCK_MONOTONIC, and is repeated MARK_S after each tenth one, so that delays of
up to ten seconds can be told apart."""
import array
import bisect
import statistics
import sys

MARK_S = 0.05
AUDIBLE = 0x400  # of S16_LE


class Timeline:
    """Tells when a frame of the playback file was played."""

    def __init__(self, path, rate):
        self.rate = rate
        self.positions, self.times = [], []
        with open(path) as f:
            for line in f:
                if line.startswith("#"):
                    continue
                position, _, ns = line.split()
                self.positions.append(int(position))
                self.times.append(int(ns) / 1e9)

    def time_of(self, frame):
        i = bisect.bisect_right(self.positions, frame) - 1
        return self.times[i] + (frame - self.positions[i]) / self.rate

    def frame_at(self, time):
        """The frame of the span that was played then, or last before it."""
        i = max(0, bisect.bisect_right(self.times, time) - 1)
        passed = int((time - self.times[i]) * self.rate)
        if i + 1 < len(self.positions):
            passed = min(passed, self.positions[i + 1] - self.positions[i])
        return self.positions[i] + passed


def rising_edges(path, rate, channels):
    """The first frames of the clicks in a file of S16_LE."""
    samples = array.array("h")
    with open(path, "rb") as f:
        data = f.read()
    samples.frombytes(data[:len(data) // (2 * channels) * 2 * channels])
    if sys.byteorder == "big":
        samples.byteswap()
    left = samples[::channels]
    if not left or max(left) < AUDIBLE:
        return []
    threshold = max(left) // 3  # in case a codec has rounded them
    edges, quiet_from = [], 0
    for frame, value in enumerate(left):
        if value < threshold:
            continue
        if frame >= quiet_from:
            edges.append(frame)
        quiet_from = frame + rate // 200
    return edges


def split_marks(times):
    """Returns the clicks, and which of them are on a tenth second."""
    clicks, tenths = [], []
    for t in times:
        if clicks and abs(t - clicks[-1] - MARK_S) < MARK_S / 5:
            tenths.append(clicks[-1])
        else:
            clicks.append(t)
    return clicks, tenths


def delays_of(times):
    """{whole second: delay in s} of each click that was played."""
    clicks, tenths = split_marks(times)
    base = statistics.median(t % 10 for t in tenths) if tenths else 0.5
    delays = {}
    for t in clicks:
        delay = (t - base + 0.5) % 1 - 0.5 + base
        delays[round(t - delay)] = delay
    return delays


def skews_of(loudspeakers, rate, channels):
    """How far apart (s) loudspeakers played each click that all of them have
    played, in the order of time; each is a pair: the file of what it played, and
    the card's log. Clicks must be further apart than the loudspeakers."""
    times = []
    for played, log in loudspeakers:
        timeline = Timeline(log, rate)
        times.append([timeline.time_of(edge)
                      for edge in rising_edges(played, rate, channels)])
    first = min(times, key=len)
    skews = []
    for click in first:
        nearest = [min(others, key=lambda t: abs(t - click)) for others in times]
        skews.append(max(nearest) - min(nearest))
    return skews
