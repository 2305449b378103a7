"""How a process becomes Flower, and with which password."""

import os
import secrets
import sys
from pathlib import Path

import config
from config.settings import Settings, SettingsError


def run(here: Settings) -> None:
    """Become Flower.

    Raises:
        SettingsError: There is no password.
    """
    if not here.flower_password:
        raise SettingsError(
            ("CLEARANCE_FLOWER_PASSWORD: required: whoever can open Flower sees every obligation",)
        )
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
    path = password_file(here)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        kept = path.read_text(encoding="utf-8").strip()
        if not kept:
            raise SettingsError(
                (f"CLEARANCE_FLOWER_PASSWORD: unset, and {path} is empty: delete it",)
            ) from None
        return kept
    password = secrets.token_urlsafe(18)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(password + "\n")
    return password
