"""PyJWT. It keeps the set of keys for five minutes, and fetches it anew for a key that is not in it."""

import ssl

import jwt

import verification

CLAIMS = ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"]


class Keys(jwt.PyJWKClient):
    requests = 0

    def fetch_data(self):
        self.requests += 1
        return super().fetch_data()


class PyJwt:
    def __init__(self, world, algorithm):
        self.world = world
        self.algorithm = algorithm
        trusted = ssl.create_default_context(cafile=world["ca_file"])
        self.keys = Keys(world["issuer"] + "/jwks.json", ssl_context=trusted, cooldown_duration=0)

    @property
    def requests(self):
        return self.keys.requests

    def verify(self, token):
        try:
            decoded = jwt.decode_complete(
                token,
                self.keys.get_signing_key_from_jwt(token),
                algorithms=[self.algorithm],
                issuer=self.world["issuer"],
                audience=self.world["audience"],
                options={"require": CLAIMS},
            )
        except jwt.PyJWTError as error:
            raise verification.Refused from error
        return decoded["header"], decoded["payload"]


verification.run(PyJwt)
