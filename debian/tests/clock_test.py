# SPDX-License-Identifier: MIT
"""What the tests of rooms in step share: what the kernel is told of the clock,
and by what a page is timed."""
import ctypes

from intercom_test import *

CLIENT = "intercom-client.service"
STA_PLL = 0x0001
STA_UNSYNC = 0x0040
ADJ_STATUS = 0x0010
IN_STEP = manual("intercom.7", "IN STEP")


class Timex(ctypes.Structure):
    _fields_ = ([("modes", ctypes.c_uint)] +
                [(name, ctypes.c_long) for name in
                 ("offset", "freq", "maxerror", "esterror")] +
                [("status", ctypes.c_int), ("rest", ctypes.c_char * 256)])


def kernel_clock(**changes):
    """What adjtimex(2) says."""
    timex = Timex(**changes)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.adjtimex(ctypes.byref(timex)) < 0:
        raise OSError(ctypes.get_errno(), "adjtimex")
    return timex


def is_synchronised():
    return not kernel_clock().status & STA_UNSYNC


def tell_kernel():
    clock = kernel_clock()
    print("   the kernel is told: status 0x%x, estimated error %d us, "
          "at most %d us" % (clock.status, clock.esterror, clock.maxerror))


def start_in_step():
    """Server and client, by the system's units; nothing is played yet."""
    # A machine in emulation takes long to open its card.
    set_up("-D hw:Mic,0 --sync=1500", "-D plughw:CARD=Left")
    run("systemctl", "restart", CLIENT)
    wait_for_clients(1)


def allow_clock(name):
    """The drop-in of the manual, and its command."""
    block, = [b for b in blocks(IN_STEP) if b.startswith("[Service]")]
    assert re.search(r"systemctl edit intercom-client\b.*%s" % name, IN_STEP,
                     re.S)
    edit(name, block)
    run("systemctl", "restart", name)
    wait_for_clients(1)


def server_says():
    """What the server has logged of its clock."""
    return [line for line in logged(SERVER) if "sound in step" in line][-1]


def page_says():
    """What the client believes at the beginning of a page. If frames come late,
    as in a busy machine, it logs in the page's course that it does not."""
    def said():
        return [line for line in logged(CLIENT)
                if line.startswith("The page is ")]
    before = len(said())
    page(CLIENT)
    lines = wait_until(lambda: said()[before:], "what the page is timed by")
    print("\n".join("   " + line for line in lines))
    return lines[0]
