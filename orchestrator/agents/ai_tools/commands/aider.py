"""Creates the call of aider: its arguments, files, and environment.

aider edits files and answers in prose. It runs no tools, so it cannot start child jobs.
"""

from orchestrator.agents.activity.session_follower import SessionFile
from orchestrator.agents.ai_tools.invocation.call import (
    AgentCall,
    CallInputs,
    shell_environment,
    shell_files,
)

_PLAIN = (
    *("--no-pretty", "--no-stream", "--no-fancy-input", "--no-show-model-warnings"),
    *("--no-check-update", "--no-analytics", "--no-show-release-notes", "--no-gitignore"),
    *("--no-detect-urls", "--disable-playwright"),
    # The orchestrator commits for aider. aider itself would call the model for each commit message
    # without a report of the usage.
    *("--no-auto-commits", "--no-dirty-commits"),
)
#: Width of aider's terminal, in columns (default without a terminal: 80). aider wraps all lines at
#: this width. The reader does not recognize wrapped errors.
_WIDTH = "10000"
#: Pattern of the directory in which aider stores its index of the project's symbols. aider has no
#: option to create this directory elsewhere.
_TAGS = ".aider.tags.cache.v*"


def call(inputs: CallInputs) -> AgentCall:
    history = inputs.control / "aider"
    argv = [*inputs.command, "--message-file", str(inputs.directory / "prompt.md"), *_PLAIN]
    argv += ["--yes-always", *_policy(inputs)]
    # Without these options, aider writes the two history files into its working directory.
    argv += ["--input-history-file", str(history / "input")]
    argv += ["--chat-history-file", str(history / "chat.md")]
    if inputs.model:
        argv += ["--model", inputs.model]
    url = inputs.environ.get("OPENAI_BASE_URL", "")
    api_base = inputs.environ.get("OPENAI_API_BASE", "")
    return AgentCall(
        argv=tuple(argv),
        reader="aider",
        env={
            "COLUMNS": _WIDTH,
            # After some errors, aider opens a page of its manual in the browser. The program "true"
            # does nothing, so no browser starts.
            "BROWSER": "true",
            # Use aider's built-in price list, so that aider does not wait for a list from the
            # network.
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            **({"OPENAI_API_BASE": api_base or url} if api_base or url else {}),
            **shell_environment(inputs),
        },
        files={history / "input": "", **shell_files(inputs)},
        # The chat history separates the model's words from aider's own output.
        session=SessionFile(history, "chat.md"),
        prompt_on_stdin=False,
        litter=(_TAGS,),
    )


def _policy(inputs: CallInputs) -> list[str]:
    if inputs.policy == "read-only":
        return ["--dry-run", "--no-suggest-shell-commands"]
    return [] if inputs.policy == "full" else ["--no-suggest-shell-commands"]
