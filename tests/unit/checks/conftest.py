"""An internal system on loopback, for as long as a test takes."""

from collections.abc import Iterator

import pytest

from tests.fakes.peer import Peer


@pytest.fixture
def peer() -> Iterator[Peer]:
    """A system that answers as the test tells it to."""
    peer = Peer()
    yield peer
    peer.stop()
