"""``orchestrator spawn``: starts a child job from a worker in any programming language.

Imports only the standard library and a small client, because the command must start fast. Runs as
``python -S -E spawn.py``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys

#: The folder of the product.
PRODUCT = os.path.realpath(f"{__file__}/../../../..")
if not __package__:  # the file runs as a script
    sys.path.append(PRODUCT)

from orchestrator.core.text.command_name import COMMAND  # noqa: E402
from orchestrator.system.http_client.http_retry import call_with_retries  # noqa: E402
from orchestrator.system.http_client.stdlib_client import ServerReply, StdlibClient  # noqa: E402

# Importing typing would take a third of a start's time.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    Answer = dict[str, Any]

# The same codes as in cli/output/exit_codes.py; a test compares the two tables.
OK, FAILED, USAGE, NOT_FOUND, KEY_REFUSED, UNREACHABLE, PARTIAL, LIMIT = range(8)
INTERRUPTED = 130
EXIT_BY_JOB_STATUS = {"completed": OK, "partial": PARTIAL, "failed": FAILED, "cancelled": FAILED}
EXIT_BY_HTTP_STATUS = {401: KEY_REFUSED, 403: KEY_REFUSED, 404: NOT_FOUND}
EXIT_BY_HTTP_STATUS |= {400: USAGE, 413: USAGE, 422: USAGE}
SUCCEEDED = ("success", "recursive_success")
#: Text about a worker, by the field ``chosen``.
CHOICES = {True: " (chosen)", False: " (not chosen: another candidate was chosen)"}
LIMIT_TYPES = ("cycle", "recursion-disabled")

ANSWER_TIMEOUT_SECONDS = 30
#: Seconds for which one call waits for a job's end. The call is repeated until the job has ended.
WAIT_SECONDS = 100
#: Seconds for which a call without an answer is retried. A restarting server answers much sooner.
PATIENCE_SECONDS = 300
#: Maximum number of lines, and of characters, that are printed of one task's output. Maximum number
#: of characters of all outputs together.
SHOWN_LINES, SHOWN_CHARACTERS, SHOWN_IN_ALL = 12, 1500, 12_000


class CommandEnd(Exception):
    """Raised to end the program with an exit code and a message on standard error."""

    def __init__(self, code: int, message: str, problem: Answer | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.problem = problem or {"type": "about:blank", "title": message, "detail": message}


class Server:
    """Client of this worker's server. A call without an answer is retried."""

    answer_seconds = ANSWER_TIMEOUT_SECONDS
    #: Name of the command in messages.
    command = "spawn"
    #: True if a call got no answer. The server may have executed this call.
    has_lost_answer = False

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        try:
            self._client = StdlibClient(url, key)
        except ValueError as error:
            raise CommandEnd(USAGE, f"invalid ORCHESTRATOR_API_URL: {url!r}") from error

    def submit(self, body: Answer, idempotency_key: str) -> Answer:
        return self.call("POST", "/api/v1/orchestrate", body, idempotency_key)

    def wait(self, job_id: str) -> Answer:
        while True:
            answer = self.call("GET", f"/api/v1/jobs/{job_id}/wait?timeout={WAIT_SECONDS}")
            if answer.get("status") in EXIT_BY_JOB_STATUS:
                return answer

    def call(self, method: str, path: str, body: Answer | None = None, key: str = "") -> Answer:
        """Call the server, and return its answer. Retry a call that gets no answer.

        A retry has no further effect: calls about locks are idempotent, and a submission has the
        Idempotency-Key ``key``. Raise CommandEnd for an error answer, or if there is no answer.
        """

        def once() -> ServerReply:
            try:
                return self._client.request(
                    method, path, body, timeout=timeout, idempotency_key=key
                )
            except OSError:
                self.has_lost_answer = True
                raise

        timeout = self.answer_seconds + (WAIT_SECONDS if method == "GET" else 0)
        try:
            reply = call_with_retries(once, PATIENCE_SECONDS, waiting=self._report_silence)
        except OSError as error:
            message = f"no answer from the server at {self._url}: {error}"
            raise CommandEnd(UNREACHABLE, message) from error
        if 200 <= reply.status < 300:
            return reply.document
        body_problem = {"detail": reply.body[:200].decode("utf-8", "replace")}
        raise refusal(reply.status, reply.document or body_problem)

    def _report_silence(self, _seconds: float) -> None:
        report(f"no answer from the server; retrying for {PATIENCE_SECONDS} s", self.command)


def refusal(status: int, problem: Answer) -> CommandEnd:
    """Convert a server's error answer to a CommandEnd: exit code, errors, and remaining quota."""
    slug = str(problem.get("type") or "").rstrip("/").replace("#", "/").rpartition("/")[2]
    limit = status == 422 and (slug.startswith("limit") or slug in LIMIT_TYPES)
    detail = str(problem.get("detail") or problem.get("title") or f"HTTP {status}")
    errors = problem.get("errors")
    if isinstance(errors, list) and len(errors) > 1:
        parts = ((each["pointer"], each["detail"]) for each in errors)
        detail = "\n".join(": ".join(filter(None, each)) for each in parts)
    remaining = problem.get("left")
    if isinstance(remaining, dict) and remaining:
        detail += "\nremaining: " + ", ".join(
            f"{name} {value}" for name, value in remaining.items()
        )
    code = LIMIT if limit else EXIT_BY_HTTP_STATUS.get(status, FAILED)
    return CommandEnd(code, detail, {**problem, "status": status})


def parser() -> argparse.ArgumentParser:
    argument_parser = argparse.ArgumentParser(
        prog="orchestrator spawn",
        description="Start a child job from a worker. Prints the id of the job; with --wait, "
        "prints its results.",
        epilog="Exit codes: 0 ok, 1 failed or cancelled, 2 invalid arguments, 3 not found, "
        "4 invalid key, 5 no answer from the server, 6 partial (or completed, but in conflict with "
        "this worker's files), 7 limit reached, 130 interrupted.",
        # A fixed width, because reading the terminal's width at each start would load another
        # module.
        formatter_class=lambda prog: argparse.HelpFormatter(prog, width=80),
    )
    add = argument_parser.add_argument
    add("request", nargs="?", help="description of the work")
    add("--tasks", metavar="FILE", help="JSON file with the tasks; - for standard input")
    add(
        "--plan",
        metavar="FILE",
        help="file with request, config, and tasks, as JSON or (slower) YAML; - for standard "
        "input; options override the file's values",
    )
    add("--command", action="append", metavar="CMD", help="shell command of a task (repeatable)")
    add(
        "--max-workers",
        type=int,
        metavar="N",
        help="maximum number of workers that run in parallel",
    )
    add("--timeout", type=float, metavar="S", help="timeout of one attempt, in seconds")
    add("--agent", metavar="NAME", help="agent of tasks that name no agent")
    add(
        "--context",
        metavar="TEXT",
        help="shared context for all workers, in addition to the request",
    )
    add(
        "--context-file",
        action="append",
        metavar="PATH",
        help="file for all workers to read (repeatable)",
    )
    add("--wait", action="store_true", help="wait until the job has ended")
    add("--json", action="store_true", help="print the server's answer as JSON")
    add(
        "--idempotency-key",
        metavar="K",
        help="unique key; a second call with the same key starts no second job",
    )
    return argument_parser


def body_of(options: argparse.Namespace, depth: str | None) -> Answer:
    """Return the body of the submission. Raise CommandEnd for invalid options.

    ``depth``: depth of this worker's job, as text; None: unknown.
    """
    plan = read_plan(options.plan, options.request) if options.plan else {}
    tasks = tasks_of(options)
    request = options.request or "; ".join(options.command or ()) or plan.get("request")
    if not request and plan.get("tasks"):
        request = f"The tasks of {options.plan}"
    if not request:
        raise CommandEnd(
            USAGE, 'no request; pass it in quotes: orchestrator spawn "..."; all options: -h'
        )
    config = {
        "max_workers": options.max_workers,
        "default_timeout": options.timeout,
        "agent": options.agent,
        "context": options.context,
        "context_files": paths_of(options.context_file),
        "current_depth": int(depth) + 1 if depth and depth.isdigit() else None,
    }
    settings = {name: value for name, value in config.items() if value is not None}
    plan_config = plan.get("config")
    if isinstance(plan_config, dict):
        settings = {**plan_config, **settings}
    return {**plan, "request": request, "config": settings, **({"tasks": tasks} if tasks else {})}


def paths_of(names: list[str] | None) -> list[str] | None:
    """Return the absolute paths of files; None if ``names`` is empty or None.

    Absolute paths are necessary, because the server has another working directory. Raise CommandEnd
    if a path is not a file.
    """
    for name in names or ():
        if not os.path.isfile(name):
            raise CommandEnd(USAGE, f"--context-file {name} is not a file")
    return [os.path.realpath(name) for name in names] if names else None


def tasks_of(options: argparse.Namespace) -> list[Any]:
    sources = [f"--{name}" for name in ("command", "tasks", "plan") if getattr(options, name)]
    if len(sources) > 1:
        raise CommandEnd(USAGE, f"{' and '.join(sources)} conflict; pass one of them")
    if options.command:
        return [{"agent": "shell", "command": each} for each in options.command]
    return read_tasks(options.tasks) if options.tasks else []


def read_plan(name: str, request: str | None) -> Answer:
    """Return the plan in the file ``name``; ``-`` means standard input.

    ``request``: the request for a plan without a request. Raise CommandEnd if the plan cannot be
    read, or is invalid.
    """
    try:
        text = text_of(name)
    except (OSError, ValueError) as error:
        raise CommandEnd(USAGE, f"--plan {name} cannot be read: {error}") from error
    try:
        plan = json.loads(text)
    except ValueError as error:
        plan = read_yaml(name, text, request, str(error))
    if not isinstance(plan, dict):
        raise CommandEnd(
            USAGE, f"--plan {name} must contain an object with request, config, and tasks"
        )
    return plan


def read_yaml(name: str, text: str, request: str | None, why_not_json: str) -> object:
    # This process cannot import packages for YAML.
    from subprocess import run

    command = [sys.executable, "-P", "-m", "orchestrator.cli.plan.plan_file", name]
    command += [request] if request else []
    environ = {**os.environ, "PYTHONPATH": PRODUCT}
    environ.pop("PYTHONHOME", None)
    process = run(command, input=text.encode(), env=environ, capture_output=True)
    message = process.stderr.decode("utf-8", "replace").strip()
    if process.returncode == USAGE:
        raise CommandEnd(USAGE, message)
    try:
        return json.loads(process.stdout)
    except ValueError:
        raise CommandEnd(
            USAGE,
            f"--plan {name} is not valid JSON ({why_not_json}), and no YAML reader is installed; "
            "write the plan as JSON",
        ) from None


def text_of(name: str) -> str:
    with open(0 if name == "-" else name, encoding="utf-8-sig") as file:
        return file.read()


def read_tasks(name: str) -> list[Any]:
    try:
        tasks = json.loads(text_of(name))
    except OSError as error:
        raise CommandEnd(USAGE, f"--tasks {name} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise CommandEnd(USAGE, f"--tasks {name} is not valid JSON: {error}") from error
    tasks = tasks.get("tasks") if isinstance(tasks, dict) else tasks
    if not isinstance(tasks, list) or not tasks:
        raise CommandEnd(
            USAGE, f"--tasks {name} must contain a list of tasks, such as [{{...}}, {{...}}]"
        )
    return tasks


def connect() -> Server:
    return Server(*address(f'submit a job: {COMMAND} submit "..."'))


def address(advice: str) -> tuple[str, str]:
    """Return the server's URL and this worker's API key. Raise CommandEnd outside of a worker.

    ``advice``: what to do outside of workers.
    """
    if os.environ.get("ORCHESTRATOR_OFFLINE"):
        raise CommandEnd(
            UNREACHABLE,
            "child jobs and locks are not available, because this worker has no network "
            "(workers.sandbox.network: false); do the work in this worker",
        )
    url, key = os.environ.get("ORCHESTRATOR_API_URL"), os.environ.get("ORCHESTRATOR_API_KEY")
    if not url or not key:
        raise CommandEnd(
            USAGE,
            "not in a worker: ORCHESTRATOR_API_URL and ORCHESTRATOR_API_KEY are not set; "
            f"outside of workers, {advice}",
        )
    return url, key


def summary(answer: Answer) -> str:
    """Return an ended job's results as text: a line and the start of the output for each worker."""
    results = answer.get("results") or {}
    tasks = results.get("tasks") or []
    names = {name_of(task) for task in tasks}
    good = len({name_of(task) for task in tasks if task.get("status") in SUCCEEDED})
    lines = [f"job {answer['job_id']}: {answer['status']}, {good} of {len(names)} tasks succeeded"]
    if answer.get("reason"):
        lines.append(str(answer["reason"]))
    character_limit = min(SHOWN_CHARACTERS, SHOWN_IN_ALL // max(len(tasks), 1))
    for task in tasks:
        lines += task_lines(task, character_limit)
    lines += map(str, results.get("changes") or ())
    if results.get("final_report"):
        lines.append(f"report: {results['final_report']}")
    return "\n".join(lines)


def name_of(task: Answer) -> Any:
    # All candidates of a task share its name.
    return task.get("task_id") or task.get("worker_id")


def task_lines(task: Answer, character_limit: int) -> list[str]:
    """Return lines about a worker: its status, its output, and its directory.

    The output is cut to ``character_limit`` characters.
    """
    reason = f": {task['reason']}" if task.get("reason") else ""
    output = printable(str(task.get("output") or "")).strip()
    lines = output[:character_limit].splitlines()[:SHOWN_LINES]
    if len("\n".join(lines)) < len(output):
        lines.append(f"... (shortened; complete output: --json; log: {task.get('log')})")
    if task.get("workspace"):
        lines.append(f"directory: {task['workspace']}")
    choice = CHOICES.get(task.get("chosen", ""), "")
    head = f"[{task.get('worker_id')}] {task.get('status')}{choice}{reason}"
    return [head, *("  " + t for t in lines)]


def printable(text: str) -> str:
    return "".join(c for c in text if c in "\n\t" or (c >= " " and not "\x7f" <= c <= "\x9f"))


def report(message: str, command: str = "spawn") -> None:
    print(f"orchestrator {command}: {message}", file=sys.stderr, flush=True)


def spawn(options: argparse.Namespace) -> int:
    server = connect()
    body = body_of(options, os.environ.get("ORCHESTRATOR_DEPTH"))
    key = options.idempotency_key or os.urandom(16).hex()
    if not (key.isascii() and key.isprintable()):
        raise CommandEnd(USAGE, "--idempotency-key must contain printable ASCII characters only")
    accepted = server.submit(body, key)
    if accepted.get("duplicate"):
        job_id = accepted["job_id"]
        report(f"using job {job_id}, which exists already for this request or idempotency key")
    if not options.wait:
        print(json.dumps(accepted) if options.json else accepted["job_id"])
        return OK
    ended = server.wait(str(accepted["job_id"]))
    print(json.dumps(ended) if options.json else printable(summary(ended)), flush=True)
    if ended["status"] == "completed" and ended.get("not_in_parent"):
        return PARTIAL
    if ended["status"] != "completed":
        # Print this line last. If the worker then fails, its last line becomes its reason.
        report(f"child job {ended['job_id']} ended with status {ended['status']}")
    return EXIT_BY_JOB_STATUS[ended["status"]]


def main(arguments: list[str] | None = None) -> NoReturn:
    options = parser().parse_args(arguments)
    try:
        code = spawn(options)
        sys.stdout.flush()
    except CommandEnd as stop:
        text = f"orchestrator spawn: {printable(str(stop))}"
        print(json.dumps(stop.problem) if options.json else text, file=sys.stderr)
        code = stop.code
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        # The reader has exited. Prevent a second error when Python flushes the output at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = FAILED
    sys.exit(code)


if __name__ == "__main__":
    main()
