"""Do the vendors answer, and do they take our credentials? One harmless read of each.

What a read tells of a clock is only good to a second: the `Date` of an answer has no fraction (RFC 9110, 6.6.1).
Sources: facts sheets, "GetWebhooks" (Optimove; the path is a setting), "look" and "token auth" (Optilyz); `system/time`
of Bloomreach is what its public client exponea-python-sdk 0.2.0 asks.
"""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import quote

import orjson
import urllib3

from clearance.http.bounded_pool import open_pool
from clearance.http.exchange import CREDENTIAL_STATUSES
from config.setting_choices import OptilyzAuth
from config.settings import PREFIX, Settings
from workers.doctor.clocks import judged
from workers.doctor.findings import Finding, Runbook, fail, ok, warn
from workers.doctor.means import Means

_DATE_ACCURACY_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """One request that changes nothing."""

    base_url: str
    path: str
    headers: Mapping[str, str]
    method: str = "GET"
    body: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    status: int
    # Their clock less ours; None when they did not say.
    ahead: timedelta | None


def look_at_optimove(means: Means) -> Iterator[Finding]:
    """GetWebhooks; and its clock, roughly."""
    here = means.settings
    if not (here.optimove_base_url and here.optimove_api_key):
        return
    read = _Read(
        base_url=here.optimove_base_url,
        path=here.optimove_webhooks_path,
        headers={"X-API-KEY": here.optimove_api_key},
    )
    finding, answer = _asked(means, "optimove", read, "OPTIMOVE_BASE_URL", "OPTIMOVE_API_KEY")
    yield finding
    if answer is not None and answer.ahead is not None:
        yield judged(means, "clock optimove api", answer.ahead, accuracy_s=_DATE_ACCURACY_S)


def look_at_optilyz(means: Means) -> Iterator[Finding]:
    """The list of automations; with token auth, a token."""
    here = means.settings
    if here.optilyz_base_url and here.optilyz_api_key:
        yield _asked(means, "optilyz", _optilyz(here), "OPTILYZ_BASE_URL", "OPTILYZ_API_KEY")[0]


def look_at_bloomreach(means: Means) -> Iterator[Finding]:
    """Its time."""
    here = means.settings
    if not (here.bloomreach_base_url and here.bloomreach_api_secret):
        return
    project = quote(here.bloomreach_project_token, safe="")
    read = _Read(
        base_url=here.bloomreach_base_url,
        path=f"/track/v2/projects/{project}/system/time",
        headers=_basic(here.bloomreach_api_key_id, here.bloomreach_api_secret),
    )
    names = ("BLOOMREACH_BASE_URL", "BLOOMREACH_API_KEY_ID", "BLOOMREACH_API_SECRET")
    yield _asked(means, "bloomreach", read, *names)[0]


def _optilyz(here: Settings) -> _Read:
    if here.optilyz_auth is OptilyzAuth.TOKEN:
        return _Read(
            base_url=here.optilyz_base_url,
            path=here.optilyz_authenticate_path,
            headers={"Content-Type": "application/json"},
            method="POST",
            body=orjson.dumps({"key": here.optilyz_api_key}),
        )
    return _Read(
        base_url=here.optilyz_base_url,
        path=here.optilyz_recipients_path.partition("/{id}")[0],
        headers=_basic(here.optilyz_api_key, ""),
    )


def _asked(
    means: Means, vendor: str, read: _Read, url_name: str, *key_names: str
) -> tuple[Finding, _Answer | None]:
    check = f"vendor {vendor}"
    url, keys = PREFIX + url_name, ", ".join(PREFIX + name for name in key_names)
    if not means.asks_vendors:
        return ok(check, "not asked"), None
    try:
        answer = _answer(means, read)
    except ValueError:
        return fail(check, "cannot be asked", f"check {url} and {keys}"), None
    except (urllib3.exceptions.HTTPError, OSError) as error:
        # The type only: the text may hold an address.
        told = f"no answer ({type(error).__name__})"
        do = f"check {url} and the network from here; retries go on until the deadlines"
        return fail(check, told, do, Runbook.VENDOR_FAILING), None
    return _judged(check, answer.status, keys), answer


def _judged(check: str, status: int, keys: str) -> Finding:
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return ok(check, "answers, and takes our credentials")
    if status in CREDENTIAL_STATUSES:
        return fail(check, f"{status}: refuses our credentials", f"check {keys}", Runbook.VENDOR_401)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        do = "ask the vendor; retries go on until the deadlines"
        return fail(check, f"{status}: fails", do, Runbook.VENDOR_FAILING)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return warn(check, "429: wants fewer calls; the fleet holds back", "", Runbook.VENDOR_FAILING)
    return warn(check, f"{status}: answers, but does not know this call: our credentials are not proven")


def _answer(means: Means, read: _Read) -> _Answer:
    pool, prefix = open_pool(read.base_url, pool_size=1)
    try:
        before = means.now
        response = pool.urlopen(
            read.method,
            prefix + read.path,
            body=read.body,
            headers={"Accept": "application/json", "User-Agent": "clearance"} | dict(read.headers),
            retries=False,
            assert_same_host=False,
            timeout=urllib3.Timeout(total=means.timeout_s),
            preload_content=False,
        )
        half_way = before + (means.now - before) / 2
        response.close()
    finally:
        pool.close()
    return _Answer(status=response.status, ahead=_ahead(response.headers.get("Date"), half_way))


def _ahead(date: str | None, now: datetime) -> timedelta | None:
    try:
        told = parsedate_to_datetime(date or "")
    except (ValueError, OverflowError):
        return None
    # On average half a second has passed since the second that it names.
    return told.replace(tzinfo=told.tzinfo or UTC) + timedelta(milliseconds=500) - now


def _basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}
