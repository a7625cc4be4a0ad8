"""A worker that starts one leftover process by each of six methods.

    escapees.py DIRECTORY stay|leave

Each process ignores SIGTERM, and appends to ``DIRECTORY/beat-<way>`` until its end.
"""

import os
import signal
import sys
import time


def beat(directory: str, way: str) -> None:
    with open(f"{directory}/beat-{way}", "ab", buffering=0) as file:
        while True:
            file.write(b".")
            time.sleep(0.02)


def child(directory: str) -> None:
    if os.fork() == 0:
        beat(directory, "child")


def session(directory: str) -> None:
    if os.fork() == 0:
        os.setsid()
        beat(directory, "session")


def group(directory: str) -> None:
    if os.fork() == 0:
        os.setpgid(0, 0)
        beat(directory, "group")


def twice(directory: str, way: str, with_session: bool) -> None:
    middle = os.fork()
    if middle == 0:
        if with_session:
            os.setsid()
        if os.fork() == 0:
            beat(directory, way)
        os._exit(0)
    os.waitpid(middle, 0)


def daemon(directory: str) -> None:
    middle = os.fork()
    if middle == 0:
        os.setsid()
        if os.fork() == 0:
            os.chdir("/")
            os.closerange(0, 256)
            os.execve(sys.executable, [sys.executable, "-S", __file__, directory, "beat"], {})
        os._exit(0)
    os.waitpid(middle, 0)


def main(directory: str, then: str) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if then == "beat":
        beat(directory, "daemon")
    child(directory)
    session(directory)
    group(directory)
    twice(directory, "twice", with_session=True)
    twice(directory, "twice-no-session", with_session=False)
    daemon(directory)
    while len([name for name in os.listdir(directory) if name.startswith("beat-")]) < 6:
        time.sleep(0.01)
    if then == "stay":
        time.sleep(3600)


main(*sys.argv[1:])
