"""Classifies an error by its text or its HTTP status."""

import re

from orchestrator.core.model.attempt.attempt_result import ErrorClass
from orchestrator.core.text.formatting import cut_middle

#: Number of characters that are checked at the beginning and at the end of a long text.
CLIP = 4000

#: Matches errors of an account without credit. Such an error is never a rate limit, whatever its
#: HTTP status is, because waiting does not help.
_UNPAID = (
    r"credit balance is too low|insufficient_quota|quota exceeded\. check your plan"
    r"|payment required|billing hard limit"
)
#: Matches errors with status 403 that concern one model of the account. The login itself works.
_NO_MODEL_ACCESS = r"access to (?:the )?model|model_not_found"
_STATUS = r"\b(?:status(?: code)?|code|error|rejected|https?)[\"']?\W{0,3}(\d{3})\b"

#: Patterns of error texts by class. The first match decides. Compiled at the first use.
_WORDS: tuple[tuple[ErrorClass, str], ...] = (
    (
        ErrorClass.LIMIT,
        r"max(?:imum)?(?: number of)?(?: session)? turns|maximum budget|hit a token limit"
        r"|output token maximum|max_output_tokens|truncated because it exceeded the token limit"
        # A retry would send the same prompt, and fail with the same error.
        r"|prompt is too long|maximum context|context[ _](?:length|window)"
        r"|exceeds the maximum number of (?:input )?tokens",
    ),
    (ErrorClass.EMPTY, r"returned an empty response"),
    (
        ErrorClass.DECLINED,
        # Texts of OpenAI, Azure, and Anthropic; the last two are texts of Claude Code.
        r"content[ _](?:filter|management policy|policy violation)|safeguards flagged"
        r"|anthropic\.com/legal/aup",
    ),
    (
        ErrorClass.RATE_LIMIT,
        r"rate.?limit|too many requests|resource.?exhausted|overloaded"
        r"|(?:usage|session|weekly|hour|daily) limit|hit your .{0,20}limit"
        r"|(?<!disk )quota exceeded|your (?:current )?quota|quota.?error",
    ),
    (
        ErrorClass.AUTH,
        r"unauthori[sz]ed|unauthenticated|authenticat|forbidden|permission_denied"
        r"|not logged in|run /login|invalid (?:x-)?(?:api[ -])?key|incorrect api key"
        r"|api key (?:not valid|is missing|not found|expired|is invalid)"
        r"|missing environment variable|oauth token|token (?:has )?expired"
        r"|(?:set|missing|no|without)\b.{0,40}\b(?:api[ _-]keys?|auth\b)",
    ),
    (
        ErrorClass.CONFIG,
        r"cannot be used with root|not running in a trusted|command not found"
        r"|unknown (?:option|argument|command|flag)|unexpected argument"
        r"|unrecognized (?:option|argument)|invalid (?:value|option|configuration)"
        r"|session id .{0,80}already in use|required option"
        r"|model\b.{0,60}\b(?:not found|does not exist|not supported)",
    ),
    (
        ErrorClass.API,
        r"econn|etimedout|enotfound|fetch failed|network|timed? ?out|connection"
        r"|stream disconnected|high demand|server.?error|bad gateway|unavailable"
        # "database is locked": another program of the same user has locked the program's database.
        r"|database is locked",
    ),
)


#: Texts that only an internal error of a program prints. "TypeError: fetch failed" is node's
#: network error.
_INTERNAL = (
    r"\bpanicked at\b|ReferenceError: |SyntaxError: |RangeError: |Cannot read propert"
    r"|is not a function\b|is not iterable\b|heap out of memory|^FATAL ERROR: |\binternal error\b"
    r"|unhandled (?:promise )?rejection|assertion (?:`.*` )?failed|AssertionError"
    r"|segmentation fault|core dumped|ERR_(?:INTERNAL_ASSERTION|MODULE_NOT_FOUND)"
    r"|^(?:Attribute|Type|Key|Index|Name|Import|ModuleNotFound)Error: (?!fetch failed|terminated)"
)


def is_internal(text: str) -> bool:
    return bool(re.search(_INTERNAL, clipped(text), re.I | re.M))


def of_status(status: int | None) -> ErrorClass:
    """Return the class of an HTTP status; NONE if the status alone does not indicate a class.

    400 and 422 are ambiguous: the cause may be an invalid key or a broken conversation. The result
    is also NONE if there is no status.
    """
    if status in (401, 403):
        return ErrorClass.AUTH
    if status == 402:
        return ErrorClass.CREDIT
    if status in (429, 529):
        return ErrorClass.RATE_LIMIT
    if status in (404, 405):
        return ErrorClass.CONFIG
    if status == 413:
        return ErrorClass.LIMIT
    return ErrorClass.API if status in (408, 409, 425) or (status or 0) >= 500 else ErrorClass.NONE


def classify(
    text: str, status: int | None = None, otherwise: ErrorClass = ErrorClass.API
) -> ErrorClass:
    """Return the class of an error, by its text and its HTTP status.

    Return ``otherwise`` if neither the text nor the status indicates a class.
    """
    words = clipped(text)
    if re.search(_UNPAID, words, re.I):
        return ErrorClass.CREDIT
    status = status or status_in(words)
    if status == 403 and re.search(_NO_MODEL_ACCESS, words, re.I):
        return ErrorClass.CONFIG
    kind = of_status(status)
    if kind is not ErrorClass.NONE:
        return kind
    return next((kind for kind, pattern in _WORDS if re.search(pattern, words, re.I)), otherwise)


def status_in(text: str) -> int | None:
    """Return the last HTTP error status (400 to 599) in a text; None if the text has no status."""
    statuses = [int(digits) for digits in re.findall(_STATUS, clipped(text), re.I)]
    return next((each for each in reversed(statuses) if 400 <= each < 600), None)


def clipped(text: str) -> str:
    return cut_middle(text, CLIP, " ... ")
