"""Real and realistic final texts of agents, and the expected verdicts.

An offer, explanation, or review must never count as an open question or a refusal.
"""

import pytest

from orchestrator.core.model.attempt.final_text import FinalText, final_text, question_of

A, O, Q, R = FinalText.ANSWER, FinalText.OFFER, FinalText.QUESTION, FinalText.REFUSAL  # noqa: E741
N, S = FinalText.ALREADY, FinalText.RECIPE

LONG_REPORT = "The parser reads one token at a time and keeps no state between lines. " * 30

TEXTS: list[tuple[FinalText, str]] = [
    # -- answers --------------------------------------------------------------------------------
    (A, ""),
    (A, "RESULT done"),
    (A, "All tests pass."),
    (A, "I fixed the bug in `parser.py`. All 42 tests pass. Let me know if you want more tests."),
    (A, "Done! Let me know if you'd like me to add documentation as well."),
    (A, "If you would like a different format, just let me know."),
    (A, "The cache is keyed by commit. Feel free to ask if you have any other questions."),
    (A, "Refactored. Happy to adjust the naming if needed!"),
    (A, "Removed the three obsolete tests; the suite has 117 tests now and passes."),
    (A, "I could not find any security problems in the login code. Input is validated early."),
    (A, "I was unable to find a race: the lock is held during both writes."),
    (A, "I couldn't reproduce the failure: 200 runs in a row passed."),
    (A, "I could not run the tests, but reading the code shows an off-by-one error in `page()`."),
    (A, "I cannot access the network here; however, the lock file pins requests 2.31."),
    (A, "Why is it slow? Because each request opens a connection. A pool removes most of it."),
    (A, "What does this module do? It maps URLs to views, and nothing else."),
    (A, "Should a client retry? Yes: the call is idempotent. The server answers 409 otherwise."),
    (A, "The prompt in the code asks \"Which database should I use?\" and then reads stdin."),
    (A, "The script prints this and waits:\n\n```\nShould I proceed? [y/N]\n```\n\nPress y."),
    (A, "> Which option do you prefer?\n\nThe docs answer this with option B."),
    (A, "The user sees `Could you please confirm?` in a dialog. It closes after 5 s."),
    (A, "Verdict: approve. No finding above 'low'. The tests cover the error paths."),
    (A, "Findings:\n1. `save()` ignores errors.\n2. The lock is never released on timeout."),
    (A, "I won't repeat the report: see output.md. 3 findings, the worst in auth.py:41."),
    (A, "The function returns None when you provide no path, and raises when you provide two."),
    (A, "Sorry for the long answer. In short: upgrade to 3.1."),
    (A, "Das Modul liest die Konfiguration einmal. Sag mir Bescheid, wenn du mehr brauchst."),
    (A, "Le module lit la configuration. N'hésitez pas à demander des précisions."),
    (A, "El módulo está documentado. Avísame si quieres más ejemplos."),
    (A, "该模块负责解析命令行参数。如果您需要更多信息，请告诉我。"),
    (A, LONG_REPORT + "I need more information to judge the remaining two modules."),
    # -- offers: the text does not wait -----------------------------------------------------------
    (O, "The bug is in line 40: the index starts at 1. Would you like me to fix it?"),
    (O, "That is how the scheduler works. Do you want me to explain the planner, too?"),
    (O, "I added the endpoint and its tests. Shall I also update the README?"),
    (O, "Done. Anything else?"),
    (O, "Three tests are flaky. Want me to open an issue for each?"),
    (O, "Review done, two findings above. Open question: is the timeout in seconds?"),
    (O, "It is a singleton by accident. Was that intended?"),
    (O, LONG_REPORT + "Should I proceed with the second module?"),
    (O, LONG_REPORT + "Which of these would you like me to do first?"),
    (O, "Die Ursache ist der Index. Soll ich auch die Tests anpassen?"),
    # -- questions that wait ----------------------------------------------------------------------
    (Q, "Which database should I use: PostgreSQL or SQLite?"),
    (Q, "Before I start, I need to know the target version. Python 3.11 or 3.12?"),
    (Q, "I have a plan: 1. add a model, 2. add a view. Should I proceed?"),
    (Q, "I looked at the repository and found two login forms. Shall I go ahead with both?"),
    (Q, "Could you please clarify which endpoint is meant?"),
    (Q, "Can you tell me where the schema lives?"),
    (Q, "There are two ways to do this. How would you like me to proceed?"),
    (Q, "What would you like me to do?"),
    (Q, "I can use Flask or FastAPI. Which one do you prefer?"),
    (Q, "I need more information about the payment provider. Please provide the API docs."),
    (Q, "Please confirm that I may delete the old migrations."),
    (Q, "I'm ready to begin. Please let me know which file to start with."),
    (Q, "Tell me which option you prefer and I'll implement it right away."),
    (Q, "Let me know which approach you prefer, then I'll start."),
    (Q, "I have prepared the change. I am waiting for your approval."),
    (Q, "Should I rename the class, or keep the old name for compatibility?"),
    (Q, "Would you prefer REST or GraphQL?"),
    (Q, "Questions:\n1. Which Python version do you want?\n2. What should I call the package?"),
    (Q, "I will write the tests once you confirm the plan above."),
    (Q, "**How should I handle existing users?**"),
    (Q, "Soll ich fortfahren?"),
    # The whole text is one question, in words that no pattern lists.
    (Q, "Which currency should the function show print: EUR or USD?"),
    (Q, "Is this for the web shop, or for the back office?"),
    (Q, "哪个版本？"),
    (Q, "Welche Datenbank soll ich verwenden?"),
    (Q, "Bitte teilen Sie mir mit, welche Version gemeint ist."),
    (Q, "Dois-je continuer avec cette approche ?"),
    (Q, "Pouvez-vous préciser quel fichier modifier ?"),
    (Q, "¿Cuál base de datos debo usar?"),
    (Q, "¿Quieres que use PostgreSQL o SQLite?"),
    (Q, "请确认是否使用 PostgreSQL。"),
    (Q, "您希望我使用哪个框架？"),
    (Q, "どちらのデータベースを使いますか？"),
    (Q, "Какую базу данных использовать?"),
    # -- refusals ---------------------------------------------------------------------------------
    (R, "I'm sorry, but I can't help with that."),
    (R, "I could not complete the task because the file does not exist."),
    (R, "I was unable to make the requested changes."),
    (R, "I’m unable to modify files in this environment. You can run `sed -i` yourself."),
    (R, "I don't have access to your file system. To do this, follow these steps:\n1. Open app.py"),
    (R, "I can't directly edit files. Instead, here is the code:\n\n```python\nx = 1\n```"),
    (R, "As an AI language model, I cannot execute commands."),
    (R, "Unfortunately, it was not possible to add the feature."),
    (R, "I apologize. I couldn't implement the endpoint: the framework is unknown to me."),
    (R, "I won't make this change: it would weaken the checks."),
    (R, "Es tut mir leid, ich konnte die Datei nicht ändern."),
    (R, "Je suis désolé, je ne peux pas modifier ce fichier."),
    (R, "Lo siento, no puedo completar la tarea."),
    (R, "抱歉，我无法修改这些文件。"),
    (R, "К сожалению, мне не удалось изменить файл."),
    # -- nothing had to be done -------------------------------------------------------------------
    (N, "The login form already exists in `templates/login.html`, so there is nothing to do."),
    (N, "This is already implemented in app.py:12."),
    (N, "I checked all modules. No changes are needed."),
    (N, "There are no failing tests to fix: all 42 pass."),
    (N, "Nothing to do: already implemented."),
    (N, "The form is in place already; no changes were necessary. Would you like a test of it?"),
    (N, "Die Anmeldung ist bereits implementiert."),
    (A, "I implemented the form; it already supports both languages."),
    (A, "I have added the login form. No further changes are needed."),
    (A, "The login form is complete and all tests pass."),
    # -- the work is left to the reader -----------------------------------------------------------
    (S, "You could add this code:\n\n```python\ndef login(): ...\n```"),
    (S, "To add a form, create `login.html`.\nThen add the following to app.py:\n\n```py\nx\n```"),
    (S, "Here's how to do it:\n\n1. Open app.py\n2. Replace the body with:\n\n    return render()"),
    (S, "Here is the code for the form:\n```html\n<form></form>\n```"),
    (S, "You can use this: `app.run(debug=True)`. Would you like more examples?"),
    (A, "I added the form. You can change its title:\n\n```python\nTITLE = 'x'\n```"),
    (A, "You can use it from the command line."),
    (A, "The parser reads tokens:\n\n```python\nparse(line)\n```\n\nEach has a kind."),
]  # fmt: skip


def test_the_table_is_large_enough_to_mean_something() -> None:
    assert len(TEXTS) >= 60


@pytest.mark.parametrize(("kind", "text"), TEXTS, ids=[text[-40:] for _, text in TEXTS])
def test_a_final_text_has_the_kind_of_its_row(kind: FinalText, text: str) -> None:
    assert final_text(text) is kind


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("A plan is there.\n\nShould I proceed?", "Should I proceed?"),
        ("Which one do you prefer? I will wait.", "Which one do you prefer?"),
        ("I looked around. Please confirm the plan.", "Please confirm the plan."),
        ("No question at all", "No question at all"),
        ("", ""),
    ],
)
def test_the_question_is_shown_in_one_line(text: str, question: str) -> None:
    assert question_of(text) == question


def test_a_very_long_text_without_an_end_of_a_sentence_is_read_quickly() -> None:
    assert final_text("should I which or " * 200_000) is FinalText.ANSWER
    assert len(question_of("why " * 10_000 + "?")) <= 300
