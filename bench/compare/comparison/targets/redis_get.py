"""Floor: what a GET costs Redis, asked by redis-benchmark."""

from .. import redis_benchmark
from .target import Surroundings, Target


class RedisGet(Target):
    """GET of a value as long as a token's record; one command in each packet, or several."""

    kind = "floor"

    def __init__(self, pipeline: int):
        self.pipeline = pipeline
        self.name = f"redis-get-{pipeline}"
        self.label = f"Redis GET, {pipeline} in a packet"

    def needs(self) -> dict[str, str]:
        return {command: "sudo apt-get install redis-server" for command in ("redis-server", "redis-benchmark")}

    def start(self, surroundings: Surroundings) -> None:
        self.server = surroundings.redis(self.name, surroundings.cores.one)
        redis_benchmark.fill(self.server)
