"""Authlib's validator of RFC 9068. It takes the algorithms alone that joserfc recommends: EdDSA goes by its new name there."""

from authlib.oauth2.rfc6750 import InvalidTokenError
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
from joserfc import jws

import verification


class AuthlibValidator(JWTBearerTokenValidator):
    def __init__(self, world, algorithm):
        super().__init__(world["issuer"], world["audience"])
        self.kept = verification.KeptKeys(world)

    @property
    def requests(self):
        return self.kept.requests

    def get_jwks(self):
        return self.kept.document

    def verify(self, token):
        self.kept.with_the_one_of(jws.extract_compact(token.encode()).headers()["kid"])
        try:
            found = self.authenticate_token(token)
            self.validate_token(found, ["read"], None)
        except InvalidTokenError as error:
            raise verification.Refused from error
        return found.header, dict(found)


verification.run(AuthlibValidator, ("ES256", "RS256"))
