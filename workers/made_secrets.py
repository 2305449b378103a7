"""Where does a secret come from that nobody has set? It is made once for this machine, and kept in a file."""

import os
import secrets
from pathlib import Path

from config.settings import PREFIX, SettingsError


def made_secret(path: Path, variable: str) -> str:
    """What `path` holds, made when there is none; only its owner can read the file.

    Raises:
        SettingsError: The file is empty, and `variable` unset.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        kept = path.read_text(encoding="utf-8").strip()
        if not kept:
            raise SettingsError((f"{PREFIX}{variable}: unset, and {path} is empty: delete it",)) from None
        return kept
    made = secrets.token_urlsafe(18)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(made + "\n")
    return made
