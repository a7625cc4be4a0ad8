"""Classifies an agent's final text, such as an answer, an open question, or a refusal. Pure.

Used only for an attempt that changed no file. Agents do not report the kind of their final text, so
patterns of words decide. A text that is only one question needs no pattern. If in doubt, a text is
an answer.
"""

import re
from collections.abc import Sequence
from enum import StrEnum

from orchestrator.core.text.formatting import cut, one_line
from orchestrator.core.text.lazy_pattern import lazy_pattern

#: Number of characters that are read at the beginning and at the end of a text.
HEAD_CHARACTERS = 600
TAIL_CHARACTERS = 1500
#: Maximum number of characters of a question or refusal. A longer text is a report, even if its
#: last sentence is a question.
REPORT_CHARACTERS = 1500
#: Number of sentences at the end of a text that are searched for a question.
LAST_SENTENCES = 3
QUESTION_CHARACTERS = 300


class FinalText(StrEnum):
    ANSWER = "answer"
    #: The text ends with a question that no person has to answer.
    OFFER = "offer"
    #: The agent waits for an answer before it begins.
    QUESTION = "question"
    #: The agent reports that it did not do the work.
    REFUSAL = "refusal"
    #: The agent reports that nothing had to be done.
    ALREADY = "already"
    #: The text shows with code how to do the work, and leaves the work to the reader.
    RECIPE = "recipe"


def _any_of(*patterns: str) -> re.Pattern[str]:
    return lazy_pattern("|".join(f"(?:{each})" for each in patterns), re.I | re.S)


#: Code and quoted text, which are ignored because they are not the agent's own words.
_QUOTED = lazy_pattern(
    r"^(```|~~~).*?(?:^\1[^\n]*$|\Z)|^>[^\n]*$|`[^`\n]*`|\"[^\"\n]{0,200}\"", re.M | re.S
)
_BETWEEN = lazy_pattern(r"(?<=[.!?])[\"')*_»”]*\s+|(?<=[。！？])|\n+")
_ENDS_ASKING = lazy_pattern(r"[?？؟][\"')*_»”\s]*$")

#: Phrases that offer further work after the task is done.
_OFFERS = _any_of(
    r"\b(?:let me know|tell me|just (?:say|ask)|feel free|happy to|glad to)\b.{0,40}\bif\b",
    r"^(?:if|should) you\b.{0,120}\b(?:let me know|tell me|just (?:say|ask))",
    r"\bany (?:other |further |more )?questions\b|\banything else\b",
    r"(?:^|, )(?:would you like|do you want|want) me to\b(?!.*\bor\b)|\bwould you like to\b",
    r"\b(?:shall|should|can|may) I (?:also|additionally)\b",
    r"\b(?:sag|sagen Sie|melde dich|gib|geben Sie)\b.{0,30}\b(?:wenn|falls)\b",
    r"\b(?:möchtest du|möchten Sie|soll ich) (?:auch|noch|zusätzlich)\b",
    r"\bn'hésitez pas\b|\bdites-moi si\b|\bavísame si\b|\bdime si\b|\bfammi sapere se\b",
    r"如果(?:您|你)?(?:还)?(?:需要|想)|ご希望でしたら|必要であれば",
)
_BEGIN = r"(?:proceed|go ahead|start|begin|continue|move forward)"
#: Questions that a person must answer before the agent begins.
_WAITS = _any_of(
    rf"\b(?:shall|should|may|can) I (?:now )?{_BEGIN}\b.*\?",
    r"\bhow (?:would|do) you (?:like|want|prefer)\b.*\?|\bhow (?:should|shall) I\b.*\?",
    r"\bwhat (?:would|do) you (?:like|want|need) me to\b.*\?",
    r"\bwhat (?:should|shall) I (?:do|use|call|name)\b.*\?",
    r"\b(?:which|what)\b.{0,120}\b(?:should I|shall I|do you (?:want|prefer|mean)|would you"
    r" (?:like|prefer|rather)|are you (?:referring|using))\b.*\?",
    r"\b(?:could|can|would) you (?:please )?(?:clarify|tell|specify|provide|confirm|share|point"
    r"|describe|let me know|give|paste|attach|upload)\b.*\?",
    r"\b(?:do you want|would you prefer|would you like|should I|shall I)\b.{0,160}\bor\b.*\?",
    r"\bplease (?:clarify|specify|confirm|advise|choose|decide|provide|share|answer|reply"
    r"|respond)\b",
    r"\bplease (?:tell me|let me know|indicate|say) (?:which|what|how|where|whether|when)\b",
    r"\b(?:tell me|let me know) (?:which|what|how|where|whether)\b.{0,160}\b(?:and|so|then|before)"
    r"\b.{0,30}\bI(?:'ll| will| can)\b",
    r"\b(?:await|awaiting|waiting for) your\b",
    r"\bI (?:need|require) (?:some |a few |a bit )?(?:more |further |additional )?(?:information"
    r"|details|clarification|input|context|you to|your|to know)\b",
    rf"\bbefore I (?:can )?(?:{_BEGIN}|make|write|implement|change)\b",
    r"\bI\b.{0,120}\b(?:once|as soon as|when) you (?:confirm|answer|reply|decide"
    r"|respond|provide|clarify)\b",
    r"\bsoll ich (?:jetzt )?(?:fortfahren|anfangen|beginnen|weitermachen|loslegen)\b.*\?",
    r"\b(?:welche[rsn]?|wie|was)\b.{0,80}\bsoll(?:te)? ich\b.*\?",
    r"\b(?:können|könnten) Sie\b.{0,60}\b(?:sagen|mitteilen|angeben|klären|bestätigen)\b.*\?",
    r"\bbitte (?:teilen Sie mir mit|gib|geben Sie|bestätigen? ?(?:Sie)?|wählen? ?(?:Sie)?|sag mir"
    r"|sagen Sie mir)\b",
    r"\b(?:souhaitez-vous|voulez-vous|préférez-vous)\b.{0,160}\bou\b.*\?|\bdois-je\b.*\?",
    r"\bpouvez-vous (?:me )?(?:préciser|confirmer|indiquer|dire)\b",
    r"\bveuillez (?:préciser|confirmer|indiquer|choisir)\b",
    r"¿(?:qué|cuál|cómo|debo|quieres que|prefieres|puedes|podrías)\b.*\?",
    r"\bpor favor,? (?:confirma|indica|especifica|aclara)",
    r"\b(?:preferisci|vuoi che|devo|você prefere|devo)\b.*\?",
    r"请(?:您)?(?:告诉|告知|确认|提供|说明|选择|指定)|(?:您|你)(?:希望|想要|更喜欢).*[?？]",
    r"どちら.*(?:ますか|ですか|でしょうか)|(?:教えて|確認して|お知らせ)(?:ください|いただけますか)",
    r"\b(?:какой|какую|какие|как мне|мне (?:следует|продолжить))\b.*\?",
    r"\b(?:уточните|подтвердите|укажите)\b",
)
_WORK = (
    r"(?:complete|do|make|modify|edit|write|create|implement|apply|fix|finish|fulfil+|help|assist"
    r"|perform|access|proceed|carry out|save|change|update|add|generate|build|execute)"
)
#: Phrases of an agent that did not do the work.
_NOT_DONE = _any_of(
    r"\bI(?:'m| am) (?:sorry|afraid)\b.{0,60}\b(?:can(?:not|'t)|could(?: not|n't)|unable"
    r"|not able|not possible|won't)(?! find| see| reproduce)",
    r"\bI (?:can(?:not|'t| not)|could(?: not|n't)|won't|will not|(?:was|am)(?: not|n't)"
    rf" able to|(?:was|am) unable to) (?:actually |directly |currently |yet )?{_WORK}\b",
    rf"\bI'm (?:unable|not able) to (?:actually |directly |currently )?{_WORK}\b",
    r"\bI (?:do not|don't|did not|didn't) have (?:the |any )?(?:ability|tools?|access"
    r"|permissions?)\b",
    r"\bas an AI\b.{0,80}\b(?:can(?:not|'t)|unable)",
    r"\bunfortunately,? (?:it was|it is|this is|that is) not possible\b",
    r"\b(?:es tut mir leid|leider)\b.{0,60}\b(?:kann|konnte)\b.{0,80}\bnicht\b",
    r"\bich (?:kann|konnte)\b.{0,80}\bnicht (?:ändern|schreiben|umsetzen|erledigen|durchführen"
    r"|anlegen|erstellen|zugreifen)\b",
    r"\b(?:désolée?|malheureusement)\b.{0,60}\bje (?:ne peux|n'ai) pas\b",
    r"\bje n'ai pas pu (?:modifier|créer|écrire|effectuer|terminer)\b",
    r"\b(?:lo siento|lamentablemente)\b.{0,60}\bno (?:puedo|pude|he podido)\b",
    r"\bmi dispiace\b.{0,60}\bnon (?:posso|ho potuto)\b",
    r"\b(?:sinto muito|desculpe)\b.{0,60}\bnão (?:posso|consegui)\b",
    r"(?:抱歉|对不起|很遗憾).{0,40}(?:无法|不能|没能)|申し訳.{0,60}(?:できません|できなかった)",
    r"\b(?:к сожалению|извините)\b.{0,60}\b(?:не могу|не удалось)\b",
)
#: Words such as "but". After a refusal, such a word begins a report of work or findings.
_ALL_THE_SAME = _any_of(
    r"\b(?:but|however|nevertheless|still|aber|dennoch|jedoch|mais|cependant|pero|mas)\b",
    r"但是?|しかし|\bоднако\b",
)
#: Phrases for "nothing to do".
_NOTHING_TO_DO = _any_of(
    r"\balready\b[^.\n]{0,40}\b(?:exists?|there|implemented|present|in place|done|fixed"
    r"|supported|supports?|handled|handles|has|have|contains?|includes?|provides?|documented|covered"
    r"|configured|enabled"
    r"|up[- ]to[- ]date|uses?|available|correct|complete)\b",
    r"\bno (?:code |file )?(?:changes?|edits?|work|action|fix) (?:(?:is|are|was|were) )?(?:needed"
    r"|necessary|required)\b",
    r"\bnothing (?:(?:was |is )?left )?(?:to (?:do|change|fix|remove|add|update|be done)|needs? to"
    r" be|had to be)\b",
    r"\bthere (?:is|are|was|were) (?:no|nothing)\b.{0,80}"
    r"\b(?:to (?:fix|remove|change|update|do|add)|left)\b",
    r"\b(?:bereits|schon) (?:vorhanden|implementiert|umgesetzt|erledigt)\b|\bnichts zu tun\b",
    r"\bdéjà (?:implémentée?|présente?|en place)\b|\bya (?:existe|está implementad[oa])\b",
    r"已经?(?:存在|实现)|すでに(?:実装|存在)|\bуже (?:реализован|существует)",
)
#: Phrases that report the agent's own work. In a text with such a phrase, "already" does not mean
#: that the agent did nothing.
_DID = _any_of(
    r"\bI(?:'ve| have)? (?:also |now |just |successfully )?(?:added|implemented|created|fixed"
    r"|updated|changed|wrote|written|removed|refactored|built|made|modified|renamed"
    r"|replaced)\b(?! no\b)",
)
_DO_IT = (
    r"(?:add|create|change|edit|modify|replace|insert|update|paste|put|write|implement|use|run)"
)
#: Phrases that leave the work to the reader.
_INSTRUCTS = _any_of(
    rf"\byou(?:'ll| will)? (?:can|could|should|would|might|may|need to|have to|must|want to)?\s*"
    rf"(?:then |now |also |simply |just |need to |have to )?{_DO_IT}\b",
    r"\b(?:add|paste|insert|put|copy|use|save|create)"
    r" (?:this|these|the (?:following|code|below))\b",
    r"\bhere(?:'s| is| are) (?:how|what you|the (?:code|steps|changes?|implementation)"
    r"|some (?:code|example)"
    r"|an? (?:\w+ ){0,3}(?:example|implementation|sketch|version|snippet|way))\b",
    rf"^(?:step )?\d[.):] .{{0,40}}\b{_DO_IT}\b",
    r"\b(?:du kannst|Sie können|fügen Sie|füge)\b.{0,80}\b(?:hinzu|einfügen|hinzufügen|ändern)\b",
)
#: Signs of code: a block, an indented line, or a line with code characters.
_CODE = lazy_pattern(
    r"^[ \t]*(?:```|~~~)|\n\n(?: {4}|\t)\S|`[^`\n]*[(){}=<>;][^`\n]*`|:[ \t]*\S*[(){}=<>]", re.M
)


def final_text(text: str) -> FinalText:
    """Classify an agent's final text; ANSWER if in doubt."""
    unquoted = _own_words(text)
    sentences = _sentences(unquoted)
    if not sentences:
        return FinalText.ANSWER
    if len(unquoted) <= REPORT_CHARACTERS:
        if _reports_refusal(unquoted):
            return FinalText.REFUSAL
        if any(map(_waits_for_answer, sentences[-LAST_SENTENCES:])) or _is_one_question(sentences):
            return FinalText.QUESTION
        if _NOTHING_TO_DO.search(unquoted) and not _DID.search(unquoted):
            return FinalText.ALREADY
    if _leaves_work_to_reader(text, unquoted):
        return FinalText.RECIPE
    return FinalText.OFFER if _ENDS_ASKING.search(sentences[-1]) else FinalText.ANSWER


def question_of(text: str) -> str:
    """Return the question at the end of a text, in one line.

    If the text has no question, return its last sentence.
    """
    sentences = _sentences(_own_words(text))
    questions = [each for each in sentences[-LAST_SENTENCES:] if _ENDS_ASKING.search(each)]
    questions = questions or [
        each for each in sentences[-LAST_SENTENCES:] if _waits_for_answer(each)
    ]
    return cut(one_line("".join((questions or sentences)[-1:])), QUESTION_CHARACTERS)


def _own_words(text: str) -> str:
    return _QUOTED.sub(" ", text.replace("’", "'")).strip()


def _sentences(unquoted: str) -> list[str]:
    parts = (each.strip(" \t*#-") for each in _BETWEEN.split(unquoted[-TAIL_CHARACTERS:]))
    return [each for each in parts if re.search(r"\w", each)]


def _waits_for_answer(sentence: str) -> bool:
    return bool(_WAITS.search(sentence)) and not _OFFERS.search(sentence)


def _is_one_question(sentences: Sequence[str]) -> bool:
    """True if the whole text is one question, in any words: it reports no work and no findings."""
    is_one = len(sentences) == 1 and bool(_ENDS_ASKING.search(sentences[0]))
    return is_one and not _OFFERS.search(sentences[0])


def _leaves_work_to_reader(text: str, unquoted: str) -> bool:
    instruction = _INSTRUCTS.search(unquoted[:HEAD_CHARACTERS])
    return bool(instruction and _CODE.search(text)) and not _DID.search(unquoted)


def _reports_refusal(unquoted: str) -> bool:
    refusal = _NOT_DONE.search(unquoted[:HEAD_CHARACTERS])
    return refusal is not None and not _ALL_THE_SAME.search(unquoted, refusal.end())
