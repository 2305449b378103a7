"""How is the broker, or the Redis beside it, known to be ours? By a certificate, always checked, with its host name.

In: a URL and settings. Out: the options of whoever connects; none without TLS. kombu's own choice for `rediss://` is to
check nothing, so nothing here is left to a default.
Source: kombu.connection.Connection (`ssl_cert_reqs` is CERT_NONE), amqp.transport.SSLTransport (`server_hostname`).
"""

import ssl
from typing import Any

from config.settings import Settings


def redis_tls(url: str, settings: Settings) -> dict[str, Any]:
    """For a client of Redis, and for kombu's."""
    if not url.startswith("rediss://"):
        return {}
    return {
        "ssl_cert_reqs": ssl.CERT_REQUIRED,
        "ssl_check_hostname": True,
        "ssl_min_version": ssl.TLSVersion.TLSv1_2,
        "ssl_ca_certs": settings.broker_ca_path or None,
        "ssl_certfile": settings.broker_cert_path or None,
        "ssl_keyfile": settings.broker_key_path or None,
    }


def amqp_tls(url: str, settings: Settings) -> dict[str, Any]:
    """For kombu's client of RabbitMQ."""
    if not url.startswith("amqps://"):
        return {}
    return {
        "cert_reqs": ssl.CERT_REQUIRED,
        # None: kombu fills in the host of the URL; without the key no name would be checked.
        "server_hostname": None,
        "tls_minimum_version": ssl.TLSVersion.TLSv1_2,
        "ca_certs": settings.broker_ca_path or None,
        "certfile": settings.broker_cert_path or None,
        "keyfile": settings.broker_key_path or None,
    }
