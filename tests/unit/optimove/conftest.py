"""A vendor on loopback, and how fast it is gone."""

from collections.abc import Iterator

import pytest

from tests.fakes.peer import Peer


@pytest.fixture
def peer() -> Iterator[Peer]:
    """A vendor that answers as the test tells it to."""
    peer = Peer()
    yield peer
    peer.stop()
