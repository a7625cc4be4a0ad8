"""Regular expressions that are compiled when they are first used."""

import re

import pytest

from orchestrator.core.text.lazy_pattern import lazy_pattern


def test_a_lazy_pattern_matches_as_a_compiled_one() -> None:
    late, compiled = lazy_pattern("(a+)b", re.IGNORECASE), re.compile("(a+)b", re.IGNORECASE)

    for text in ("AAB", "xab", ""):
        assert late.findall(text) == compiled.findall(text)
        assert late.sub("-", text) == compiled.sub("-", text)
        assert bool(late.fullmatch(text)) is bool(compiled.fullmatch(text))
    assert (late.pattern, late.flags, late.groups) == ("(a+)b", compiled.flags, 1)


def test_a_lazy_pattern_is_compiled_at_its_first_use() -> None:
    broken = lazy_pattern("(")

    with pytest.raises(re.error):
        broken.match("")
