"""An introspectd of one's own: its configuration, its process, and what is asked of it beside the load."""

import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from .process import Failed, Group, free_port
from .site import Caller, Site, basic, expect

AUDIENCE = "https://api.example.com"
LIFETIME_SECONDS = 86_400
# How many tokens are asked about in one request, where it is not the requests that are measured.
BATCH = 500


def secret() -> str:
    """One that nobody has."""
    return secrets.token_urlsafe(32)


@dataclass(frozen=True)
class Secrets:
    """What nodes of one store share, and what is kept when one is started again. Never written but for the nodes."""

    digest: str = field(default_factory=secret, repr=False)
    operator: str = field(default_factory=secret, repr=False)
    gateway: str = field(default_factory=secret, repr=False)
    application: str = field(default_factory=secret, repr=False)


class Node:
    """One process. What is set beyond the defaults: addresses, clients, the store, and what a figure is about."""

    def __init__(self, name: str, folder: Path, shared: Secrets, settings: dict):
        """Writes the configuration; `settings` are sections of it, the store's among them."""
        self.name = name
        self.folder = folder / name
        self.folder.mkdir()
        self.shared = shared
        self.public, self.admin = free_port(), free_port()
        self.configuration = self.folder / "introspectd.json"
        self.configuration.touch(mode=0o600)
        self.configuration.write_text(json.dumps({**self.basis(), **settings}))
        self.server = None

    def basis(self) -> dict:
        """What all have alike, so that their answers have one length."""
        return {
            "issuer": "https://tokens.example.com",
            "public": {"address": f"127.0.0.1:{self.public}"},
            "admin": {"address": f"127.0.0.1:{self.admin}"},
            "drain": {"min": "0s"},
            "log": {"level": "warn"},
            "keys": {"digest": [{"id": "01", "secret": self.shared.digest}]},
            "clients": [
                {
                    "client_id": "operator",
                    "client_secret": self.shared.operator,
                    "rights": ["admin", "issue", "revoke"],
                },
                {
                    "client_id": "gateway",
                    "client_secret": self.shared.gateway,
                    "rights": ["introspect"],
                    "audiences": [AUDIENCE],
                },
                {
                    "client_id": "application",
                    "client_secret": self.shared.application,
                    "grant_types": ["client_credentials"],
                    "scope": "read write",
                    "audiences": [AUDIENCE],
                },
            ],
        }

    def starts(self, group: Group) -> None:
        """Waits until a process that was started with the configuration listens."""
        self.server = group
        group.listens(self.public)
        group.listens(self.admin)

    def start(self, program: Path, cores: list[int], threads: int | None = 1) -> "Node":
        """Starts it. One thread on one core: more of them would only take turns."""
        environment = {} if threads is None else {"TOKIO_WORKER_THREADS": str(threads)}
        command = [str(program), "serve", "-c", str(self.configuration)]
        self.starts(Group(self.name, command, self.folder, cores, environment))
        return self

    def __enter__(self) -> "Node":
        return self

    def __exit__(self, *_) -> None:
        self.end()

    def end(self) -> None:
        """Ends its process; it may be started again."""
        if self.server is not None:
            self.server.end()
            self.server = None

    @property
    def as_operator(self) -> dict:
        """The head that an operator sends."""
        return {"Authorization": basic("operator", self.shared.operator)}

    @property
    def as_gateway(self) -> dict:
        """The head that a resource server sends."""
        return {"Authorization": basic("gateway", self.shared.gateway)}

    def issue(self, count: int, jwt: bool = False, user: str | None = None) -> list[str]:
        """Standard tokens, of this user or each of another: client, subject, user name, two scopes, one audience."""
        caller = Caller(self.admin)
        issued = []
        for number in range(count):
            new = {
                "client_id": "application",
                "sub": user or f"user-{number:08}",
                "username": f"{user or f'user{number:08}'}@example.com",
                "scope": "read write",
                "aud": AUDIENCE,
                "expires_in": LIFETIME_SECONDS,
                "format": "jwt" if jwt else "opaque",
            }
            answer = caller.json("POST", "/admin/tokens", new, self.as_operator)
            issued.append(expect(answer, 201, f"{self.name}, issuing a token").json()["access_token"])
        return issued

    def revoke(self, token: str, caller: Caller | None = None) -> None:
        """Ends a token, and comes back when that is answered."""
        caller = caller or Caller(self.admin)
        answer = caller.json("POST", "/admin/tokens/revoke", {"token": token}, self.as_operator)
        expect(answer, 200, f"{self.name}, revoking a token")

    def active(self, tokens: list[str], caller: Caller | None = None) -> int:
        """How many of these it says are active."""
        caller = caller or Caller(self.public)
        active = 0
        for first in range(0, len(tokens), BATCH):
            asked = {"tokens": tokens[first : first + BATCH]}
            answer = caller.json("POST", "/introspect/batch", asked, self.as_gateway)
            expect(answer, 200, f"{self.name}, asked about many tokens")
            active += sum(result["active"] for result in answer.json()["results"])
        return active

    def introspect(self, tokens: list[str]) -> None:
        """Asks about tokens that all have to be active."""
        if (active := self.active(tokens)) != len(tokens):
            raise Failed(f"{self.name} says that {active} of {len(tokens)} good tokens are active")

    def site(self, tokens: list[str], revoked: str | None = None) -> Site:
        """Where the gateway asks about these."""
        return Site(self.public, "/introspect", "gateway", self.shared.gateway, tokens, revoked)

    def metric(self, series: str) -> float:
        """The sum of all series of /metrics that begin so."""
        return self.metrics(series)[0]

    def metrics(self, *series: str) -> list[float]:
        """The same for several, all of one moment."""
        page = expect(Caller(self.admin).ask("GET", "/metrics"), 200, f"{self.name}, asked for its metrics").body
        return [metric(page.decode(), one) for one in series]


def metric(page: str, series: str) -> float:
    """The sum of the values on a page of metrics whose lines begin so."""
    return sum(float(line.split()[-1]) for line in page.splitlines() if line.startswith(series))
