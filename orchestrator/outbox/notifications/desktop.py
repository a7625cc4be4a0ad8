"""Shows notifications on the desktop of this machine, with notify-send, or osascript on macOS."""

import shutil
import subprocess

from orchestrator.outbox.delivery.http_sender import Outcome

TIMEOUT_SECONDS = 10.0
#: A script that gets the texts as arguments, so that no text becomes a part of the script.
_SCRIPT = "on run argv\ndisplay notification (item 2 of argv) with title (item 1 of argv)\nend run"


def command(title: str, text: str, *, urgent: bool) -> list[str] | None:
    """Return the command that shows a notification; None if no suitable program is installed."""
    if shutil.which("notify-send"):
        urgency = "critical" if urgent else "normal"
        return ["notify-send", "-a", "orchestrator", "-u", urgency, "--", title, text]
    if shutil.which("osascript"):
        return ["osascript", "-e", _SCRIPT, title, text]
    return None


def show(title: str, text: str, *, urgent: bool) -> Outcome:
    """Show a notification, and return the outcome. Never raises."""
    arguments = command(title, text, urgent=urgent)
    if arguments is None:
        return Outcome(error="notify-send is not installed; install libnotify", final=True)
    try:
        process = subprocess.run(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Outcome(error=f"{arguments[0]} failed: {type(error).__name__}", final=True)
    if process.returncode:
        reason = (
            f"{arguments[0]} failed with exit code {process.returncode}; "
            "run the server in a desktop session"
        )
        return Outcome(error=reason, final=True)
    return Outcome()
