"""Floor: nginx, which answers our answer to everybody, with our headers."""

import json
import os
import pwd
import shutil

from ground.process import free_port
from ground.site import Site

from .target import Surroundings, Target

# Written by the server itself.
OWN_HEADERS = {"content-length", "content-type", "date", "connection", "server"}

CONFIGURATION = """
worker_processes 1;
pid nginx.pid;
error_log stderr;
{user}
events {{ worker_connections 2048; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
        listen 127.0.0.1:{port};
        default_type {content_type};
        {headers}
        location / {{ return 200 {body}; }}
    }}
}}
"""


class Nginx(Target):
    """One worker; the body of the request is thrown away."""

    name = "nginx"
    label = "nginx, a constant"
    kind = "floor"

    def needs(self) -> dict[str, str]:
        return {"nginx": "sudo apt-get install nginx-light"}

    def start(self, surroundings: Surroundings) -> None:
        port = free_port()
        answer = surroundings.answer
        home = surroundings.folder / self.name
        home.mkdir()
        extra = {name: value for name, value in answer.headers.items() if name not in OWN_HEADERS}
        (home / "nginx.conf").write_text(
            CONFIGURATION.format(
                port=port,
                # It would give up root's rights, and then not read its own folder.
                user=f"user {pwd.getpwuid(0).pw_name};" if os.geteuid() == 0 else "",
                content_type=answer.headers["content-type"],
                headers="\n        ".join(f"add_header {name} {quoted(value)};" for name, value in extra.items()),
                body=quoted(answer.body.decode()),
            )
        )
        # Debian keeps it where only root looks.
        program = shutil.which("nginx") or "/usr/sbin/nginx"
        command = [program, "-p", str(home), "-c", "nginx.conf", "-e", "stderr", "-g", "daemon off;"]
        self.server = surroundings.start(self.name, command, surroundings.cores.one)
        self.server.listens(port)
        self.site = Site(port, "/introspect", "anybody", "anything", surroundings.asked, None)


def quoted(text: str) -> str:
    """As nginx reads it back. It has no escape for a dollar sign, which our answers do not have."""
    return json.dumps(text)
