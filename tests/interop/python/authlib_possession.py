"""Authlib, with keys and certificates instead of secrets.

Its assertions name as audience the URL that they are sent to, which rfc7523bis forbids: they are taken from a client
that is registered with `assertion_audience_endpoints`, and from others once the library is told the issuer instead.
"""

import warnings

from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, OKPKey, RSAKey

import flow
from admin import ALGORITHMS, Admin

# It warns of names that RFC 9864 replaces, EdDSA among them.
warnings.simplefilter("ignore", SecurityWarning)

METHOD = "private_key_jwt"
KEYS = {
    "ES256": lambda: ECKey.generate_key("P-256"),
    "EdDSA": lambda: OKPKey.generate_key("Ed25519"),
    "Ed25519": lambda: OKPKey.generate_key("Ed25519"),
    "RS256": lambda: RSAKey.generate_key(2048),
    "PS256": lambda: RSAKey.generate_key(2048),
}


def session_of(world, client_id, key=None, method=METHOD, audience=None, algorithm=None, certificate=None):
    session = OAuth2Session(
        client_id,
        key,
        token_endpoint_auth_method=method,
        revocation_endpoint_auth_method=method,
        default_timeout=flow.PATIENCE_SECONDS,
    )
    if key is not None:
        session.register_client_auth_method(PrivateKeyJWT(audience, alg=algorithm))
    session.verify = world["ca_file"]
    session.cert = certificate and (certificate["certificate"], certificate["key"])
    return session


def lives_and_dies(world, session):
    issuer = world["issuer"]
    token = session.fetch_token(issuer + "/token", grant_type="client_credentials")["access_token"]
    answer = session.introspect_token(issuer + "/introspect", token=token).json()
    flow.same((answer["active"], answer["client_id"]), (True, session.client_id), answer)
    flow.same(session.revoke_token(issuer + "/revoke", token=token).status_code, 200)
    flow.same(session.introspect_token(issuer + "/introspect", token=token).json(), {"active": False})


def is_refused(world, session):
    issuer, token = world["issuer"], world["tokens"]["active"]
    try:
        session.fetch_token(issuer + "/token", grant_type="client_credentials")
    except OAuthError as error:
        flow.same(error.error, "invalid_client")
    else:
        raise AssertionError("no error")
    for answer in (
        session.introspect_token(issuer + "/introspect", token=token),
        session.revoke_token(issuer + "/revoke", token=token),
    ):
        flow.same((answer.status_code, answer.json()["error"]), (401, "invalid_client"))


def registered(world, admin, **metadata):
    made = admin.client(
        rights=["introspect"],
        audiences=[world["audience"]],
        scope="read write",
        grant_types=["client_credentials"],
        **metadata,
    )
    return made["client_id"]


def proves_with_keys(world, admin, algorithm):
    key = KEYS[algorithm]()
    jwks = {"keys": [key.as_dict(private=False, alg=algorithm)]}
    for endpoints in (False, True):
        client_id = registered(
            world, admin, token_endpoint_auth_method=METHOD, jwks=jwks, assertion_audience_endpoints=endpoints
        )
        as_usual = session_of(world, client_id, key, algorithm=algorithm)
        (lives_and_dies if endpoints else is_refused)(world, as_usual)
        lives_and_dies(world, session_of(world, client_id, key, algorithm=algorithm, audience=world["issuer"]))


def proves_with_certificates(world, admin):
    """For the library there is nothing to do but to name the client (RFC 8705 section 2): requests shows the certificate."""
    certificates = world["certificates"]
    client_id = registered(
        world, admin, token_endpoint_auth_method="tls_client_auth", tls_client_auth_san_dns=certificates["name"]
    )
    lives_and_dies(world, session_of(world, client_id, method="none", certificate=certificates["signed"]))
    is_refused(world, session_of(world, client_id, method="none", certificate=certificates["strange"]))
    is_refused(world, session_of(world, client_id, method="none"))


def main():
    world = flow.read_world()
    admin = Admin(world)
    for algorithm in (*ALGORITHMS, "Ed25519"):
        proves_with_keys(world, admin, algorithm)
    proves_with_certificates(world, admin)
    print(f"{flow.checks} checks")


main()
