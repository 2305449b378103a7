"""The Makefile offers what the documents promise, and its help tells the truth."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):", TEXT, re.MULTILINE))


def _make(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["make", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("target", ["demo", "up", "test", "check", "bench", "integration", "lock", "clean"])
def test_a_promised_target_exists(target: str) -> None:
    assert target in TARGETS


def test_make_alone_lists_every_target_with_its_purpose() -> None:
    shown = _make()

    assert shown.returncode == 0, shown.stderr
    assert set(re.findall(r"^  make ([a-z-]+) +\S", shown.stdout, re.MULTILINE)) == TARGETS


def test_every_target_is_known_as_a_command_not_a_file() -> None:
    phony = re.search(r"^\.PHONY: (.*)$", TEXT, re.MULTILINE)

    assert phony is not None
    assert set(phony.group(1).split()) == TARGETS


def test_a_python_that_is_too_old_is_refused_in_words() -> None:
    refused = _make("lock", "PYTHON=")

    assert refused.returncode != 0
    assert "Python 3.11 or newer is needed" in refused.stderr


def test_each_dependency_that_pyproject_declares_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lock = (ROOT / "requirements.lock").read_text("utf-8")

    pinned = {canonicalize_name(line.split("==")[0]) for line in lock.splitlines()}
    texts = [
        *project["dependencies"],
        *(each for some in project["optional-dependencies"].values() for each in some),
    ]
    # An extra may ask for another one of ours.
    declared = {canonicalize_name(Requirement(text).name) for text in texts} - {project["name"]}

    assert declared
    assert declared - pinned == set()
