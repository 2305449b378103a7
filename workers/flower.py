"""How a process becomes Flower, and with which password."""

import os
import sys
from pathlib import Path

import config
from config import production
from config.settings import Settings, SettingsError
from workers.made_secrets import made_secret


def run(here: Settings) -> None:
    """Become Flower.

    Raises:
        SettingsError: There is no password, or one that is easily guessed, whatever `CLEARANCE_ENV` says.
    """
    if not here.flower_password:
        raise SettingsError(
            ("CLEARANCE_FLOWER_PASSWORD: required: whoever can open Flower sees every obligation",)
        )
    if guessed := production.laptop_defaults(here).get("flower_password"):
        raise SettingsError((f"CLEARANCE_FLOWER_PASSWORD: {guessed}",))
    Path(here.state_dir).mkdir(parents=True, exist_ok=True)
    options = Path(config.__file__).with_name("flower.py")
    command = [sys.executable, "-m", "celery", "-q", "-A", "workers.flower_app", "flower"]
    # The options are in a file: arguments are visible to everybody on the machine. The logs are ours, not Tornado's.
    command += [f"--conf={options}", "--logging=none"]
    os.execv(sys.executable, command)  # noqa: S606 - this process becomes Flower


def password_file(here: Settings) -> Path:
    """Where a password that was made for this machine is kept."""
    return Path(here.state_dir) / "flower.password"


def made_password(here: Settings) -> str:
    """The password of this machine, made when there is none; only its owner can read the file."""
    return made_secret(password_file(here), "FLOWER_PASSWORD")
