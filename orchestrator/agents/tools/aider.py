"""aider: edits files and says in words what it did; runs no tools, so it starts no child jobs."""

from orchestrator.agents.tools.call import Ask, Call

_PLAIN = (
    *("--no-pretty", "--no-stream", "--no-fancy-input", "--no-show-model-warnings"),
    *("--no-check-update", "--no-analytics", "--no-show-release-notes", "--no-gitignore"),
    *("--no-detect-urls", "--disable-playwright"),
)


def call(ask: Ask) -> Call:
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
    return Call(
        argv=tuple(argv),
        reader="aider",
        env={"OPENAI_API_BASE": given or url} if given or url else {},
        files={history / "input": ""},
        prompt_on_stdin=False,
    )


def _policy(ask: Ask) -> list[str]:
    if ask.policy == "read-only":
        return ["--dry-run", "--no-suggest-shell-commands", "--no-auto-commits"]
    return [] if ask.policy == "full" else ["--no-suggest-shell-commands"]
