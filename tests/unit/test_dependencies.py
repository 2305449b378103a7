"""What runs is what was pinned, each package by its exact version and from the index that the machine is set to."""

import re
from importlib.metadata import distributions
from pathlib import Path

from packaging.utils import canonicalize_name

LINES = (Path(__file__).resolve().parents[2] / "requirements.lock").read_text(encoding="utf-8").splitlines()
# Those that make an environment, and ours.
_NOT_PINNED = {"pip", "setuptools", "wheel", "clearance"}


def test_every_line_pins_one_package_and_says_nothing_else() -> None:
    assert [line for line in LINES if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line)] == []


def test_what_is_installed_is_what_is_pinned() -> None:
    pinned = {
        canonicalize_name(name): version for name, _, version in (line.partition("==") for line in LINES)
    }
    installed = {canonicalize_name(each.name): each.version for each in distributions()}

    assert {name: installed.get(name) for name in pinned} == pinned
    assert set(installed) - set(pinned) - _NOT_PINNED == set()
