"""Ingest starts if there is anybody whom it would let in, at whichever of its doors."""

import pytest

from config.settings import Settings, SettingsError
from workers.wiring import require_ingest


@pytest.mark.parametrize(
    "settings",
    [
        Settings(optimove_webhook_secrets=("secret",)),
        Settings(optimove_listener_token="token"),
        Settings(relay_api_keys=("key",)),
    ],
    ids=["a webhook secret", "a listener token", "a relay key"],
)
def test_one_door_that_opens_is_enough(settings: Settings) -> None:
    require_ingest(settings)


def test_without_any_ingest_does_not_start_and_says_what_would_do() -> None:
    with pytest.raises(SettingsError) as caught:
        require_ingest(Settings())

    (problem,) = caught.value.problems
    for name in ("OPTIMOVE_WEBHOOK_SECRETS", "OPTIMOVE_LISTENER_TOKEN", "RELAY_API_KEYS"):
        assert f"CLEARANCE_{name}" in problem
