"""The benchmark of decisions compares like with like."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from benchmarks import rules


def test_the_engine_and_plain_python_decide_the_same() -> None:
    told = io.StringIO()

    assert rules.run(2_000, Console(file=told, width=120))
    assert "all answers are equal" in told.getvalue()


def test_answers_that_differ_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told = io.StringIO()
    careless = replace(rules.CHECKS[0], plain=lambda _values: True)
    monkeypatch.setattr(rules, "CHECKS", (careless, *rules.CHECKS[1:]))

    assert not rules.run(2_000, Console(file=told, width=120))
    assert "ANSWERS DIFFER" in told.getvalue()
