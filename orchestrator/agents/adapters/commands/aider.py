"""aider: edits files and reports in prose; runs no tools, so it starts no child jobs."""

from orchestrator.agents.adapters.invocation.call import AgentCall, Ask
from orchestrator.agents.adapters.invocation.shell_env import shell_environment, shell_files
from orchestrator.agents.events.session_follower import SessionFile

_PLAIN = (
    *("--no-pretty", "--no-stream", "--no-fancy-input", "--no-show-model-warnings"),
    *("--no-check-update", "--no-analytics", "--no-show-release-notes", "--no-gitignore"),
    *("--no-detect-urls", "--disable-playwright"),
    # What is left is committed for it; a message of its own costs a call that it does not tell.
    *("--no-auto-commits", "--no-dirty-commits"),
)
#: It breaks its lines, errors among them, at the width of a terminal, 80 where there is none.
_WIDTH = "10000"
#: Its index of the project's names; no option moves it elsewhere.
_TAGS = ".aider.tags.cache.v*"


def call(ask: Ask) -> AgentCall:
    history = ask.control / "aider"
    argv = [*ask.command, "--message-file", str(ask.directory / "prompt.md"), *_PLAIN]
    argv += ["--yes-always", *_policy(ask)]
    # It would leave these in the directory where it works.
    argv += ["--input-history-file", str(history / "input")]
    argv += ["--chat-history-file", str(history / "chat.md")]
    if ask.model:
        argv += ["--model", ask.model]
    url = ask.environ.get("OPENAI_BASE_URL", "")
    given = ask.environ.get("OPENAI_API_BASE", "")
    return AgentCall(
        argv=tuple(argv),
        reader="aider",
        env={
            "COLUMNS": _WIDTH,
            # It opens pages of its manual on some errors.
            "BROWSER": "true",
            # Else it waits for a price list from the network at each start.
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            **({"OPENAI_API_BASE": given or url} if given or url else {}),
            **shell_environment(ask),
        },
        files={history / "input": "", **shell_files(ask)},
        # There the model's words stand apart from its own.
        session=SessionFile(history, "chat.md"),
        prompt_on_stdin=False,
        litter=(_TAGS,),
    )


def _policy(ask: Ask) -> list[str]:
    if ask.policy == "read-only":
        return ["--dry-run", "--no-suggest-shell-commands"]
    return [] if ask.policy == "full" else ["--no-suggest-shell-commands"]
