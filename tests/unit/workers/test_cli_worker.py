"""Into which process `clearance worker LANE` turns."""

import os

import pytest
from click.testing import CliRunner

from config import logs
from workers.cli import main


class _Became(Exception):
    """Nothing is executed."""


@pytest.mark.parametrize(("set_before", "heaps"), [(None, "1"), ("4", "4")])
def test_a_worker_has_one_heap_for_all_threads_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, set_before: str | None, heaps: str
) -> None:
    def become(*_: object) -> None:
        raise _Became

    environment = {
        "CLEARANCE_BROKER_URL": "redis://127.0.0.1:1",
        "CLEARANCE_OPTILYZ_BASE_URL": "https://vendor.test",
        "CLEARANCE_OPTILYZ_API_KEY": "k",
    }
    before = {} if set_before is None else {"MALLOC_ARENA_MAX": set_before}
    monkeypatch.setattr(os, "environ", environment | before)
    monkeypatch.setattr(os, "execv", become)
    monkeypatch.setattr(logs, "configure", lambda *_: None)  # it would hold for all other tests, too

    result = CliRunner().invoke(main, ["worker", "mail"])

    assert isinstance(result.exception, _Became), result.output
    assert os.environ["CLEARANCE_LANE"] == "mail"
    assert os.environ["MALLOC_ARENA_MAX"] == heaps
