"""What was probably meant by this word? For messages about a rules file.

In: a word as somebody wrote it, and the words that would have been right. Out: text to append to a message.
"""

import difflib
from collections.abc import Iterable

_MOST_COMPARED = 1000  # takes 10 ms, for each word that is wrong
_SHOWN_CHARACTERS = 64  # a message is one line on a terminal


def shown(word: str) -> str:
    """A word of the file in a message: quoted, short, and without anything that a terminal would obey."""
    text = word if len(word) <= _SHOWN_CHARACTERS else word[:_SHOWN_CHARACTERS] + "…"
    return f"`{text}`" if text.isprintable() else f"`{text.encode('unicode_escape').decode('ascii')}`"


def nearest(word: str, right: Iterable[str]) -> str | None:
    """The right word that is closest to this one, if any is close; capitals do not count."""
    by_folded = {each.lower(): each for each in right}
    if len(by_folded) > _MOST_COMPARED:
        return None
    found = difflib.get_close_matches(word[:_SHOWN_CHARACTERS].lower(), by_folded, n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None


def did_you_mean(word: str, right: Iterable[str]) -> str:
    """`: did you mean ...?`, or nothing when no right word is close."""
    found = nearest(word, right)
    return "" if found is None else f": did you mean {shown(found)}?"
