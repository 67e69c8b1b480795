"""Signed access tokens, checked by a resource server that asks nobody but for the keys (RFC 9068 section 4), before and
after keys change.

A verifier is made with a world and an algorithm, and has one method:

    verify(token)  gives header and claims; `Refused` when the library refuses, for want of the key or another reason

`requests` is how often it has asked for the keys.
"""

import requests

import flow
from admin import ALGORITHMS, Admin, introspect


class Refused(Exception):
    """What a library says of a token that it does not take."""


class KeptKeys:
    """The published keys, for libraries that leave it to the application to fetch them."""

    def __init__(self, world):
        self.world = world
        self.requests = 0
        self.document = {"keys": []}

    def with_the_one_of(self, kid):
        """The document; fetched anew when the key is not in it."""
        if kid not in [key["kid"] for key in self.document["keys"]]:
            self.requests += 1
            url, ca, timeout = self.world["issuer"] + "/jwks.json", self.world["ca_file"], flow.PATIENCE_SECONDS
            self.document = requests.get(url, verify=ca, timeout=timeout).json()
        return self.document


def run(verifier_class, algorithms=ALGORITHMS):
    world = flow.read_world()
    for algorithm in algorithms:
        checks(verifier_class, world, Admin(world), algorithm)
    print(f"{flow.checks} checks")


def refused(call):
    try:
        call()
    except Refused:
        flow.check(True)
    else:
        raise AssertionError("no error")


def checks(verifier_class, world, admin, algorithm):
    client_id = admin.client(
        scope="read", audiences=[world["audience"]], access_token_format="jwt", access_token_signing_alg=algorithm
    )["client_id"]

    def issue(audience):
        return admin.token(client_id=client_id, sub="alice", scope="read", aud=audience)

    verifier = verifier_class(world, algorithm)
    first = issue(world["audience"])
    header, claims = verifier.verify(first)
    flow.same((header["typ"], header["alg"]), ("at+jwt", algorithm))
    flow.same((claims["client_id"], claims["sub"], claims["scope"]), (client_id, "alice", "read"))
    flow.same((claims["iss"], claims["aud"]), (world["issuer"], world["audience"]))
    flow.same(claims["exp"] - claims["iat"], 900)
    flow.same(introspect(world, first)["jti"], claims["jti"])
    refused(lambda: verifier.verify(issue(world["other_audience"])))

    # The standby was published beside the first key: nobody has to ask again when it takes over.
    admin.rotate(algorithm)
    second = issue(world["audience"])
    flow.check(verifier.verify(second)[0]["kid"] != header["kid"])
    flow.same(verifier.verify(first)[1], claims)
    flow.same(verifier.requests, 1)

    # Its successor was not: a verifier that meets it asks once.
    admin.rotate(algorithm)
    third = issue(world["audience"])
    last = verifier.verify(third)[0]["kid"]
    for token in (first, second, third):
        verifier.verify(token)
    flow.same(verifier.requests, 2)

    # A key that leaked is gone at once, with all that it signed, for everybody who asks.
    admin.remove(last)
    fourth = issue(world["audience"])
    fresh = verifier_class(world, algorithm)
    for token in (first, second, fourth):
        fresh.verify(token)
        flow.check(introspect(world, token)["active"] is True)
    refused(lambda: fresh.verify(third))
    flow.same(introspect(world, third), {"active": False})
