"""Classifies the sentences of a request: requests for work, and instructions on how to do the work.

Only English is recognized. If any sentence is not recognized, the whole request becomes one task.
"""

import re
from collections.abc import Sequence
from enum import Enum

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.text.lazy_pattern import lazy_pattern


def _any_of(alternatives: str) -> str:
    return "(?:" + "|".join(line.strip() for line in alternatives.strip().splitlines()) + ")"


#: Matches the text between two sentences, with the beginning of the second sentence.
_BETWEEN = lazy_pattern(
    r"(?<=[.!?])(?P<closing>[\"')\]]*)\s+(?=[\"'(\[`]*(?P<first>[^\W_]))"
    r"|(?<=[。！？])\s*(?=[^\s。！？”’」』）])"
    r"|\n[^\S\n]*\n\s*(?=\S)"
)
_ABBREVIATION = lazy_pattern(r"(?:\b(?:e\.g|i\.e|etc|vs|cf|no|approx|Mr|Ms|Dr|St)\.|\b[A-Z]\.)$")
#: Number of characters at the end of a sentence that are searched for an abbreviation.
_TAIL = 12
#: Maximum number of characters that are read to classify a sentence.
_MOST_READ = 400


class Mood(Enum):
    #: The sentence requests work.
    WORK = "work"
    #: The sentence describes how to do the work, or a condition for its result.
    CONDITION = "condition"
    #: The sentence is a greeting, thanks, or a wish.
    COURTESY = "courtesy"
    #: The sentence states a fact.
    STATEMENT = "statement"
    #: The sentence was not understood.
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sentence:
    text: str
    mood: Mood


#: Matches words before the verb that do not change the request, such as "please" or "could you".
_LEAD = lazy_pattern(
    _any_of(
        r"""
        (?:hi|hello|hey|dear|good (?:morning|evening))\b(?: (?!please\b)\w+){0,2}[,!.:]?\s+
        (?:please|kindly|now|also|and|then|next|so|ok|okay|just|simply|carefully|quickly)\b[,:]?\s+
        (?:first(?:ly)?|second(?:ly)?|third(?:ly)?|finally|lastly|afterwards|after that)\b[,:]?\s+
        (?:in addition|additionally|at the end)\b[,:]?\s+
        (?:can|could|would|will) (?:you|u|we)\s+
        (?:i|we)(?: would|'d|’d)?(?: really)? (?:want|need|like)(?: you)? to\s+
        (?:let's|let’s|let us|help me(?: to)?|help us(?: to)?|try to|go ahead and)\s+
        you (?:should|must|have to|need to|are to)\s+
        (?:your|the|my) (?:task|job|goal|aim) is to\s+
        """
    )
    + "+",
    re.IGNORECASE,
)
#: Matches beginnings that state a wish: "I want a shop" is read as "build a shop".
_WISH = lazy_pattern(
    r"(?:please )?(?:i|we)(?: would|'d|’d)?(?: really)? (?:want|need|like)\s+(?=(?:a|an)\s)",
    re.IGNORECASE,
)
_VERB = (
    _any_of(
        """
    add|adapt|adjust|allow|analy[sz]e|apply|archive|ask|assess|audit|automate|back up|backport
    benchmark|bootstrap|break|build|bump|cache|calculate|call|change|check|clean|clone|close
    code|collect|combine|compare|compile|compress|compute|configure|connect|containeri[sz]e
    convert|copy|correct|count|cover|create|debug|decompose|decouple|define|delete|deploy
    deprecate|describe|design|detect|develop|diagnose|disable|divide|do|dockeri[sz]e|document
    download|draft|draw|drop|enable|encrypt|estimate|evaluate|examine|expand|explain|explore
    export|expose|extend|extract|fetch|fill|filter|find|finish|fix|format|gather|generate|get
    give|go|harden|hook|identify|implement|import|include|improve|index|inspect|install
    instrument|integrate|introduce|investigate|learn|limit|link|lint|list|load|locali[sz]e|log
    look|make|map|measure|merge|migrate|minify|mock|moderni[sz]e|modify|monitor|move|name
    normali[sz]e|open|optimi[sz]e|organi[sz]e|outline|package|paginate|parse|patch|perform
    plan|plot|polish|port|prepare|print|produce|profile|propose|prototype|provide|publish|push
    put|read|rebase|rebuild|record|redesign|reduce|refactor|reformat|register|release|remove
    rename|render|reorgani[sz]e|repair|replace|report|reproduce|research|resolve|restructure
    retry|return|revert|review|rewrite|rework|run|save|say|scaffold|scan|schedule|search
    secure|seed|select|send|separate|serve|set|setup|ship|show|sign|simplify|sketch|solve|sort
    speed|split|stage|start|stop|store|stub|study|submit|suggest|summari[sz]e|support|survey
    switch|sync|tag|tell|test|tidy|trace|track|train|translate|transform|trim|try|tune|turn
    type|unify|update|upgrade|upload|use|validate|verify|visuali[sz]e|wire|wrap|write
    """
    )
    + r"\b"
)
#: Matches a verb, but not a noun as in "test coverage is low".
_VERBS = lazy_pattern(
    _VERB
    + r"(?!['’-]"
    + r"|\s+(?:(?!(?:all|code|everything|how|it|that|what|where|which|who)\b)[\w-]+\s+)?"
    + r"(?:is|are|was|were|has|have|must|should|can|will|fails?|takes|looks|needs)\b)",
    re.IGNORECASE,
)
_NICE = r"(?:please|kindly|also|and|just|finally|lastly|so|but|then)?[,:]?\s*(?:please\s+)?"
_THERE = _any_of(
    """
    there|all|everyone|everybody|team|folks|guys|friends?|again|claude|codex|gemini|assistant
    """
)
_SIGNATURE = r"(?:,\s+[\w'’-]+(?:\s+[\w'’-]+)?)?"
#: Matches courtesies. The pattern must match the whole sentence: "Thank you page" requests work.
_COURTESY = lazy_pattern(
    _NICE
    + _any_of(
        r"""
        (?:(?:many|lots of|big|huge|a big) )?(?:thanks|thank you|thx|cheers|kudos)MUCHFORSIGNATURE
        (?:hi|hello|hey|greetings|good (?:morning|afternoon|evening|day|luck))(?:[,\s]+THERE)*
        dear(?:\s+[\w'’-]+){1,2}|(?:hi|hello|hey)\s+(?!world\b)[\w'’-]+,
        (?:(?:best|kind|warm)(?: wishes| regards)|regards|sincerely)SIGNATURE
        (?:that|this|it) (?:would|will) be (?:(?:very|really|so) )?PLEASANT(?: of you)?
        (?:much|greatly|highly) appreciated|you(?:'re| are) (?:the best|great|awesome)|have fun
        have a (?:nice|good|great|lovely|wonderful) \w+|(?:take|no) (?:your time|rush|hurry|worries)
        (?:i )?hope (?:this|that) (?:helps|makes sense|is clear|is ok(?:ay)?)|do your best
        (?:good|great|nice) (?:job|work)|well done|please
        """
    )
    .replace(
        "MUCH", rf"(?:[,\s]+(?:so|very|much|a|lots?|in|advance|indeed|kindly|really|{_THERE}))*"
    )
    .replace("FOR", r"(?:\s+(?:for|to) (?:your|the|all|you|helping|doing)(?:\s+[\w'’-]+){0,5})?")
    .replace("PLEASANT", "(?:great|nice|lovely|appreciated|helpful|awesome|wonderful|kind|perfect)")
    .replace("SIGNATURE", _SIGNATURE)
    .replace("THERE", _THERE)
    + r"\W*",
    re.IGNORECASE,
)
_FINE = _any_of(
    r"""
    clean|clear|idiomatic|readable|simple|good|tidy|nice|neat|high-quality|quality|robust|modern
    maintainable|helpful|meaningful|proper|consistent|concise|short|small|well[- ]\w+
    """
)
_MUST = r"(?:must|should|shall|needs? to|has to|have to|ought to)\b"
#: Matches a sentence that is a condition for the whole work, such as "Make sure that ...".
_CONDITION = lazy_pattern(
    _NICE
    + _any_of(
        r"""
        make (?:(?:very|absolutely|really) )?(?:sure|certain)\b|ensure\b|take care\b|remember\b
        be (?:sure|certain|careful|consistent|aware|thorough|concise|brief|nice|creative|precise)\b
        keep\b|note\b|mind\b|beware\b|pay attention\b|do not\b|don['’]?t\b|never\b|always\b|avoid\b
        prefer\b|respect\b|follow\b|stick to\b|stay\b|adhere\b|obey\b|no\b|not\b|only\b|without\b
        leave\b|think\b|work\b|let me know\b|feel free\b|sorry\b|looking forward\b|assume\b
        i(?:'d| would)? appreciate\b|(?:check|verify|confirm|validate) (?:that|if|whether)\b
        do (?:it|this|that|so|things|everything)\b|try (?:not )?to (?:keep|be|avoid|stay|make)\b
        (?:add|use|change|touch|create|install|introduce|write|make) no\b
        (?:add|use|write|include|produce|make) (?:FINE(?:,| and)? )+CODE
        (?:add|write|include|use) (?:comments|docstrings|error handling)ANYWHERE
        (?:add|write|include|use) type (?:hints|annotations)ANYWHERE
        handle (?:all )?(?:errors|edge cases|exceptions|failures)(?: \w+)?\W*$
        (?:commit|document|explain|describe|test|check|verify|review) (?:all )?(?:of )?your \w+
        (?:run|use|execute) (?:all )?(?:of )?(?:(?:the|our|its) )?(?:\w+ )?CHECKS
        (?:it|everything|all|this|that|the \w+|code|tests?|results?)(?: of it)? MUST|MUST
        """
    )
    .replace("FINE", _FINE)
    .replace("CODE", r"(?:code|names?|comments?|style|commits?|messages?|changes?|functions?)\b")
    .replace("ANYWHERE", r"(?: throughout| everywhere| where \w+)?\W*$")
    .replace(
        "CHECKS",
        r"(?:tests?|test suite|linters?|checks|type checker|formatter)\b(?!\s+(?:to|and|on|for))",
    )
    .replace("MUST", _MUST),
    re.IGNORECASE,
)
#: Matches a wish that concerns the whole work and requests no work itself, such as "Please keep it
#: small and tidy."
_MERE_WISH = lazy_pattern(
    _NICE
    + _any_of(
        r"""
        keep (?:it|this|that|things|everything|all|the (?:code|changes?|work))(?: as)? FINES
        be (?:careful|consistent|thorough|concise|brief|nice|creative|precise)
        """
    ).replace("FINES", rf"{_FINE}(?:(?:,| and|, and| but)\s+{_FINE})*(?: as possible)?")
    + r"\W*",
    re.IGNORECASE,
)
#: Matches a sentence such as "Use TypeScript." After a sentence that requests work, such a sentence
#: describes how to do that work.
_MEANS = lazy_pattern(_NICE + r"(?:use|include)\b", re.IGNORECASE)
#: Matches English statements: their first words, or a verb near their beginning.
_STATEMENT = lazy_pattern(
    _any_of(
        r"""
        the|a|an|this|that|these|those|it|its|it['’](?:s|ll)|they|there|we(?:['’]re)?|i(?:['’]m)?|you
        our|my|your|their|he|she|all|each|every|both|some|many|most|any|such|one|two|three
        if|when|while|once|as|since|because|for|with|in|on|at|by|from|to|of|but|after|before|until
        currently|today|right now|here|sometimes|usually|probably|maybe|perhaps|unfortunately
        however|what|why|how|where|which|who|is|are|does|did|has|have|should|must|can|yes
        everything|nothing|something
        """
    )
    + r"\b|(?:[\w'’/.-]+\s+){1,4}"
    + _any_of(
        r"""
        must|should|shall|may|might|can|cannot|can't|will|would|is|are|was|were|has|have|had|does|do
        needs?|fails?|works?|returns?|raises?|looks?|takes?|uses?
        """
    )
    + r"\b",
    re.IGNORECASE,
)


def sentences(text: str) -> Sequence[Sentence]:
    result: list[Sentence] = []
    for piece in _split_sentences(text):
        requests_work = any(each.mood is Mood.WORK for each in result)
        result.append(Sentence(text=piece, mood=mood_of(piece, follows_request=requests_work)))
    return result


def mood_of(sentence: str, *, follows_request: bool = False) -> Mood:
    """Return the mood of a sentence.

    ``follows_request``: True if an earlier sentence requests work.
    """
    text = sentence[:_MOST_READ].strip()
    if _COURTESY.fullmatch(text):
        return Mood.COURTESY
    if _CONDITION.match(text) or (follows_request and _MEANS.match(text)):
        return Mood.CONDITION
    if _VERBS.match(imperative(text)):
        return Mood.WORK
    return Mood.STATEMENT if _STATEMENT.match(text) else Mood.UNKNOWN


def asks_for_nothing(sentence: Sentence) -> bool:
    """True for thanks, greetings, and mere wishes, which create no task."""
    return sentence.mood is Mood.COURTESY or bool(_MERE_WISH.fullmatch(sentence.text))


def imperative(sentence: str) -> str:
    """Return a sentence from its verb on, without words such as "please" or "could you"."""
    wish = _WISH.match(sentence)
    if wish:
        return "build " + sentence[wish.end() :]
    lead = _LEAD.match(sentence)
    return sentence[lead.end() :] if lead else sentence


def _split_sentences(text: str) -> Sequence[str]:
    pieces: list[str] = []
    start = 0
    for boundary in _BETWEEN.finditer(text):
        if not (boundary["first"] or "").islower():
            _add_sentence(pieces, text[start : boundary.start() + len(boundary["closing"] or "")])
            start = boundary.end()
    _add_sentence(pieces, text[start:])
    return pieces


def _add_sentence(pieces: list[str], piece: str) -> None:
    if pieces and _ABBREVIATION.search(pieces[-1][-_TAIL:]):
        pieces[-1] += f" {piece}"
    elif piece.strip():
        pieces.append(piece.strip())
