"""Whether an outside ClickHouse can be used."""

import contextlib
import http.client
import ssl
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from crmstream.stack.outside import Unusable, reach

ANSWER_SECONDS: Final = 3.0
_NO_ACCESS: Final = {"192", "193", "194", "497", "516"}
"""ClickHouse's codes for an unknown user, a wrong password, and missing rights."""


def check(url: str) -> None:
    """Run a query; raises :class:`Unusable`."""
    parts = parts_of(url)
    reach(parts.hostname or "", _port(parts))
    try:
        status, headers, body = _ask(parts)
    except ssl.SSLCertVerificationError:
        raise Unusable("has a certificate that this machine does not trust") from None
    except ssl.SSLError:
        raise Unusable("does not speak TLS: is it http:// rather than https://?") from None
    except TimeoutError:
        raise Unusable("accepts connections and does not answer") from None
    except (OSError, http.client.HTTPException, ValueError):
        raise Unusable(
            "does not speak HTTP: ClickHouse's HTTP port is 8123, or 8443 with https:// (9000 is its native one)"
        ) from None
    if body == b"1\n":
        return
    if status in {401, 403} or headers.get("x-clickhouse-exception-code") in _NO_ACCESS:
        raise Unusable("refuses the user or the password")
    if b"clickhouse-client program" in body:
        raise Unusable("answers on its native port: CRM_CLICKHOUSE_URL needs the HTTP port, 8123 or 8443")
    if any(name.startswith("x-clickhouse") for name in headers):
        raise Unusable(f"answers with an error (HTTP {status})")
    raise Unusable(f"answers, and is not ClickHouse (HTTP {status})")


def parts_of(url: str) -> SplitResult:
    """Take the URL apart; raises :class:`Unusable` for another form."""
    with contextlib.suppress(ValueError):
        parts = urlsplit(url)
        if parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0:
            return parts
    raise Unusable("has no valid address: it must have the form http(s)://user:password@host:port")


def _port(parts: SplitResult) -> int:
    return parts.port or (8443 if parts.scheme == "https" else 8123)


def _ask(parts: SplitResult) -> tuple[int, dict[str, str], bytes]:
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    headers = {
        "X-ClickHouse-User": unquote(parts.username or "default"),
        "X-ClickHouse-Key": unquote(parts.password or ""),
    }
    with contextlib.closing(kind(parts.hostname or "", _port(parts), timeout=ANSWER_SECONDS)) as connection:
        connection.request("GET", "/?query=SELECT+1", headers=headers)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read(10_000)
