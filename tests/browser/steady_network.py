"""Hides network changes from a program: ``steady_network.py PROGRAM ...`` runs the program.

When a network interface appears or disappears, Chromium ends all running requests with
``ERR_NETWORK_CHANGED``, even requests to the same machine. Other tests create such interfaces.
Without netlink sockets, Chromium does not notice the change. On processors that ``_SOCKET`` does
not list, the program keeps its netlink sockets.
"""

import ctypes
import errno
import os
import platform
import socket
import struct
import sys

#: Number of the system call ``socket``.
_SOCKET = {"x86_64": 41, "aarch64": 198}
#: Codes of a filter: linux/filter.h and linux/seccomp.h.
_LOAD, _IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _FAIL = 0x7FFF_0000, 0x0005_0000
_SET_SECCOMP, _SET_NO_NEW_PRIVILEGES, _FILTER = 22, 38, 2
#: Offsets in the data of a system call: its number, and its first argument.
_NUMBER, _ARGUMENT = 0, 16


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_void_p))


def forbid_netlink() -> None:
    """Make ``socket(AF_NETLINK, ...)`` fail in this process and its children.

    Raise OSError if the kernel rejects the filter.
    """
    number = _SOCKET.get(platform.machine())
    if number is None:
        return
    steps = (
        (_LOAD, 0, 0, _NUMBER),
        (_IF_EQUAL, 0, 3, number),
        (_LOAD, 0, 0, _ARGUMENT),
        (_IF_EQUAL, 0, 1, socket.AF_NETLINK),
        (_RETURN, 0, 0, _FAIL | errno.EAFNOSUPPORT),
        (_RETURN, 0, 0, _ALLOW),
    )
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = _Program(len(steps), ctypes.addressof(code))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    for call in (
        (_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0),
        (_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0),
    ):
        if prctl(*call):
            raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    forbid_netlink()
    os.execv(sys.argv[1], sys.argv[1:])
