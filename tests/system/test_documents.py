"""What the documents name is there: commands with their options, make targets, files, tests, settings."""

import re
import shlex
import subprocess
from dataclasses import fields
from pathlib import Path

import click
import pytest

from config.setting_reading import variables
from config.settings import Settings
from workers.cli import main

ROOT = Path(__file__).resolve().parents[2]
_LISTED = subprocess.run(
    ["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, check=True, text=True
).stdout.split()
DOCUMENTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in _LISTED if (ROOT / name).is_file()}

_FENCE = re.compile(r"^```[a-z]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
# A path with a directory; below `var` is what a run leaves behind.
_PATH = re.compile(r"^(?!var/)[\w.-]+/[\w./-]*\w\.(?:py|lua|toml|md|ya?ml|json)$")
_TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?(?:\[([^`]+)\])?`")
_COMMAND = re.compile(r"^(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?clearance (\S.*)")
_SETTING = re.compile(r"\bCLEARANCE_[A-Z0-9_]*[A-Z0-9]\b")
# Read elsewhere: by the sandbox's command line, by the tests, by compose.
_OTHER_VARIABLES = re.compile(r"CLEARANCE_(SANDBOX|TEST|LANE|DEMO|IMAGE)")


def _said(text: str) -> list[str]:
    """What stands in code: the lines of fences, and spans in between."""
    lines = [line.strip() for block in _FENCE.findall(text) for line in block.splitlines()]
    return lines + _SPAN.findall(_FENCE.sub("", text))


def _commands(text: str) -> list[str]:
    found = (_COMMAND.match(line) for line in _said(text))
    return [match[1] for match in found if match]


def _unknown_part(command: str) -> str | None:
    """What of this command line the command line does not know."""
    here: click.Command = main
    words = shlex.split(command.partition("  #")[0].partition(" …")[0])
    while isinstance(here, click.Group) and words:
        word, context = words.pop(0), click.Context(here)
        names = here.list_commands(context)
        if word not in names:
            # `webhooks|settings` names several; a word in capitals stands for something, an option is its own.
            several = word.split("|")
            if len(several) > 1 and all(each in names for each in several):
                return None
            return None if word.startswith("-") else word
        here = here.get_command(context, word) or here
    known = {option for parameter in here.params for option in parameter.opts} | {"--help"}
    strange = [word for word in words if word.startswith("--") and word.partition("=")[0] not in known]
    return strange[0] if strange else None


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_command_that_a_document_names_exists(name: str) -> None:
    unknown = {command: _unknown_part(command) for command in _commands(DOCUMENTS[name])}

    assert {command: part for command, part in unknown.items() if part} == {}


def test_every_command_is_in_the_table_of_the_readme() -> None:
    listed = {
        match[1] for match in re.finditer(r"^\| `clearance (\w+)", DOCUMENTS["README.md"], re.MULTILINE)
    }

    assert set(main.list_commands(click.Context(main))) - listed == set()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_make_target_that_a_document_names_exists(name: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {match[1] for said in _said(DOCUMENTS[name]) if (match := re.match(r"make ([a-z-]+)", said))}

    assert named - targets == set()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_file_that_a_document_links_to_exists(name: str) -> None:
    linked = {
        link.partition("#")[0] for link in _LINK.findall(DOCUMENTS[name]) if not re.match(r"\w+:|#", link)
    }

    assert {link for link in linked if not (ROOT / name).parent.joinpath(link).exists()} == set()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_section_that_a_document_links_to_exists(name: str) -> None:
    missing = []
    for link in _LINK.findall(DOCUMENTS[name]):
        path, _, section = link.partition("#")
        if section and not re.match(r"\w+:", link):
            page = (ROOT / name).parent.joinpath(path) if path else ROOT / name
            if section not in _sections(page.read_text(encoding="utf-8")):
                missing.append(link)

    assert missing == []


def _sections(text: str) -> set[str]:
    """What a link after # may say, as GitHub makes it of headings."""
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in _HEADING.findall(_FENCE.sub("", text)))
    return {heading.strip().replace(" ", "-") for heading in kept}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_file_that_a_document_names_exists(name: str) -> None:
    named = {said for said in _SPAN.findall(_FENCE.sub("", DOCUMENTS[name])) if _PATH.match(said)}

    assert {path for path in named if not (ROOT / path).exists()} == set()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_test_that_a_document_calls_a_proof_exists(name: str) -> None:
    missing = []
    for path, test, example in _TEST.findall(DOCUMENTS[name].replace(r"\|", "|")):
        file = ROOT / path
        text = file.read_text(encoding="utf-8") if file.is_file() else ""
        if not text or (test and f"def {test}(" not in text) or (example and f'"{example}"' not in text):
            missing.append(f"{path}::{test}[{example}]")

    assert missing == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_setting_that_a_document_names_exists(name: str) -> None:
    known = {name for item in fields(Settings) for name in variables(item)}
    named = {each for each in _SETTING.findall(DOCUMENTS[name]) if not _OTHER_VARIABLES.match(each)}

    assert named - known == set()


def test_the_documents_name_commands_and_tests_at_all() -> None:
    assert len(DOCUMENTS) > 10
    assert sum(len(_commands(text)) for text in DOCUMENTS.values()) > 50
    assert sum(len(_TEST.findall(text)) for text in DOCUMENTS.values()) > 10
