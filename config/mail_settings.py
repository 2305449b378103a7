"""What a deployment may set about mail: the relay, Optilyz and Bloomreach; a part of `config.settings.Settings`."""

from dataclasses import dataclass
from functools import partial

from marshmallow import validate

from config.setting_choices import OptilyzAuth
from config.setting_fields import setting
from config.setting_rules import NOT_NEGATIVE, PATH, POSITIVE, id_fields, url_of

_relay = partial(setting, "Mail relay")
_optilyz = partial(setting, "Optilyz")
_bloomreach = partial(setting, "Bloomreach")


@dataclass(frozen=True, slots=True, kw_only=True)
class MailSettings:
    """The settings of the relay, the mail lane and the track lane."""

    relay_api_keys: tuple[str, ...] = _relay((), secret=True)
    """Keys that let callers in at the relay and at `/webhooks/optilyz/mailings`, as the user name of Basic auth;
    comma-separated. None: nobody is let in."""
    relay_max_body_bytes: int = _relay(4_194_304, POSITIVE)
    """The largest request body at the relay: 1,000 recipients have a few hundred kilobytes."""
    relay_dedupe_window_h: float = _relay(24.0, NOT_NEGATIVE)
    """For so long the same recipient (automation, address, individualisations, variation) is answered with the
    first id and not posted again."""
    mail_dry_run: bool = _relay(False)
    """Validate, store and batch every recipient, but post nothing; a single request can ask for it with the header
    `X-Clearance-Dry-Run: 1`."""
    mail_retention_days: int = _relay(30, POSITIVE)
    """How long addresses are kept after their letter was posted, failed or dropped; `clearance purge` removes what
    is older."""

    optilyz_base_url: str = _optilyz("", url_of("https", "http"))
    """Optilyz' API, e.g. `https://www.optilyz.com/api`."""
    optilyz_api_key: str = _optilyz("", secret=True)
    """The integration key: the user name of Basic auth, without a password."""
    optilyz_auth: OptilyzAuth = _optilyz(OptilyzAuth.KEY)  # noqa: RUF009  # a field
    """`key`, or `token`: the key is exchanged for a token of an hour first."""
    optilyz_recipients_path: str = _optilyz("/v2/automations/{id}/recipients", PATH)
    """The path of Enqueue many recipients."""
    optilyz_authenticate_path: str = _optilyz("/v1/authenticate", PATH)
    """The path where a key becomes a token."""
    optilyz_max_concurrency: int = _optilyz(2, validate.Range(min=1, max=2))
    """Requests that the whole fleet may have under way at Optilyz."""
    optilyz_batch_size: int = _optilyz(100, validate.Range(min=1, max=1000))
    """Recipients in one request."""
    optilyz_max_wait_s: float = _optilyz(30.0, NOT_NEGATIVE)
    """A batch that is not full leaves when its oldest recipient has waited so long."""
    optilyz_timeout_s: float = _optilyz(20.0, POSITIVE)
    """The longest that one request may take; beyond it nobody knows whether letters are printed, and the batch
    is held. Optilyz answers within 15 s."""
    optilyz_id_fields: tuple[str, ...] = _optilyz(
        ("individualisation1=registered", "individualisation2=cookie"), id_fields
    )
    """Which individualisation fields carry which Bloomreach ids of the customer: `field=id`, comma-separated."""
    mail_lease_s: float = _optilyz(10.0, POSITIVE)
    """How long a worker holds a batch without renewing it; after that the batch is held for a person if its request
    had begun."""
    mail_threads: int = _optilyz(4, validate.Range(min=2))
    """Threads of one mail worker."""

    bloomreach_base_url: str = _bloomreach("", url_of("https", "http"))
    """Bloomreach's API, e.g. `https://api.exponea.com`. Empty: nothing is reported back."""
    bloomreach_project_token: str = _bloomreach("")
    """The project's token, part of every path."""
    bloomreach_api_key_id: str = _bloomreach("")
    """The id of the private API key: the user name of Basic auth."""
    bloomreach_api_secret: str = _bloomreach("", secret=True)
    """The secret of that key."""
    bloomreach_address_property: str = _bloomreach("postal_address_valid")
    """The customer property that is set to false when an address was refused; `-` for none."""
    bloomreach_consent_category: str = _bloomreach("")
    """The consent category that is rejected when an address was refused, e.g. `postal`; empty for none."""
    bloomreach_campaign_name: str = _bloomreach("")
    """The campaign reference of every campaign event; empty for that of the field below."""
    bloomreach_campaign_field: str = _bloomreach("")
    """The individualisation field that holds the campaign reference, e.g. `individualisation3`."""
    bloomreach_commands_per_call: int = _bloomreach(50, validate.Range(min=1, max=50))
    """Most commands in one request."""
    bloomreach_calls_per_minute: int = _bloomreach(6000, POSITIVE)
    """Requests that the whole fleet may make in a minute; beyond it Bloomreach drops data."""
    bloomreach_timeout_s: float = _bloomreach(10.0, POSITIVE)
    """The longest that one request may take."""
    track_lease_s: float = _bloomreach(15.0, POSITIVE)
    """How long a worker holds a batch of commands without renewing it."""
    track_threads: int = _bloomreach(4, POSITIVE)
    """Threads of one track worker."""
