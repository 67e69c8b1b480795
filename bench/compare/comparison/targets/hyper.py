"""Floor: hyper on one thread, which reads the request and answers our answer to everybody."""

import json

from ground.process import free_port
from ground.site import Site

from .nginx import OWN_HEADERS
from .target import Surroundings, Target


class Hyper(Target):
    """What our HTTP library costs without us: `hyper/` beside this folder."""

    name = "hyper"
    label = "hyper, a constant"
    kind = "floor"

    def start(self, surroundings: Surroundings) -> None:
        port = free_port()
        answer = surroundings.answer
        # hyper writes the length and the date.
        kept = {name: value for name, value in answer.headers.items() if name not in OWN_HEADERS - {"content-type"}}
        constant = surroundings.folder / "constant.json"
        constant.write_text(json.dumps({"headers": kept, "body": answer.body.decode()}))
        command = [str(surroundings.hyper), f"127.0.0.1:{port}", str(constant)]
        self.server = surroundings.start(self.name, command, surroundings.cores.one)
        self.server.listens(port)
        self.site = Site(port, "/introspect", "anybody", "anything", surroundings.asked, None)
