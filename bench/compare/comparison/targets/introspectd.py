"""Us: the embedded store or Redis, from memory or with a read for each request, opaque tokens or signed ones."""

from ground.node import Node, Secrets

from .target import Surroundings, Target


class Introspectd(Target):
    """One process. What is set beyond the defaults: addresses, clients, the store, and what a row is about.

    `cache` is what of the section of that name differs from the defaults.
    """

    kind = "ours"

    def __init__(self, name: str, label: str, *, redis=False, cache=None, jwt=False, cores="one"):
        self.name = name
        self.label = label
        self.cores = cores
        self.redis = redis
        self.cache = cache
        self.jwt = jwt

    def needs(self) -> dict[str, str]:
        return {"redis-server": "sudo apt-get install redis-server"} if self.redis else {}

    def start(self, surroundings: Surroundings) -> None:
        cores = surroundings.cores.server(self.cores)
        if self.redis:
            self.store = surroundings.redis(f"{self.name}-redis", cores)
            settings = {"redis": {"url": self.store.url}}
        else:
            settings = {"store": {"path": "data"}}
        if self.cache:
            settings["cache"] = self.cache
        node = Node(self.name, surroundings.folder, Secrets(), settings)
        node.start(surroundings.introspectd, cores, 1 if self.cores == "one" else None)
        self.server = surroundings.running.enter_context(node).server
        *issued, revoked = node.issue(surroundings.tokens + 1, self.jwt, user="alice")
        node.revoke(revoked)
        self.site = node.site(issued, revoked)
        if surroundings.answer is None:
            surroundings.asked, surroundings.answer = self.site.active, self.site.check(self.name)
