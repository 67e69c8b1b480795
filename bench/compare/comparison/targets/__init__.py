"""What can be measured, in the order of the tables."""

from .glewlwyd import Glewlwyd
from .hyper import Hyper
from .introspectd import Introspectd
from .nginx import Nginx
from .oidc_provider import OidcProvider
from .redis_get import RedisGet
from .target import Surroundings, Target

# What everything is divided by.
CONSTANT = "nginx"

__all__ = ["CONSTANT", "Surroundings", "Target", "catalogue"]


# Each request reads its token, as one that no node has seen lately would; clients and epochs are remembered.
READS_TOKENS = {"max_bytes": 0}
# Each request reads its token and all that could end it.
READS_ALL = {"enabled": False}


def catalogue() -> list[Target]:
    """All targets, new for each run."""
    return [
        Introspectd("embedded", "introspectd, embedded store, from memory"),
        Introspectd("embedded-jwt", "introspectd, embedded store, signed tokens, from memory", jwt=True),
        Introspectd("redis", "introspectd, Redis, from memory", redis=True),
        Introspectd("redis-read", "introspectd, Redis, a read for each request", redis=True, cache=READS_TOKENS),
        Introspectd("redis-read-all", "introspectd, Redis, nothing remembered", redis=True, cache=READS_ALL),
        Nginx(),
        Hyper(),
        RedisGet(1),
        RedisGet(16),
        Introspectd("redis-two-cores", "introspectd, Redis, from memory", redis=True, cores="two"),
        Introspectd(
            "redis-read-two-cores",
            "introspectd, Redis, a read for each request",
            redis=True,
            cache=READS_TOKENS,
            cores="two",
        ),
        OidcProvider("oidc-provider-one-core", "one"),
        OidcProvider("oidc-provider", "two"),
        Glewlwyd(),
    ]
