"""Everything is killed while letters are posted: none is printed twice, never a third request is in flight.

`tests/system/mail_storm.py` says how to try more seeds, or one of them again.
"""

from collections.abc import Iterator

import pytest

from tests.system.mail_fleet import MailFleet, mail_running
from tests.system.mail_storm import SEEDS, storm

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailFleet]:
    """One fleet for all seeds."""
    with mail_running(tmp_path_factory.mktemp("mail")) as here:
        yield here


@pytest.mark.parametrize("seed", SEEDS)
def test_whoever_is_killed_each_letter_is_printed_once_at_most_and_has_its_end(
    here: MailFleet, seed: int
) -> None:
    assert storm(here, seed).printed
