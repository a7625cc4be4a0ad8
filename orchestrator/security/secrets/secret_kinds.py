"""Patterns of keys and passwords."""

import math
import re
from collections import Counter
from collections.abc import Sequence

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.text.lazy_pattern import lazy_pattern

PRIVATE_KEY = "private key"
_GENERIC = "value that looks like a secret"
#: Text that a person adds to a line to accept the line. Such a line is not reported.
ALLOWED = b"orchestrator: allow-secret"


@dataclass(frozen=True, slots=True)
class SecretKind:
    name: str
    pattern: re.Pattern[bytes]
    #: Every match of the pattern contains at least one of these texts.
    hints: tuple[bytes, ...]


def _kind(name: str, pattern: bytes, *hints: bytes) -> SecretKind:
    return SecretKind(name, lazy_pattern(pattern), hints)


KINDS = (
    _kind("AWS access key", rb"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b", b"AKIA", b"ASIA"),
    _kind(
        "GitHub token",
        rb"\bgh[pousr]_[A-Za-z0-9]{36,251}\b",
        *(b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_"),
    ),
    _kind("GitHub token", rb"\bgithub_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}\b", b"github_pat_"),
    _kind("GitLab token", rb"\bglpat-[A-Za-z0-9_-]{20,}", b"glpat-"),
    _kind("Slack token", rb"\bxox[abposr]-[A-Za-z0-9-]{10,}", b"xox"),
    _kind(
        "Slack webhook",
        rb"hooks\.slack\.com/services/T[A-Z0-9]{6,}/B[A-Z0-9]{6,}/[A-Za-z0-9]{20,}",
        b"hooks.slack.com",
    ),
    _kind(
        PRIVATE_KEY,
        # No NUL may follow, because a NUL follows these words in the binaries of programs that read
        # such keys.
        rb"-----BEGIN (?:[A-Z]{2,10} ){0,2}PRIVATE KEY(?: BLOCK)?-----(?!\0)",
        b"PRIVATE KEY",
    ),
    _kind("Google API key", rb"\bAIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])", b"AIza"),
    _kind("Anthropic key", rb"\bsk-ant-[A-Za-z0-9_-]{20,}", b"sk-ant-"),
    _kind("OpenAI key", rb"\bsk-(?:proj|svcacct|admin)-[A-Za-z0-9_-]{20,}", b"sk-"),
    _kind("OpenAI key", rb"\bsk-[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}\b", b"T3BlbkFJ"),
    _kind("Stripe key", rb"\b[rs]k_live_[A-Za-z0-9]{16,}", b"k_live_"),
    _kind("npm token", rb"\bnpm_[A-Za-z0-9]{36}\b", b"npm_"),
    _kind("PyPI token", rb"\bpypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,}", b"pypi-"),
    _kind("Hugging Face token", rb"\bhf_[A-Za-z]{34}\b", b"hf_"),
    _kind("SendGrid key", rb"\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}", b"SG."),
    _kind("Telegram token", rb"\b\d{8,10}:AA[A-Za-z0-9_-]{33}\b", b":AA"),
    _kind(
        "JSON Web Token",
        rb"\beyJ[A-Za-z0-9_-]{10,500}\.eyJ[A-Za-z0-9_-]{10,3000}\.[A-Za-z0-9_-]{10,500}",
        b"eyJ",
    ),
    _kind(
        "password in an address",
        rb"\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@'\"<>{}$]{1,64}:"
        rb"(?!(?i:password|passwd|pass|secret|user|postgres|root|admin|test|example|xxx+|\*+)@)"
        rb"[^\s:/@'\"<>{}$]{6,64}@(?!localhost|127\.0\.0\.1|(?:[a-z0-9-]+\.)*example\.)",
        b"://",
    ),
)

#: Assignments such as ``api_key = "..."``: reported if the value looks random.
_ASSIGNED = lazy_pattern(
    rb"(?i)(?:api[_-]?key|secret|token|passw(?:or)?d|credential|private[_-]?key|access[_-]?key)"
    rb"[a-z0-9_-]{0,20}['\"]?\s{0,4}(?::=|=>|=|:)\s{0,4}['\"](?P<value>[A-Za-z0-9+/_=.~-]{20,200})['\"]"
)
_ASSIGNED_HINTS = (b"key", b"secret", b"token", b"passw", b"credential")
#: Minimum entropy in bits per character; words and names have less.
LEAST_ENTROPY = 3.7


@dataclass(frozen=True, slots=True)
class Secret:
    kind: str
    value: bytes


def kinds_in(block: bytes) -> Sequence[SecretKind]:
    """Return the kinds of secrets that may occur in a block of lines.

    This check is fast. Search only for the returned kinds with ``find_secret``.
    """
    return [kind for kind in KINDS if any(hint in block for hint in kind.hints)]


def find_secret(
    line: bytes, kinds: Sequence[SecretKind] = KINDS, *, generic: bool = True
) -> Secret | None:
    if ALLOWED in line:
        return None
    for kind in kinds:
        if any(hint in line for hint in kind.hints):
            match = kind.pattern.search(line)
            if match:
                return Secret(kind.name, match[0])
    return _assigned_secret(line) if generic else None


def redacted(line: str) -> str:
    """Replace each secret in a line by the name of its kind."""
    text = line.encode("utf-8", "surrogatepass")
    while secret := find_secret(text):
        text = text.replace(secret.value, f"[{secret.kind}]".encode())
    return text.decode("utf-8", "surrogatepass")


def _assigned_secret(line: bytes) -> Secret | None:
    folded = line.lower()
    if not any(hint in folded for hint in _ASSIGNED_HINTS):
        return None
    values = (match["value"] for match in _ASSIGNED.finditer(line))
    random_value = next(filter(_looks_random, values), None)
    return Secret(_GENERIC, random_value) if random_value else None


def _looks_random(value: bytes) -> bool:
    classes = (rb"[a-z]", rb"[A-Z]", rb"[0-9]")
    is_mixed = sum(bool(re.search(each, value)) for each in classes) >= 2
    has_digits = sum(each in b"0123456789" for each in value) >= 3
    is_random = is_mixed and has_digits and _entropy(value) >= LEAST_ENTROPY
    return is_random and not _repeats(value)


def _repeats(value: bytes) -> bool:
    # Text that a person typed, as in tests, repeats parts. A random secret does not.
    parts = [value[at : at + 6] for at in range(len(value) - 5)]
    return len(set(parts)) < len(parts)


def _entropy(value: bytes) -> float:
    shares = [count / len(value) for count in Counter(value).values()]
    return -sum(share * math.log2(share) for share in shares)
