"""Where a token can be asked about, and whether the answers are right."""

import base64
import http.client
import json
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

from .process import Failed


@dataclass(frozen=True)
class Answer:
    """What came back: header names are in small letters."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict:
        """The body, which has to be a JSON object."""
        return json.loads(self.body)


class Caller:
    """One connection to a server on loopback, kept open: seeding asks thousands of times."""

    def __init__(self, port: int):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30.0)

    def ask(self, method: str, path: str, body: bytes | None = None, headers: dict | None = None) -> Answer:
        """One request, whatever its status."""
        self.connection.request(method, path, body=body, headers=headers or {})
        response = self.connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, found, response.read())

    def form(self, path: str, fields: dict[str, str], credentials: tuple[str, str]) -> Answer:
        """A form, with Basic credentials."""
        headers = {"Authorization": basic(*credentials), "Content-Type": "application/x-www-form-urlencoded"}
        return self.ask("POST", path, urllib.parse.urlencode(fields).encode(), headers)

    def json(self, method: str, path: str, value: dict, headers: dict | None = None) -> Answer:
        """A JSON body."""
        return self.ask(
            method, path, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})}
        )


def basic(identifier: str, secret: str) -> str:
    """Basic credentials of these (RFC 6749 section 2.3.1); both are of characters that need no escape."""
    return "Basic " + base64.b64encode(f"{identifier}:{secret}".encode()).decode()


def expect(answer: Answer, status: int, doing: str) -> Answer:
    """The answer, if it has the status."""
    if answer.status != status:
        raise Failed(f"{doing}: {answer.status} {answer.body[:500].decode(errors='replace')}")
    return answer


@dataclass(frozen=True)
class Site:
    """An introspection endpoint, who may ask there, and what is true. Tokens need no escape in a form."""

    port: int
    path: str
    client_id: str
    client_secret: str
    active: list[str]
    # None where every answer is the same, as of a floor.
    revoked: str | None

    @property
    def url(self) -> str:
        """The whole address."""
        return f"http://127.0.0.1:{self.port}{self.path}"

    def introspect(self, token: str) -> Answer:
        """One question, asked by itself."""
        return Caller(self.port).form(self.path, {"token": token}, (self.client_id, self.client_secret))

    def check(self, name: str) -> Answer:
        """Holds that a good token is active and a revoked one is not; the answer to the good one."""
        good = expect(self.introspect(self.active[0]), 200, f"{name}, asked about a good token")
        if good.json().get("active") is not True:
            raise Failed(f"{name} says of a good token: {good.body[:500].decode(errors='replace')}")
        if self.revoked is not None:
            dead = expect(self.introspect(self.revoked), 200, f"{name}, asked about a revoked token")
            if dead.json().get("active") is not False:
                raise Failed(f"{name} says of a revoked token: {dead.body[:500].decode(errors='replace')}")
        return good

    def write_questions(self, file: Path) -> None:
        """For wrk: the credentials, and then a token a line."""
        private(file, "\n".join([basic(self.client_id, self.client_secret), *self.active]) + "\n")

    def write_truth(self, tokens: Path, secret: Path) -> None:
        """For introspectd-load: what is true of each token, and the secret."""
        private(tokens, "".join(json.dumps({"token": token, "active": True}) + "\n" for token in self.active))
        private(secret, self.client_secret)


def private(file: Path, text: str) -> None:
    """A file for our own eyes: it has secrets in it."""
    file.touch(mode=0o600)
    file.write_text(text)
