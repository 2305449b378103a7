"""The Celery application that Flower looks through: it needs the broker only, no lane and no vendor's credentials."""

from config import logs, settings
from workers import wiring

_SETTINGS = settings.load()
logs.configure(_SETTINGS.log_format, _SETTINGS.log_level, "flower")

app = wiring.celery_app(_SETTINGS)
