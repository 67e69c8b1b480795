"""What an operator does through the admin listener, and what a resource server asks."""

import requests

import flow

ALGORITHMS = ("ES256", "EdDSA", "RS256", "PS256")


class Admin:
    def __init__(self, world):
        self.url = world["admin"]["url"]
        self.headers = {"Authorization": world["admin"]["authorization"]}

    def send(self, method, path, body=None):
        timeout = flow.PATIENCE_SECONDS
        answer = requests.request(method, self.url + path, json=body, headers=self.headers, timeout=timeout)
        flow.check(answer.ok, method, path, body, answer.text)
        return answer.json() if answer.content else None

    def client(self, **metadata):
        return self.send("POST", "/admin/clients", metadata)

    def token(self, **members):
        return self.send("POST", "/admin/tokens", members)["access_token"]

    def rotate(self, algorithm):
        self.send("POST", "/admin/keys/rotate", {"algorithm": algorithm})

    def remove(self, kid):
        self.send("DELETE", "/admin/keys/" + kid)


def introspect(world, token):
    server, url = world["resource_server"], world["issuer"] + "/introspect"
    auth, timeout = (server["id"], server["secret"]), flow.PATIENCE_SECONDS
    return requests.post(url, data={"token": token}, auth=auth, verify=world["ca_file"], timeout=timeout).json()
