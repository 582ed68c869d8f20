# SPDX-License-Identifier: MIT
"""The programs to measure. Each function starts its programs on the cards "mic"
and "speaker", and may return a function that ends the page."""
import os
import subprocess

from cards import free_port, wait_listening


def start_ours(bench):
    o = bench.options
    port = free_port()
    argv = [bench.program("intercom-server"), "-D", "mic", "-r", str(o.rate),
            "-c", str(o.channels), "--period-size", str(o.period_size or 1024),
            "-d", "0", "-l", "%s:%d" % (bench.talker, port), "-i", *o.server]
    server = bench.start(argv, stdin=subprocess.PIPE,
                         stdout=subprocess.DEVNULL)
    wait_listening(bench, port)
    client = ["-D", "speaker", "--latency", str(o.latency), *o.client]
    if o.client_period_size:
        client += ["--period-size", str(o.client_period_size)]
    bench.start([bench.program("intercom-client")] + client
                + ["%s:%d" % (bench.talker, port)], "listener",
                stdout=subprocess.DEVNULL)
    server.stdin.write(b"\n")
    server.stdin.flush()

    def end():
        server.stdin.write(b"\n")
        server.stdin.flush()
    return end


def alsa_options(o):
    argv = ["-q", "-t", "raw", "-f", "S16_LE", "-r", str(o.rate), "-c",
            str(o.channels)]
    if o.period_size:
        argv += ["--period-size", str(o.period_size)]
    return argv


def aplay_options(o):
    """aplay starts when its buffer is full: the buffer is the latency."""
    if not o.period_size:
        return alsa_options(o)
    frames = max(o.latency * o.rate // 1000, 2 * o.period_size)
    return alsa_options(o) + ["--buffer-size", str(frames)]


def start_pipe(bench):
    o = bench.options
    arecord = bench.start(["arecord", "-D", "mic"] + alsa_options(o),
                          stdout=subprocess.PIPE)
    bench.start(["aplay", "-D", "speaker"] + aplay_options(o),
                stdin=arecord.stdout)
    arecord.stdout.close()


def start_arecord_nc_aplay(bench):
    o = bench.options
    port = free_port()
    arecord = bench.start(["arecord", "-D", "mic"] + alsa_options(o),
                          stdout=subprocess.PIPE)
    bench.start(["nc", "-l", bench.talker, str(port)], stdin=arecord.stdout,
                stdout=subprocess.DEVNULL)
    arecord.stdout.close()
    wait_listening(bench, port)
    nc = bench.start(["nc", "-d", bench.talker, str(port)], "listener",
                     stdout=subprocess.PIPE)
    bench.start(["aplay", "-D", "speaker"] + aplay_options(o), "listener",
                stdin=nc.stdout)
    nc.stdout.close()


def start_trx(bench):
    """Opus over RTP, with options of its own: frame, buffer, jitter."""
    o = bench.options
    port = str(free_port())
    common = ["-h", bench.listener, "-p", port, "-r", str(o.rate), "-c",
              str(o.channels)]
    buffers = ["-m", str(o.trx_buffer)] if o.trx_buffer else []
    frame = ["-f", str(o.trx_frame)] if o.trx_frame else []
    jitter = ["-j", str(o.trx_jitter)] if o.trx_jitter else []
    bench.start(["trx-rx", "-d", "speaker"] + common + buffers + jitter,
                "listener", stdout=subprocess.DEVNULL)
    bench.start(["trx-tx", "-d", "mic"] + common + buffers + frame,
                stdout=subprocess.DEVNULL)


def start_snapcast(bench):
    o = bench.options
    port = free_port()
    datadir = bench.path("snapserver")
    conf = bench.path("snapserver.conf")
    os.mkdir(datadir)
    with open(conf, "w") as f:
        f.write("[server]\ndatadir = %s\n[http]\nenabled = false\n"
                "[tcp]\nenabled = false\n[stream]\n"
                "bind_to_address = %s\nport = %d\nbuffer = %d\n"
                # So that it does not stop at the silence between the clicks.
                "source = alsa://?name=mic&device=mic&sampleformat=%d:16:%d"
                "&send_silence=true&idle_threshold=1000000000\n"
                % (datadir, bench.talker, port, o.latency, o.rate, o.channels))
    bench.start(["snapserver", "-c", conf], stdout=subprocess.DEVNULL)
    wait_listening(bench, port)
    bench.start(["snapclient", "-h", bench.talker, "-p", str(port), "-s",
                 "speaker", "--logsink", "stderr"], "listener",
                stdout=subprocess.DEVNULL)


PEERS = {
    "ours": start_ours,
    "arecord-aplay": start_pipe,
    "arecord-nc-aplay": start_arecord_nc_aplay,
    "trx": start_trx,
    "snapcast": start_snapcast,
}
