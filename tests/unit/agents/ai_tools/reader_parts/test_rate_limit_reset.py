"""Reset times of accounts, in the providers' wording."""

from datetime import UTC, datetime

import pytest

from orchestrator.agents.ai_tools.reader_parts.rate_limit_reset import resets_at


def at(stamp: str) -> float:
    return datetime.fromisoformat(stamp).replace(tzinfo=UTC).timestamp()


#: A Saturday in winter.
NOW = at("2026-11-21T18:00:00")


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("Rate limit reached for gpt-5. Please try again in 20s.", 20),
        ("Please try again in 1.898s. Visit https://platform.openai.com", 1.898),
        ("Please try again in 250ms", 0.25),
        ("Please try again in 6m0s.", 360),
        ("try again in 3 hours 12 minutes.", 3 * 3600 + 12 * 60),
        ("You've hit your usage limit. Try again in 2 days, 3 hours and 4 minutes", 183840),
        ("Please retry in 20.5s.", 20.5),
        ('"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"37s"', 37),
        ("Your quota will reset after 2h3m4s.", 7384),
        ("retry-after: 30", 30),
        ("Retry-After: 2 ", 2),
        ('{"retry-after": "120"}', 120),
        ("retry-after-ms: 1500", 1.5),
        ("API Error (429); retry-after: 7", 7),
    ],
)
def test_a_time_that_is_so_far_away(words: str, seconds: float):
    assert resets_at(words, NOW) == pytest.approx(NOW + seconds)


@pytest.mark.parametrize(
    ("words", "when"),
    [
        ("Claude AI usage limit reached|1795300000", "2026-11-21T22:26:40"),
        ('"resetsAt":1795300000000', "2026-11-21T22:26:40"),
        ("x-ratelimit-reset: 1795300000", "2026-11-21T22:26:40"),
        ("limit resets at 2026-11-22T08:00:00Z", "2026-11-22T08:00:00"),
        ("resets at 2026-11-22 08:00 +0200", "2026-11-22T06:00:00"),
        ("retry-after: Sun, 22 Nov 2026 07:28:00 GMT", "2026-11-22T07:28:00"),
        ("You've hit your limit \u00b7 resets 11pm (UTC)", "2026-11-21T23:00:00"),
        ("5-hour limit reached \u2219 resets 3am (Europe/Berlin)", "2026-11-22T02:00:00"),
        ("session limit, resets 12:30pm (America/New_York)", "2026-11-22T17:30:00"),
        ("resets 12am (UTC)", "2026-11-22T00:00:00"),
        ("weekly limit reached, resets Nov 25, 5pm (Asia/Tokyo)", "2026-11-25T08:00:00"),
        ("resets Jan 3, 2027, 1:05am (UTC)", "2027-01-03T01:05:00"),
        ("resets Jan 3 at 1am (UTC)", "2027-01-03T01:00:00"),
        ("try again at 6:15 PM UTC or buy more", "2026-11-21T18:15:00"),
        ("resets at 17:00 UTC", "2026-11-22T17:00:00"),
        # In the current minute, not tomorrow.
        ("try again at 6:00 PM UTC", "2026-11-21T18:01:00"),
        ("try again at 17:59 UTC", "2026-11-21T18:00:00"),
        ("try again at 17:57 UTC", "2026-11-22T17:57:00"),
        ("resets at midnight Pacific time", "2026-11-22T08:00:00"),
        ("quota resets at 9:15 PM PST", "2026-11-22T05:15:00"),
        # Daylight saving time applies on July 1, although it does not apply today.
        ("resets Jul 1, 2027, 9am (Europe/Berlin)", "2027-07-01T07:00:00"),
    ],
)
def test_a_time_by_the_clock(words: str, when: str):
    assert resets_at(words, NOW) == at(when)


def test_a_time_of_day_without_a_zone_is_that_of_this_machine(monkeypatch: pytest.MonkeyPatch):
    here = datetime.fromtimestamp(NOW).astimezone()
    found = resets_at("or try again at 9:15 PM.", NOW)
    assert found is not None and NOW < found <= NOW + 86400
    assert datetime.fromtimestamp(found, here.tzinfo).strftime("%H:%M") == "21:15"
    assert resets_at("try again at 9:15 PM or buy more", NOW) == found
    assert resets_at("try again at Dec 3rd, 2026 9:15 PM", NOW) is not None


@pytest.mark.parametrize(
    "words",
    [
        *("", "Too Many Requests", "try again later", "try again in a moment", "resets soon"),
        *("resets 3pm (Nowhere/Atall)", "resets 3pm (../../etc/passwd)", "resets 27:99 UTC"),
        *("resets Feb 31, 3pm (UTC)", "resets at 2026-99-99T00:00:00Z", "retry-after: never"),
        *("try again in 99999999999999999 days", "usage limit reached|9999999999999"),
        *("resets 99pm (UTC)", "the reset of 3 things"),
    ],
)
def test_a_text_without_a_reset_time_has_none(words: str):
    assert resets_at(words, NOW) is None


def test_a_huge_text_is_read_fast():
    assert resets_at("try again in " + "1 s, " * 200_000 + "resets " * 100_000, NOW) is not None
