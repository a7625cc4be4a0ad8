"""``orchestrator lock`` and ``unlock``: leases for workers in any programming language.

Imports only the standard library and the client of ``spawn``. Runs as ``python -S -E lock.py lock
NAME``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time

# Importing http.client, urllib, and typing would double the time of a start.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

if TYPE_CHECKING or __package__:
    from orchestrator.cli.worker import spawn
else:
    import spawn  # the module is next to this file

# spawn has added the directory of orchestrator's package to the search path.
from orchestrator.core.text.command_name import COMMAND  # noqa: E402

LOCKS = "/api/v1/locks"
TIMED_OUT = 124
#: Timeout of a call that waits for a lock, in seconds. The server answers within 110 s.
CALL_SECONDS = 150
EPILOG = (
    "Exit codes: 0 ok, 1 held by another worker, a deadlock, or (--check) not active, "
    "2 invalid arguments, 3 not held by this worker, 4 invalid key, 5 no answer from the server, "
    "124 timed out, 130 interrupted."
)


class LockServer(spawn.Server):
    answer_seconds = CALL_SECONDS

    def __init__(self, command: str, names: list[str]) -> None:
        """``names``: the names in the command line, for the error outside of a worker."""
        advice = (
            f"add the lock to a task of a plan: locks: {json.dumps(names)}; or list locks: "
            f"{COMMAND} locks"
        )
        super().__init__(*spawn.address(advice))
        self.command = command

    def lock(self, names: list[str], seconds: float) -> spawn.Answer:
        """Acquire leases of all ``names``, waiting at most ``seconds``. Return the server's answer.

        Raise CommandEnd if the server answers with an error, or does not answer.
        """
        end = time.monotonic() + seconds
        while True:
            remaining = max(0.0, end - time.monotonic())
            answer = self.call("POST", LOCKS, {"names": names, "wait": remaining})
            if "leases" in answer:
                return answer

    def unlock(self, names: list[str]) -> spawn.Answer:
        try:
            return self.call("DELETE", LOCKS, {"names": names})
        except spawn.CommandEnd as stop:
            if stop.code != spawn.NOT_FOUND or not self.has_lost_answer:
                raise
            # An earlier call whose answer was lost has released the locks, or the locks ended with
            # the previous server.
            return {"names": names}

    def leases_of(self, name: str) -> spawn.Answer:
        return self.call("GET", f"{LOCKS}/{quoted(name)}")


def quoted(name: str) -> str:
    # Importing urllib would double the start time of the command.
    unescaped = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-~/"
    return "".join(
        chr(byte) if byte in unescaped else f"%{byte:02X}"
        for byte in name.encode("utf-8", "replace")
    )


def parser(command: str) -> argparse.ArgumentParser:
    locking = command == "lock"
    argument_parser = argparse.ArgumentParser(
        prog=f"orchestrator {command}",
        description="Acquire a lock on paths of the project, or on other names. The lock ends when "
        "this worker releases the lock or ends. Prints the fencing number of each name. Pass the "
        "number to the protected resource, so that the resource can reject smaller numbers."
        if locking
        else "Release locks of this worker. Outside of a worker, releases locks of any worker.",
        epilog=EPILOG,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, width=80),
    )
    add = argument_parser.add_argument
    add("names", nargs="+", metavar="NAME", help="path or name, such as src/api/ or port:8080")
    if locking:
        argument_parser.add_argument(
            "--wait",
            type=float,
            default=0.0,
            metavar="SECONDS",
            help="maximum time to wait, in seconds (default 0)",
        )
        argument_parser.add_argument(
            "--check",
            type=int,
            metavar="NUMBER",
            help="check if the lease with this number is active; acquire no lock",
        )
    argument_parser.add_argument(
        "--json", action="store_true", help="print the server's answer as JSON"
    )
    return argument_parser


def lock(options: argparse.Namespace) -> int:
    if options.check is not None:
        return check(options)
    if not 0 <= options.wait <= 86_400:
        raise spawn.CommandEnd(
            spawn.USAGE, f"invalid --wait {options.wait:g}: must be 0 to 86400 seconds"
        )
    answer = LockServer("lock", options.names).lock(options.names, options.wait)
    numbers = [str(lease["number"]) for lease in answer["leases"]]
    print(json.dumps(answer) if options.json else "\n".join(numbers))
    return spawn.OK


def check(options: argparse.Namespace) -> int:
    server = LockServer("lock", options.names)
    answers = [server.leases_of(name) for name in options.names]
    is_active = all(
        any(lease["number"] == options.check for lease in answer["leases"]) for answer in answers
    )
    if options.json:
        print(json.dumps({"stands": is_active, "locks": answers}))
    elif not is_active:
        names = " ".join(options.names)
        report("lock", f"lease {options.check} of {names} is not active; acquire the lock again")
    return spawn.OK if is_active else spawn.FAILED


def unlock(options: argparse.Namespace) -> int:
    answer = LockServer("unlock", options.names).unlock(options.names)
    if options.json:
        print(json.dumps(answer))
    return spawn.OK


def report(command: str, message: str) -> None:
    print(f"orchestrator {command}: {spawn.printable(message)}", file=sys.stderr, flush=True)


def exit_code(stop: spawn.CommandEnd, options: argparse.Namespace) -> int:
    if stop.problem.get("type") == "locked" and options.wait:
        return TIMED_OUT
    return stop.code


def main(arguments: list[str] | None = None) -> NoReturn:
    argv = sys.argv[1:] if arguments is None else arguments
    command = argv[0] if argv and argv[0] == "unlock" else "lock"
    options = parser(command).parse_args(argv[1:])
    try:
        code = lock(options) if command == "lock" else unlock(options)
        sys.stdout.flush()
    except spawn.CommandEnd as stop:
        if options.json:
            print(json.dumps(stop.problem), file=sys.stderr)
        else:
            report(command, str(stop))
        code = exit_code(stop, options)
    except KeyboardInterrupt:
        code = spawn.INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = spawn.FAILED
    sys.exit(code)


if __name__ == "__main__":
    main()
