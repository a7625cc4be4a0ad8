"""Colors of output, by meaning, such as good or bad. Text is complete without colors."""

from collections.abc import Callable, Mapping
from typing import TextIO

from orchestrator.core.lazy_dataclass import dataclass

FORCING = ("FORCE_COLOR", "CLICOLOR_FORCE")

_GREEN, _RED, _YELLOW, _CYAN, _DIM, _BOLD, _RESET = (
    f"\x1b[{code}m" for code in (32, 31, 33, 36, 2, 1, 0)
)


@dataclass(frozen=True, kw_only=True)
class Style:
    """Adds colors to text for one output stream. If ``is_on`` is False, text is unchanged."""

    is_on: bool

    def good(self, text: str) -> str:
        return self._colored(_GREEN, text)

    def bad(self, text: str) -> str:
        return self._colored(_RED, text)

    def waiting(self, text: str) -> str:
        return self._colored(_YELLOW, text)

    def busy(self, text: str) -> str:
        return self._colored(_CYAN, text)

    def dim(self, text: str) -> str:
        return self._colored(_DIM, text)

    def bold(self, text: str) -> str:
        return self._colored(_BOLD, text)

    def of(self, meaning: str) -> Callable[[str], str]:
        """Return the function that colors text for a meaning, such as ``good``.

        For an unknown meaning, the function returns the text unchanged.
        """
        functions: Mapping[str, Callable[[str], str]] = {
            "good": self.good,
            "bad": self.bad,
            "waiting": self.waiting,
            "dim": self.dim,
        }
        return functions.get(meaning, str)

    def _colored(self, code: str, text: str) -> str:
        return f"{code}{text}{_RESET}" if self.is_on and text else text


def style_of(environ: Mapping[str, str], stream: TextIO) -> Style:
    """Return the style of an output stream.

    Environment variables may force or forbid colors. Otherwise, only a terminal gets colors.
    """
    preference = wants_color(environ)
    return Style(is_on=stream.isatty() if preference is None else preference)


def wants_color(environ: Mapping[str, str]) -> bool | None:
    """Return True if the environment forces colors, False if it forbids them, otherwise None.

    NO_COLOR and TERM=dumb forbid colors. FORCE_COLOR and CLICOLOR_FORCE force them.
    """
    if environ.get("NO_COLOR") or environ.get("TERM") == "dumb":
        return False
    is_forced = any(environ.get(name, "0") not in ("", "0") for name in FORCING)
    return True if is_forced else None
