"""A node with accounts, and users in it."""

import random
from pathlib import Path

from ground.node import Node, Secrets
from ground.site import Answer, Caller, expect

PASSWORD = "correct horse battery staple"
WRONG = "correct horse battery stable"

# Nobody has to wait: what is measured is what it costs to be compared. Those of an account end at 100, whatever is set.
UNHINDERED = {
    "enabled": True,
    "failures_per_account_and_source": 100,
    "failures_per_account": 100,
    "failures_per_source": 1_000_000,
    "failures_per_minute": 1_000_000,
    "registrations_per_hour": 0,
}


def node(name: str, folder: Path, settings: dict, **accounts) -> Node:
    """Its configuration; `accounts` are settings of that section beyond those above."""
    proxies = {"authentication": {"trusted_proxies": ["127.0.0.1"]}}
    return Node(name, folder, Secrets(), {**proxies, **settings, "accounts": {**UNHINDERED, **accounts}})


def email(username: str) -> str:
    """Each has one."""
    return f"{username}@example.org"


def register(of: Node, names: list[str], disabled: bool = False) -> None:
    """Makes users by these names, as an operator does."""
    caller = Caller(of.admin)
    for name in names:
        new = {"username": name, "email": email(name), "password": PASSWORD}
        made = expect(caller.json("POST", "/admin/users", new, of.as_operator), 201, f"making {name}").json()
        if disabled:
            path = f"/admin/users/{made['id']}/disable"
            answer = caller.json("POST", path, {}, of.as_operator)
            if answer.status // 100 != 2:
                expect(answer, 204, f"disabling {name}")


def address(chance: random.Random) -> str:
    """One that nobody else has, so that no source has to wait."""
    return ".".join(str(part) for part in (10, *(chance.randrange(256) for _ in range(3))))


def log_in(caller: Caller, username: str, password: str, chance: random.Random) -> Answer:
    """One login from anywhere."""
    headers = {"X-Forwarded-For": address(chance)}
    return caller.json("POST", "/login/", {"username": username, "password": password}, headers)
