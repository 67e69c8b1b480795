"""Peer: oidc-provider of panva, from npm, in two processes over Redis."""

import filecmp
import secrets
import shutil
import subprocess
from pathlib import Path

from ground.node import AUDIENCE
from ground.process import Failed, free_port
from ground.site import Caller, Site, expect

from .target import Surroundings, Target

SOURCE = Path(__file__).parents[2] / "oidc-provider"
PROCESSES = 2


class OidcProvider(Target):
    """Tokens of the client credentials grant: the kind that costs it least, as no grant has to be read beside them."""

    label = f"oidc-provider, Redis, {PROCESSES} processes"
    kind = "peer"
    warm_up_seconds = 10

    def __init__(self, name: str, cores: str):
        self.name = name
        self.cores = cores

    def needs(self) -> dict[str, str]:
        node = "install Node.js 20 or later, or on Debian: sudo apt-get install nodejs npm"
        return {"node": node, "npm": node, "redis-server": "sudo apt-get install redis-server"}

    def install(self, surroundings: Surroundings) -> None:
        home = surroundings.installed / SOURCE.name
        home.mkdir(exist_ok=True)
        for file in ("adapter.js", "server.js"):
            shutil.copy(SOURCE / file, home)
        known, there = SOURCE / "package.json", home / "package.json"
        if there.exists() and filecmp.cmp(known, there, shallow=False) and (home / "node_modules").exists():
            return
        # Copied last: a fetch that was broken off is done again.
        there.unlink(missing_ok=True)
        shutil.rmtree(home / "node_modules", ignore_errors=True)
        text = known.read_text()
        there.write_text(text)
        command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel", "error"]
        done = subprocess.run(command, cwd=home, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            there.unlink()
            raise Failed(f"npm install failed:\n{done.stderr[-1500:]}")

    def start(self, surroundings: Surroundings) -> None:
        port = free_port()
        cores = surroundings.cores.server(self.cores)
        self.store = surroundings.redis(f"{self.name}-redis", cores)
        application, gateway = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        environment = {
            "NODE_ENV": "production",
            "PORT": str(port),
            "REDIS_URL": self.store.url,
            "PROCESSES": str(PROCESSES),
            "AUDIENCE": AUDIENCE,
            "APPLICATION_SECRET": application,
            "GATEWAY_SECRET": gateway,
        }
        command = ["node", str(surroundings.installed / SOURCE.name / "server.js")]
        self.server = surroundings.start(self.name, command, cores, environment)
        self.server.listens(port)
        caller, credentials, issued = Caller(port), ("application", application), []
        for _ in range(surroundings.tokens + 1):
            fields = {"grant_type": "client_credentials", "scope": "read write"}
            answer = expect(caller.form("/token", fields, credentials), 200, f"{self.name}, issuing a token")
            issued.append(answer.json()["access_token"])
        revoked = issued.pop()
        answer = caller.form("/token/revocation", {"token": revoked}, credentials)
        expect(answer, 200, f"{self.name}, revoking a token")
        self.site = Site(port, "/token/introspection", "gateway", gateway, issued, revoked)
