"""Peer: glewlwyd from Debian, unpacked into a folder of ours, with its database in SQLite."""

import os
import re
import secrets
import shutil
import sqlite3
import subprocess
from pathlib import Path

from ground.process import Failed, free_port
from ground.site import Caller, Site, expect

from .target import Surroundings, Target

PLUGIN = "oidc"

# As its package creates it.
ADMINISTRATOR = {"username": "admin", "password": "password"}

CONFIGURATION = """
port={port}
bind_address="127.0.0.1"
external_url="http://127.0.0.1:{port}/"
login_url="login.html"
api_prefix="api"
log_mode="console"
log_level="ERROR"
cookie_secure=0
session_expiration=86400
session_key="GLEWLWYD2_SESSION_ID"
admin_session_authentication="cookie"
login_api_enabled=true
max_post_size=1048576
admin_scope="g_admin"
profile_scope="g_profile"
user_module_path="{modules}/user"
client_module_path="{modules}/client"
user_auth_scheme_module_path="{modules}/scheme"
plugin_module_path="{modules}/plugin"
hash_algorithm="SHA512"
database = {{ type = "sqlite3" path = "{database}" }}
"""


class Glewlwyd(Target):
    """It starts a thread for each connection, and decides itself how many cores that takes."""

    name = "glewlwyd"
    label = "glewlwyd, SQLite"
    kind = "peer"
    cores = "two"

    def needs(self) -> dict[str, str]:
        debian = "only on Debian and its like; leave it out with --without glewlwyd"
        return {"apt-get": debian, "dpkg": debian}

    def install(self, surroundings: Surroundings) -> None:
        home = surroundings.installed / self.name
        if (home / "usr/bin/glewlwyd").exists():
            return
        packages = home / "packages"
        shutil.rmtree(home, ignore_errors=True)
        packages.mkdir(parents=True)
        # What would be installed is what is not here yet: of that, the program and its libraries are needed.
        plan = output_of(["apt-get", "--simulate", "--no-install-recommends", "install", self.name], packages)
        wanted = {name for name in re.findall(r"^Inst (\S+)", plan, re.MULTILINE) if name.startswith("lib")}
        output_of(["apt-get", "download", self.name, "glewlwyd-common", *sorted(wanted)], packages)
        for package in sorted(packages.glob("*.deb"), key=lambda file: file.name.startswith("glewlwyd_")):
            output_of(["dpkg", "--extract", str(package), str(home)], packages)

    def start(self, surroundings: Surroundings) -> None:
        port = free_port()
        installed = surroundings.installed / self.name
        home = surroundings.folder / self.name
        home.mkdir()
        database = home / "glewlwyd.db"
        tables = installed / "usr/share/dbconfig-common/data/glewlwyd/install/sqlite3"
        with sqlite3.connect(database) as connection:
            connection.executescript(tables.read_text())
        configuration = home / "glewlwyd.conf"
        modules = installed / "usr/lib/glewlwyd"
        configuration.write_text(CONFIGURATION.format(port=port, modules=modules, database=database))
        libraries = ":".join(map(str, (installed / "usr/lib").glob("*-linux-gnu*")))
        command = [str(installed / "usr/bin/glewlwyd"), f"--config-file={configuration}"]
        cores = surroundings.cores.server(self.cores)
        self.server = surroundings.start(self.name, command, cores, {"LD_LIBRARY_PATH": libraries})
        self.server.listens(port)
        self.seed(port, surroundings.tokens)

    def seed(self, port: int, tokens: int) -> None:
        """Switches on what is measured, and makes a client that asks about its own tokens."""
        secret = secrets.token_urlsafe(32)
        caller = Caller(port)
        answer = expect(caller.json("POST", "/api/auth/", ADMINISTRATOR), 200, f"{self.name}, logging in")
        session = {"Cookie": answer.headers["set-cookie"].partition(";")[0]}
        self.administer(caller, session, "/api/mod/plugin/", plugin(port))
        for scope in ("read", "write"):
            new = {"name": scope, "display_name": scope, "description": scope, "password_required": False}
            self.administer(caller, session, "/api/scope/", new)
        self.administer(
            caller,
            session,
            "/api/client/",
            {
                "client_id": "application",
                "name": "application",
                "confidential": True,
                "enabled": True,
                # As text, which is compared at once: hashing a `password` is slow, and nothing else would be measured.
                "client_secret": secret,
                "token_endpoint_auth_method": ["client_secret_basic"],
                "authorization_type": ["client_credentials"],
                "scope": ["read", "write"],
            },
        )
        credentials, issued = ("application", secret), []
        for _ in range(tokens + 1):
            fields = {"grant_type": "client_credentials", "scope": "read write"}
            answer = caller.form(f"/api/{PLUGIN}/token", fields, credentials)
            issued.append(expect(answer, 200, f"{self.name}, issuing a token").json()["access_token"])
        revoked = issued.pop()
        answer = caller.form(f"/api/{PLUGIN}/revoke", {"token": revoked}, credentials)
        expect(answer, 200, f"{self.name}, revoking a token")
        self.site = Site(port, f"/api/{PLUGIN}/introspect", "application", secret, issued, revoked)

    def administer(self, caller: Caller, session: dict, path: str, value: dict) -> None:
        """One request as its administrator."""
        expect(caller.json("POST", path, value, session), 200, f"{self.name}, POST {path}")


def plugin(port: int) -> dict:
    """OpenID Connect with introspection by the client that a token was issued to. HMAC is what costs it least."""
    return {
        "module": "oidc",
        "name": PLUGIN,
        "display_name": PLUGIN,
        "enabled": True,
        "parameters": {
            "iss": f"http://127.0.0.1:{port}",
            # Else it gives tokens to people only.
            "allow-non-oidc": True,
            "jwt-type": "sha",
            "jwt-key-size": "256",
            "key": secrets.token_urlsafe(32),
            "code-duration": 600,
            "refresh-token-duration": 86_400,
            "access-token-duration": 86_400,
            "auth-type-client-enabled": True,
            "auth-type-code-enabled": True,
            "auth-type-token-enabled": False,
            "auth-type-id-token-enabled": True,
            "auth-type-none-enabled": False,
            "auth-type-password-enabled": False,
            "auth-type-refresh-enabled": False,
            "introspection-revocation-allowed": True,
            "introspection-revocation-allow-target-client": True,
        },
    }


def output_of(command: list[str], folder: Path) -> str:
    """What a command of the package manager prints."""
    environment = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise Failed(f"{' '.join(command[:2])} failed (try sudo apt-get update):\n{done.stderr[-1500:]}")
    return done.stdout
