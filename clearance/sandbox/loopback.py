"""Is this address on this machine? The sandbox neither listens nor sends anywhere else."""

from ipaddress import ip_address

from yarl import URL


class NotLoopbackError(ValueError):
    """An address outside this machine was given; use 127.0.0.1, ::1 or localhost."""


def is_loopback_host(host: str) -> bool:
    """Whether `host` is `localhost` or a loopback address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def load_loopback_url(text: str) -> URL:
    """The URL that `text` names, parsed by what later sends to it.

    Raises:
        NotLoopbackError: It is not http on this machine; refuse it.
    """
    try:
        url = URL(text)
        is_loopback = url.scheme == "http" and url.host is not None and is_loopback_host(url.host)
        has_port = url.port is not None
    except ValueError:
        is_loopback = has_port = False
    if not (is_loopback and has_port):
        raise NotLoopbackError("must be an http URL on loopback: the sandbox sends nowhere else")
    return url
