"""What is suggested for a word that is wrong, and how a word of a file is shown."""

import pytest

from clearance.decisions.did_you_mean import did_you_mean, nearest, shown


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("cuntry", "country"),
        ("Country", "country"),
        ("AGE", "age"),
        ("", None),
        ("zzz", None),
        ("country" * 10_000, None),
    ],
)
def test_the_nearest_word_is_one_that_is_close(word: str, found: str | None) -> None:
    assert nearest(word, ["age", "country", "city"]) == found


def test_nothing_is_searched_among_too_many_words() -> None:
    words = [f"word{number}" for number in range(1001)]

    assert nearest("word1", words[:-1]) == "word1"
    assert nearest("word1", words) is None


def test_a_suggestion_follows_a_colon_and_no_suggestion_is_no_text() -> None:
    assert did_you_mean("aeg", ["age"]) == ": did you mean `age`?"
    assert did_you_mean("aeg", ["country"]) == ""


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("age", "`age`"),
        ("größe", "`größe`"),
        ("a\x1b[31m\nb", "`a\\x1b[31m\\nb`"),
        ("x" * 65, "`" + "x" * 64 + "…`"),
    ],
)
def test_a_word_is_shown_on_one_line_and_commands_no_terminal(word: str, told: str) -> None:
    assert shown(word) == told
