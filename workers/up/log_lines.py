"""How lines of many processes become one stream: each with the name of its process, none torn apart."""

import threading
from typing import BinaryIO

# Of a terminal, told apart well on black and on white; red is left to errors.
_COLOURS = (36, 33, 35, 32, 34, 96, 93, 95, 92, 94)


class LogLines:
    """Writes lines to `out`.

    Args:
        width: The longest name, so that the lines stand in a column.
        colours: Whether `out` is a terminal.
    """

    def __init__(self, out: BinaryIO, *, width: int, colours: bool) -> None:
        self._out = out
        self._width = width
        self._colours = colours
        self._colour_by_name: dict[str, int] = {}
        self._lock = threading.Lock()

    def write(self, name: str, line: bytes) -> None:
        """One line as the process wrote it, after its name."""
        if not line.endswith(b"\n"):
            line += b"\n"
        with self._lock:
            try:
                self._out.write(self._prefix(name) + line)
                self._out.flush()
            except (BrokenPipeError, ValueError):
                # Nobody reads any more: the processes matter, not their lines.
                return

    def _prefix(self, name: str) -> bytes:
        text = f"{name:<{self._width}} | "
        if self._colours:
            number = self._colour_by_name.setdefault(name, len(self._colour_by_name))
            text = f"\x1b[{_COLOURS[number % len(_COLOURS)]}m{text}\x1b[0m"
        return text.encode()
