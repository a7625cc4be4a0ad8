"""Scripts of the model's answers for the tests of real tools."""

import json

from tests.agents.model_api import Call, Script, Tokens, Turn

COMMIT = (
    "git add a.txt && git commit -q -m 'work of the agent' && "
    "git log -1 --format=%an > author.txt; git push https://127.0.0.1:9/x HEAD 2> push.txt; "
    "bash -lc 'command -v orchestrator' > where.txt"
)
#: Starts a child job and waits for it. Gemini rejects a command with another command in "$()".
BY_HTTP = """\
curl -fsS -X POST "$ORCHESTRATOR_API_URL/api/v1/orchestrate" -H "X-API-Key: $ORCHESTRATOR_API_KEY" \
-H 'Content-Type: application/json' --data '%s' | sed 's/.*"job_id": *"\\([^"]*\\)".*/\\1/' | \
{ read -r id && curl -fsS "$ORCHESTRATOR_API_URL/api/v1/jobs/$id/wait?timeout=60" \
-H "X-API-Key: $ORCHESTRATOR_API_KEY" > child.json; }"""


def shell(*commands: str) -> tuple[Call, ...]:
    return tuple(Call.shell(command) for command in commands)


def work(cache_read: int = 0) -> Script:
    """Return a script of three turns: create a file with the agent's tool, commit, answer."""
    return Script.of(
        Turn("I begin.", (Call.write("a.txt", "of the agent"),)),
        Turn(calls=shell(COMMIT), tokens=Tokens(input=200, output=40, cache_read=cache_read)),
        Turn("RESULT done"),
    )


def child_tasks(word: str) -> list[dict[str, str]]:
    return [{"id": word, "agent": "shell", "command": f"echo {word} > {word}.txt"}]


def parent(*, commands: bool) -> Script:
    """Return a script that starts a child job by MCP.

    With ``commands``, the script also starts one child job by a command and one by HTTP.
    """
    body = json.dumps({"request": "By HTTP", "tasks": child_tasks("http")})
    mcp = Call.mcp("orchestrate", request="By MCP", tasks=child_tasks("mcp"))
    command = "orchestrator spawn 'By command' --command 'echo > command.txt' --wait"
    by_command = [Turn(calls=shell(command)), Turn(calls=shell(BY_HTTP % body))]
    return Script.of(
        Turn(calls=(mcp,)),
        *(by_command if commands else ()),
        Turn("RESULT all of them"),
    )


def hanging() -> Script:
    """Return a script that starts two background processes, one of them in a separate session."""
    return Script.shell("setsid sleep 601 & echo $$ > begun.txt; sleep 602")


FOREVER = Script.of(Turn(calls=shell("true")), endless=True)


def part(name: str) -> Script:
    return Script.of(Turn(calls=(Call.write(f"{name}.txt", name),)), Turn(f"PART of {name}"))


def whole(way: str, *agents: str) -> Script:
    """Return a script that starts a child job with one task for each agent.

    ``way``: "MCP" or "HTTP"; any other text means ``orchestrator spawn``.
    """
    tasks = [
        {"id": name, "agent": name, "prompt": f"Your part. [[script:part-{name}]]"}
        for name in agents
    ]
    plan = {"request": f"The parts by {way}", "tasks": tasks}
    if way == "MCP":
        call = Call.mcp("orchestrate", **plan)
    elif way == "HTTP":
        call = Call.shell(BY_HTTP % json.dumps(plan))
    else:
        call = Call.shell(f"printf %s '{json.dumps(plan)}' | orchestrator spawn --plan - --wait")
    return Script.of(Turn(calls=(call,)), Turn("RESULT whole"))


PLAN = {
    "tasks": [
        {
            "id": "a",
            "title": "Part a",
            "prompt": "Make a.txt. [[script:part-a]]",
            "depends_on": [],
            "role": "backend",
            "files": ["a.txt"],
            "gates": [],
            "workdir": None,
            "locks": [],
        }
    ]
}
#: Tools with which an agent returns JSON; other agents print it.
ANSWERS = {"claude": "StructuredOutput", "anthropic": "answer"}


def plan(agent: str) -> Script:
    if agent in ANSWERS:
        return Script.of(Turn(calls=(Call(ANSWERS[agent], PLAN),)), Turn("There it is"))
    before = "Here it is:\n" if agent in PROMPTED_SCHEMA else ""
    return Script.of(Turn(before + json.dumps(PLAN)))


#: Agents that get the schema in their prompt.
PROMPTED_SCHEMA = ("gemini", "opencode")


#: Each tool's writing tools, which a read-only attempt does not offer.
WRITERS = {
    "claude": Call("Write", {"file_path": "a.txt", "content": "x"}),
    "codex": Call("exec_command", {"cmd": "echo x > a.txt"}),
    "gemini": Call("write_file", {"file_path": "a.txt", "content": "x"}),
    "opencode": Call("write", {"filePath": "a.txt", "content": "x"}),
}


def trespass(agent: str) -> Script:
    """Return a script that tries to write, by a tool and by a command, despite the policy."""
    writer = WRITERS.get(agent, Call("write", {"path": "a.txt", "content": "x"}))
    return Script.of(
        Turn(calls=(writer,)), Turn(calls=shell("echo x > b.txt")), Turn("RESULT tried")
    )
