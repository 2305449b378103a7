"""How is a sandbox set up? One frozen value; unusable options never become a sandbox."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from clearance.sandbox.limits import Group, Limit
from clearance.sandbox.loopback import NotLoopbackError, is_loopback_host

# Where the vendors of mail are in a sandbox, and what lets in there beside its own API key, which is Optilyz' key, too,
# and the secret of Bloomreach's.
OPTILYZ_PATH = "/api"
BLOOMREACH_KEY_ID = "sandbox-key"
BLOOMREACH_PROJECT = "sandbox-project"


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxOptions:
    """What one sandbox listens on, whom it lets in, and how it signs.

    Attributes:
        port: 0 for any free one.
        promotions_authorization: What `POST /promotions/activate` wants as `Authorization`. Empty: it is open.
        secret: Signs notifications until `PUT .../triggered/settings` sets another. Empty: no signature.
        limits: Differences from the vendor's limits by API group; None is unlimited.

    Raises:
        NotLoopbackError: `host` is reachable from outside this machine; give a loopback address.
    """

    host: str = "127.0.0.1"
    port: int = 8900
    api_key: str = field(default="sandbox-api-key", repr=False)
    username: str = "sandbox"
    password: str = field(default="sandbox-password", repr=False)
    secret: str = field(default="", repr=False)
    promotions_authorization: str = field(default="", repr=False)
    limits: Mapping[Group, Limit | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not is_loopback_host(self.host):
            raise NotLoopbackError(
                f"the sandbox listens on loopback only, not on {self.host!r}: use 127.0.0.1"
            )
