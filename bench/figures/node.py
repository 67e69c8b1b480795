"""A Redis and a node of introspectd on free loopback ports, for the commands beside this file."""

import base64
import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Redis:
    def __init__(self, folder):
        self.port = free_port()
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                time.sleep(0.05)
        sys.exit("redis-server does not start")

    def ask(self, *words):
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            stream = connection.makefile("rwb")
            stream.write(b"*%d\r\n" % len(words))
            for word in words:
                stream.write(b"$%d\r\n%s\r\n" % (len(word), word.encode()))
            stream.flush()
            line = stream.readline()
            if line[:1] == b"$":
                return stream.read(int(line[1:])).decode()
            return line[1:].decode().strip()

    def used(self):
        self.ask("MEMORY", "PURGE")
        info = self.ask("INFO", "memory")
        return int(next(line for line in info.splitlines() if line.startswith("used_memory:")).split(":")[1])


class Node:
    def __init__(self, program, arguments, prefix=(), environment=None):
        command = [*prefix, *self.command(program), *arguments]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
        )
        self.told = json.loads(self.process.stdout.readline())

    @staticmethod
    def command(program):
        return [program, "serve", "--dev", "--print", "json", "--public", "127.0.0.1:0", "--admin", "127.0.0.1:0"]

    def connection(self, face):
        return http.client.HTTPConnection(self.told[face].removeprefix("http://"), timeout=30)

    def credentials(self, client):
        client = self.told["clients"][client]
        pair = f"{client['client_id']}:{client['client_secret']}"
        return "Basic " + base64.b64encode(pair.encode()).decode()

    def issue(self, count):
        connection = self.connection("admin")
        headers = {"authorization": self.credentials("operator"), "content-type": "application/json"}
        owner = self.told["clients"]["application"]["client_id"]
        tokens = []
        for number in range(count):
            body = {
                "client_id": owner, "sub": f"user-{number:08}", "username": f"user{number:08}@example.com",
                "scope": "read write", "aud": "https://api.example.com", "expires_in": 3600,
            }
            connection.request("POST", "/admin/tokens", json.dumps(body), headers)
            answer = json.loads(connection.getresponse().read())
            tokens.append(answer["access_token"])
        return tokens

    def introspect(self, tokens):
        connection = self.connection("public")
        headers = {"authorization": self.credentials("resource_server"), "content-type": "application/json"}
        active = 0
        for first in range(0, len(tokens), 500):
            body = json.dumps({"tokens": tokens[first : first + 500]})
            connection.request("POST", "/introspect/batch", body, headers)
            answer = json.loads(connection.getresponse().read())
            active += sum(result["active"] for result in answer["results"])
        if active != len(tokens):
            sys.exit(f"only {active} of {len(tokens)} tokens are active")

    def metric(self, name):
        connection = self.connection("admin")
        connection.request("GET", "/metrics")
        page = connection.getresponse().read().decode()
        return int(float(next(line for line in page.splitlines() if line.startswith(name)).split()[-1]))

    def resident(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) * 1024

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
