"""A lane that lacks what it needs does not start, and says all of it at once."""

import pytest

from config.settings import Settings, SettingsError
from workers.wiring import require_lane


def test_the_mail_lane_needs_a_vendor_its_key_and_a_redis() -> None:
    with pytest.raises(SettingsError) as raised:
        require_lane(Settings(broker_url="amqp://localhost"), "mail")

    told = [problem.partition(":")[0] for problem in raised.value.problems]
    assert told == ["CLEARANCE_OPTILYZ_BASE_URL", "CLEARANCE_OPTILYZ_API_KEY", "CLEARANCE_REDIS_URL"]


def test_a_mail_worker_needs_nothing_of_optimove_and_no_rules() -> None:
    settings = Settings(
        broker_url="redis://localhost", optilyz_base_url="https://vendor.test", optilyz_api_key="k"
    )

    require_lane(settings, "mail")
