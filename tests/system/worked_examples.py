"""The worked examples of docs/use-cases: what they print, what they are run by, and what they say comes out."""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clearance.decisions.decision import Campaign, Customer

ROOT = Path(__file__).resolve().parents[2]
USE_CASES = ROOT / "docs/use-cases"
_FENCE = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"^clearance (rules (?:check|try) .*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a document's table says of one customer; `more` are the cells behind the reasons."""

    customer_id: str
    answer: str
    reasons: tuple[str, ...]
    more: tuple[str, ...] = ()


def commands(document: Path) -> list[list[str]]:
    """The `clearance rules check` and `rules try` lines of a document, in its order."""
    return [shlex.split(line) for line in _COMMAND.findall(document.read_text(encoding="utf-8"))]


def said_after(document: Path, words: str) -> list[Said]:
    """The first table of customers behind the first place where `words` stand."""
    _, found, rest = document.read_text(encoding="utf-8").partition(words)
    assert found, f"{document.name} does not say {words!r}"
    _, found, rest = rest.partition("\n| customer | answer | reasons |")
    assert found, f"{document.name} has no table of customers behind {words!r}"
    rows = []
    for line in rest.splitlines()[2:]:
        if not line.startswith("|"):
            break
        customer_id, answer, reasons, *more = (cell.strip() for cell in line.strip("|").split("|"))
        codes = tuple(re.findall(r"`([^`]+)`", reasons))
        rows.append(Said(customer_id=customer_id, answer=answer, reasons=codes, more=tuple(more)))
    assert rows, f"{document.name} has an empty table behind {words!r}"
    return rows


def run(arguments: list[str], *, environ: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    """The command as a user runs it, from the root of the checkout."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CLEARANCE_")}
    return subprocess.run(
        [str(Path(sys.executable).parent / "clearance"), *arguments],
        env=kept | dict(environ),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def campaign(path: Path) -> Campaign:
    """The campaign of a file."""
    told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return Campaign(**(told | {"tags": tuple(told["tags"])}))


def customers(path: Path) -> list[Customer]:
    """The customers of a file, in its order."""
    return [
        Customer(
            customer_id=each["customer_id"],
            attributes=each["attributes"],
            promo_codes=tuple(each.get("promo_codes", ())),
        )
        for each in json.loads(path.read_text(encoding="utf-8"))
    ]


def install(project: Path, target: Path) -> None:
    """Put a pure Python project where Python finds it with its entry points, as an installer would: offline."""
    told = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    name, version = told["project"]["name"], told["project"]["version"]
    metadata = target / f"{name.replace('-', '_')}-{version}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8"
    )
    lines = []
    for group, points in told["project"]["entry-points"].items():
        lines += [f"[{group}]", *(f"{point} = {place}" for point, place in points.items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for module in told["tool"]["setuptools"]["py-modules"]:
        (target / f"{module}.py").write_bytes((project / f"{module}.py").read_bytes())
