"""What is the sandbox's half for mail? Optilyz, which prints, and Bloomreach, which hears of it.

Both let in with the sandbox's own key: Optilyz as its API key, Bloomreach as the secret of key `BLOOMREACH_KEY_ID` in
project `BLOOMREACH_PROJECT`.
"""

from typing import Any

from aiohttp import web

from clearance.sandbox.bloomreach_control import Bloomreach
from clearance.sandbox.bloomreach_credentials import BloomreachCredentials
from clearance.sandbox.faults import Faults
from clearance.sandbox.gate import Gate
from clearance.sandbox.limits import SlidingWindows
from clearance.sandbox.optilyz_control import Optilyz
from clearance.sandbox.optilyz_credentials import OptilyzCredentials
from clearance.sandbox.options import BLOOMREACH_KEY_ID, BLOOMREACH_PROJECT
from clearance.sandbox.times import Times


class Mail:
    """The wiring of both."""

    def __init__(self, *, api_key: str, windows: SlidingWindows, faults: Faults, times: Times) -> None:
        optilyz_credentials = OptilyzCredentials(api_key=api_key, monotonic_s=times.monotonic_s)
        bloomreach_credentials = BloomreachCredentials(key_id=BLOOMREACH_KEY_ID, secret=api_key)
        self._optilyz = Optilyz(optilyz_credentials)
        self._bloomreach = Bloomreach(
            credentials=bloomreach_credentials, project_token=BLOOMREACH_PROJECT, times=times
        )
        self._optilyz_gate, self._bloomreach_gate = (
            Gate(credentials=credentials, windows=windows, faults=faults, times=times)
            for credentials in (optilyz_credentials, bloomreach_credentials)
        )

    def routes(self) -> list[web.RouteDef]:
        """The routes of both, and of their control."""
        return [
            *self._optilyz.routes(self._optilyz_gate),
            *self._bloomreach.routes(self._bloomreach_gate),
        ]

    def report(self) -> dict[str, Any]:
        """What the report adds."""
        return {"optilyz": self._optilyz.report(), "bloomreach": self._bloomreach.report()}

    def reset(self) -> None:
        """Forget letters, customers and events."""
        self._optilyz.reset()
        self._bloomreach.reset()
