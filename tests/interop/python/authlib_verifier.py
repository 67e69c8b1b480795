"""Authlib's validator of RFC 9068 over joserfc. It leaves it to the application to keep the keys."""

import warnings

import requests
from authlib.oauth2.rfc6750 import InvalidTokenError
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
from joserfc import jws
from joserfc.errors import SecurityWarning

import flow
import verification

# It warns of names that RFC 9864 replaces, EdDSA among them.
warnings.simplefilter("ignore", SecurityWarning)


class AuthlibValidator(JWTBearerTokenValidator):
    requests = 0
    keys = None

    def __init__(self, world, algorithm):
        super().__init__(world["issuer"], world["audience"])
        self.world = world

    def get_jwks(self):
        if self.keys is None:
            self.requests += 1
            url, ca, timeout = self.world["issuer"] + "/jwks.json", self.world["ca_file"], flow.PATIENCE_SECONDS
            self.keys = requests.get(url, verify=ca, timeout=timeout).json()
        return self.keys

    def verify(self, token):
        kid = jws.extract_compact(token.encode()).headers()["kid"]
        if kid not in [key["kid"] for key in self.get_jwks()["keys"]]:
            self.keys = None
        try:
            found = self.authenticate_token(token)
            self.validate_token(found, ["read"], None)
        except InvalidTokenError as error:
            raise verification.Refused from error
        return found.header, dict(found)


verification.run(AuthlibValidator)
