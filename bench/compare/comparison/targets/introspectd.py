"""Us: the embedded store or Redis, from memory or with a read for each request, opaque tokens or signed ones."""

import json
import secrets

from ..process import free_port
from ..site import Caller, Site, basic, expect
from .target import Surroundings, Target

AUDIENCE = "https://api.example.com"
LIFETIME_SECONDS = 86_400


class Introspectd(Target):
    """One process. What is set beyond the defaults: addresses, clients, the store, and what a row is about."""

    kind = "ours"

    def __init__(self, name: str, label: str, *, redis=False, cached=True, jwt=False, cores="one"):
        self.name = name
        self.label = label
        self.cores = cores
        self.redis = redis
        self.cached = cached
        self.jwt = jwt

    def needs(self) -> dict[str, str]:
        return {"redis-server": "sudo apt-get install redis-server"} if self.redis else {}

    def start(self, surroundings: Surroundings) -> None:
        public, admin = free_port(), free_port()
        cores = surroundings.cores.server(self.cores)
        keys = {name: secrets.token_urlsafe(32) for name in ("operator", "gateway")}
        home = surroundings.folder / self.name
        home.mkdir()
        if self.redis:
            self.store = surroundings.redis(f"{self.name}-redis", cores)
        configuration = home / "introspectd.json"
        configuration.touch(mode=0o600)
        configuration.write_text(json.dumps(self.configuration(public, admin, keys)))
        # One thread on one core: more of them would only take turns.
        environment = {"TOKIO_WORKER_THREADS": "1"} if self.cores == "one" else {}
        command = [str(surroundings.introspectd), "serve", "-c", str(configuration)]
        self.server = surroundings.start(self.name, command, cores, environment)
        self.server.listens(public)
        self.server.listens(admin)
        self.seed(public, admin, keys, surroundings.tokens)
        if surroundings.answer is None:
            surroundings.asked, surroundings.answer = self.site.active, self.site.check(self.name)

    def configuration(self, public: int, admin: int, keys: dict[str, str]) -> dict:
        """Its configuration file."""
        client = {"client_id": "application", "grant_types": ["client_credentials"], "scope": "read write"}
        configuration = {
            # The same for all, so that their answers have one length.
            "issuer": "https://tokens.example.com",
            "public": {"address": f"127.0.0.1:{public}"},
            "admin": {"address": f"127.0.0.1:{admin}"},
            "drain": {"min": "0s"},
            "log": {"level": "warn"},
            "keys": {"digest": [{"id": "01", "secret": secrets.token_urlsafe(32)}]},
            "clients": [
                {"client_id": "operator", "client_secret": keys["operator"], "rights": ["admin", "issue"]},
                {
                    "client_id": "gateway",
                    "client_secret": keys["gateway"],
                    "rights": ["introspect"],
                    "audiences": [AUDIENCE],
                },
                {**client, "client_secret": secrets.token_urlsafe(32), "audiences": [AUDIENCE]},
            ],
        }
        if self.redis:
            configuration["redis"] = {"url": self.store.url}
        else:
            configuration["store"] = {"path": "data"}
        if not self.cached:
            configuration["cache"] = {"enabled": False}
        return configuration

    def seed(self, public: int, admin: int, keys: dict[str, str], tokens: int) -> None:
        """Tokens, and one more that is revoked."""
        caller = Caller(admin)
        operator = {"Authorization": basic("operator", keys["operator"])}
        new = {
            "client_id": "application",
            "sub": "alice",
            "username": "alice@example.com",
            "scope": "read write",
            "aud": AUDIENCE,
            "expires_in": LIFETIME_SECONDS,
            "format": "jwt" if self.jwt else "opaque",
        }
        issued = []
        for _ in range(tokens + 1):
            answer = expect(caller.json("POST", "/admin/tokens", new, operator), 201, f"{self.name}, issuing a token")
            issued.append(answer.json()["access_token"])
        revoked = issued.pop()
        doing = f"{self.name}, revoking a token"
        expect(caller.json("POST", "/admin/tokens/revoke", {"token": revoked}, operator), 200, doing)
        self.site = Site(public, "/introspect", "gateway", keys["gateway"], issued, revoked)
