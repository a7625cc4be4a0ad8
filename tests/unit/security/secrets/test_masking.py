"""The log has no secret in any encoding or split. All other text is unchanged."""

import base64
import json
import re
from itertools import pairwise
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.security.secrets.masking import MASK, Masker, secrets_in

#: Without a deadline, because a busy machine is slow.
unhurried = settings(deadline=None)

# Few letters, so that secrets overlap with each other, with themselves, and with the text.
secrets_of = st.lists(st.text("abc/é ", min_size=6, max_size=14), min_size=1, max_size=4)
words = st.text("abc/é \n", max_size=12)


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[str], bytes, list[bytes]]:
    """Secrets, a text with some of them, and the text in pieces."""
    secrets = draw(secrets_of)
    parts = draw(st.lists(st.one_of(words, st.sampled_from(secrets)), max_size=12))
    raw = "".join(parts).encode()
    cuts = sorted(draw(st.lists(st.integers(0, len(raw)), max_size=8)))
    ends = [0, *cuts, len(raw)]
    return secrets, raw, [raw[a:b] for a, b in pairwise(ends)]


def masked(secrets: list[str], pieces: list[bytes]) -> bytes:
    masker = Masker(secrets)
    return b"".join(masker.feed(piece) for piece in pieces) + masker.finish()


def by_definition(secrets: list[str], raw: bytes) -> bytes:
    """Mask every byte inside any form of a secret; adjacent bytes share one mask."""
    spans = sorted(
        (at, at + len(form))
        for forms in Masker(secrets)._forms
        for form in forms
        for at in range(len(raw))
        if raw.startswith(form, at)
    )
    output, position, hidden_to = b"", 0, 0
    for start, stop in spans:
        if start >= hidden_to:
            output += raw[position:start] + MASK
        hidden_to = position = max(hidden_to, stop)
    return output + raw[position:]


@unhurried
@given(streams())
def test_a_secret_never_appears_however_the_stream_is_cut(
    stream: tuple[list[str], bytes, list[bytes]],
) -> None:
    secrets, _, pieces = stream
    output = masked(secrets, pieces)
    assert not any(secret.encode() in output for secret in secrets)


@unhurried
@given(streams())
def test_everything_that_is_no_secret_appears(
    stream: tuple[list[str], bytes, list[bytes]],
) -> None:
    secrets, raw, pieces = stream
    assert joined(masked(secrets, pieces)) == joined(by_definition(secrets, raw))


def joined(output: bytes) -> bytes:
    """Join neighbouring masks, because their number depends on where the stream is cut."""
    return re.sub(rb"(?:" + re.escape(MASK) + rb")+", MASK, output)


def test_a_secret_that_overlaps_itself_is_hidden_whole() -> None:
    secrets, raw = ["aaaaaaaaaaa/a\u00e9", "aaaaaa"], b"a" * 50 + "/a\u00e9".encode() + b"a" * 12

    assert joined(masked(secrets, [raw])) == MASK


@unhurried
@given(streams())
def test_silence_between_the_pieces_shows_no_secret(
    stream: tuple[list[str], bytes, list[bytes]],
) -> None:
    secrets, raw, pieces = stream
    masker = Masker(secrets)
    output = b""
    for piece in pieces:
        output += masker.feed(piece) + masker.release() + masker.release()
    output += masker.finish()
    assert not any(secret.encode() in output for secret in secrets)
    hidden = by_definition(secrets, raw)
    assert output.replace(MASK, b"").startswith(hidden.split(MASK)[0])


@unhurried
@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_without_secrets_all_bytes_pass_at_once(raw: bytes, cuts: list[int]) -> None:
    ends = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    masker = Masker(())
    for a, b in pairwise(ends):
        assert masker.feed(raw[a:b]) == raw[a:b]
    assert masker.finish() == b""


@unhurried
@given(
    st.text(min_size=6, max_size=40),
    st.binary(max_size=7),
    st.binary(max_size=7),
    st.integers(1, 9),
)
def test_a_secret_inside_of_base64_is_masked(
    secret: str, before: bytes, after: bytes, size: int
) -> None:
    if not secret.isprintable():
        secret = "p" + "".join(c for c in secret if c.isprintable()).ljust(6, "q")
    raw = before + secret.encode() + after
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        text = encode(raw)
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        output = masked([secret], pieces)
        assert MASK in output
        # Outside the mask, only bits of the secret remain that share a character with other bytes.
        start, end = len(before) * 8 // 6, -(-(len(before) + len(secret.encode())) * 8 // 6)
        assert len(output) <= len(text) - (end - start - 2) + len(MASK)


@pytest.mark.slow
@pytest.mark.parametrize("line_break", [b"\n", b"\r\n", b"\\n", b"\\r\\n", b"\\\\n"])
def test_a_secret_is_masked_that_base64_breaks_into_lines(line_break: bytes) -> None:
    secret = "key-0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOPQRSTUVWXYZ-98765"
    for offset in range(80):
        text = base64.b64encode(b"." * offset + secret.encode() + b"." * 9)
        lines = [text[at : at + 76] for at in range(0, len(text), 76)]
        broken = line_break.join(lines) + line_break
        clean = Masker([secret]).text(text.decode()).encode()
        # Only line breaks inside of the mask are removed.
        assert without(line_break, masked([secret], [broken])) == without(line_break, clean)
        for cut in range(0, len(broken), 7):
            pieces = [broken[:cut], broken[cut:]]
            assert without(line_break, masked([secret], pieces)) == without(line_break, clean)


def without(line_break: bytes, text: bytes) -> bytes:
    assert text.count(MASK) == 1
    return text.replace(line_break, b"")


def test_lines_around_a_secret_in_base64_are_unchanged() -> None:
    written = base64.b64encode(b"key-0123456789ab")
    text = b"one\n\n" + written + b"\n\ntwo\r\n"
    assert masked(["key-0123456789ab"], [text]) == b"one\n\n***g==\n\ntwo\r\n"


def test_a_line_that_ends_like_the_beginning_of_base64_is_shown_after_a_silence() -> None:
    masker = Masker(["key-0123456789ab"])
    begins = base64.b64encode(b"key-0123456789ab")[:2]
    assert masker.feed(b"see " + begins + b"\n") == b"see "
    assert masker.release() == begins + b"\n"


@pytest.mark.parametrize(
    "secret", ["a b/c+d&e", "it's (a) *~/!", "pässword/é", 'quo"te\\back\nline', "plain-key-1"]
)
def test_a_secret_is_masked_in_urls_and_json(secret: str) -> None:
    for written in (
        secret,
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        quote(secret, safe="!'()*"),  # encodeURIComponent of JavaScript
        quote(secret, safe="!'()*;,/?:@&=+$#"),  # encodeURI
        quote_plus(secret, safe="*").replace("~", "%7E"),  # forms of browsers
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        json.dumps(secret).replace("/", "\\/")[1:-1],
        json.dumps(secret, ensure_ascii=False).replace("&", "\\u0026")[1:-1],
        json.dumps(json.dumps(secret)[1:-1])[1:-1],
        json.dumps(json.dumps(secret, ensure_ascii=False)[1:-1])[1:-1],
        json.dumps(json.dumps(secret, ensure_ascii=False)[1:-1], ensure_ascii=False)[1:-1],
    ):
        text = f"key={written};".encode()
        for cut in range(len(text)):
            assert masked([secret], [text[:cut], text[cut:]]) == b"key=***;", written


def test_short_secrets_are_no_secrets() -> None:
    assert masked(["short", ""], [b"a short text"]) == b"a short text"


def test_a_short_beginning_of_a_secret_is_shown_after_a_silence() -> None:
    masker = Masker(["key-0123456789ab"])
    assert masker.feed(b"see k") == b"see "
    assert masker.release() == b"k"
    assert masker.release() == b""
    assert masker.feed(b"ey-0123456789ab.") == b"***."


def test_a_long_beginning_of_a_secret_is_held_back_until_the_stream_continues() -> None:
    masker = Masker(["key-0123456789ab"])
    assert masker.feed(b"see key-01") == b"see "
    assert masker.release() == b""
    assert masker.feed(b"!") == b"key-01!"


def test_a_flood_of_one_repeated_secret_is_one_mask_and_bounded() -> None:
    masker = Masker(["aaaaaa"])
    output = b"".join(masker.feed(b"a" * 1000) for _ in range(20))
    assert output == MASK
    assert len(masker._held) < 6
    assert masker.finish() == b""


def test_a_single_text_is_masked_separately_from_the_stream() -> None:
    masker = Masker(["secret-1"])
    assert masker.feed(b"secr") == b""
    assert masker.text("run secret-1 now") == "run *** now"
    assert masker.feed(b"et-1") == MASK


def test_secrets_are_known_by_the_names_of_their_variables() -> None:
    environment = {
        "ORCHESTRATOR_API_KEY": "key-value",
        "my_password": "pass-value",
        "GITHUB_TOKEN": "token-value",
        "SHORT_KEY": "abc",
        "LANG": "C.UTF-8",
    }

    assert set(secrets_in(environment)) == {"key-value", "pass-value", "token-value"}
    # The identity of an agent's commits is in all its logs.
    assert secrets_in({"GIT_AUTHOR_NAME": "orchestrator"}) == ()
    assert secrets_in({"AUTHORIZATION": "Bearer 123"}) == ("Bearer 123",)


@pytest.mark.parametrize("name", ["GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL"])
def test_an_authors_name_is_no_secret(name: str) -> None:
    assert secrets_in({name: "orchestrator"}) == ()
    assert secrets_in({"AUTHORIZATION": "a-secret", "PROXY_AUTH": "another"}) != ()
