"""What does a runbook tell the person on call to type? Its blocks marked `sh`, in order, by section.

In: a page of `docs/runbooks`. Out: its steps; a block without a mark right below one begins with the first line that
the commands print. A word in capitals in a command stands for something that the reader fills in.
"""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# Times, counts and ids differ from case to case.
_VARIES = re.compile(r"\b[0-9a-f]{16,}\b|\d[\d:.-]*")
RUNBOOKS = Path(__file__).parents[2] / "docs" / "runbooks"
SECTIONS = ("See", "Check", "Do", "Undo", "Afterwards")
_PART = re.compile(
    r"^## (?P<section>[^\n]+)$"
    r"|^(?:\d+\. | *)```sh\n(?P<typed>.*?)^ *```$(?:\n *```\n(?P<shown>.*?)^ *```$)?",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One block: where it stands, what is typed, and how what is printed begins, if the page says so."""

    section: str
    commands: tuple[str, ...]
    shown: str


def slugs() -> list[str]:
    """Every page but the index."""
    return sorted(path.stem for path in RUNBOOKS.glob("*.md") if path.stem != "README")


def text_of(slug: str) -> str:
    """The page."""
    return (RUNBOOKS / f"{slug}.md").read_text(encoding="utf-8")


def steps_of(slug: str, *sections: str) -> list[Step]:
    """The steps of a page, or of some of its sections."""
    here, found = "", []
    for part in _PART.finditer(text_of(slug)):
        if part["section"]:
            here = part["section"]
            continue
        commands = tuple(line.strip() for line in part["typed"].splitlines() if line.strip())
        shown = (part["shown"] or "").strip().splitlines()[:1]
        found.append(Step(section=here, commands=commands, shown=" ".join(shown)))
    return [step for step in found if not sections or step.section in sections]


def words_of(command: str, filled: Mapping[str, str]) -> list[str]:
    """The arguments of `clearance`, with what stands in capitals filled in."""
    name, *words = shlex.split(command)
    assert name == "clearance", f"a runbook names another program in a block that is run: {command}"
    return [filled.get(word, word) for word in words]


def is_shown(shown: str, told: str) -> bool:
    """Whether what a page shows stands in what was printed, whatever the width of its columns and its numbers."""
    return _alike(shown) in _alike(told)


def _alike(text: str) -> str:
    return _VARIES.sub("#", " ".join(text.split()))
