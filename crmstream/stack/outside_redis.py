"""Whether an outside Redis can be used."""

import contextlib
from typing import Final
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from crmstream.stack.outside import Unusable, reach

ANSWER_SECONDS: Final = 2.0
DEFAULT_PORT: Final = 6379


def check(url: str) -> None:
    """Ping it; raises :class:`Unusable`."""
    host, port = place_of(url)
    reach(host, port)
    try:
        with redis.Redis.from_url(
            url, socket_timeout=ANSWER_SECONDS, socket_connect_timeout=ANSWER_SECONDS, retry=Retry(NoBackoff(), 0)
        ) as client:
            client.ping()
            _refuse_cluster(client)
    except redis.BusyLoadingError:
        raise Unusable("is loading its data: try again in a moment") from None
    except (redis.AuthenticationError, redis.exceptions.NoPermissionError):
        raise Unusable("refuses the user or the password") from None
    except redis.ResponseError:
        raise Unusable("answers with an error: is the number of its database right?") from None
    except (redis.RedisError, OSError, ValueError):
        tls = "does it speak TLS?" if url.startswith("rediss:") else "does it want TLS (rediss://)?"
        raise Unusable(
            f"accepts connections and does not answer in Redis' protocol: is it another program, or {tls}"
        ) from None


def _refuse_cluster(client: redis.Redis) -> None:
    with contextlib.suppress(redis.exceptions.NoPermissionError, redis.ResponseError):
        if client.info("cluster").get("cluster_enabled"):
            raise Unusable("is a cluster, and crmstream needs a single server")


def place_of(url: str) -> tuple[str, int]:
    """Return host and port of the URL; raises :class:`Unusable` for another form."""
    with contextlib.suppress(ValueError):
        parts = urlsplit(url)
        if parts.scheme in {"redis", "rediss"} and parts.hostname and parts.port != 0:
            return parts.hostname, parts.port or DEFAULT_PORT
    raise Unusable("has no valid address: it must have the form redis(s)://user:password@host:port/db")
