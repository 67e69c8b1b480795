"""joserfc. The application keeps the keys, and says which algorithm it takes."""

import warnings

from joserfc import jws, jwt
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import KeySet

import verification

# It warns of names that RFC 9864 replaces, EdDSA among them.
warnings.simplefilter("ignore", SecurityWarning)


class Joserfc:
    def __init__(self, world, algorithm):
        self.kept = verification.KeptKeys(world)
        self.algorithm = algorithm
        needed = {name: {"essential": True} for name in ("exp", "sub", "client_id", "iat", "jti")}
        issuer = {"essential": True, "value": world["issuer"]}
        audience = {"essential": True, "value": world["audience"]}
        self.claims = jwt.JWTClaimsRegistry(iss=issuer, aud=audience, **needed)

    @property
    def requests(self):
        return self.kept.requests

    def verify(self, token):
        document = self.kept.with_the_one_of(jws.extract_compact(token.encode()).headers()["kid"])
        try:
            found = jwt.decode(token, KeySet.import_key_set(document), algorithms=[self.algorithm])
            self.claims.validate(found.claims)
        # A key that is not in the set is told as a ValueError.
        except (JoseError, ValueError) as error:
            raise verification.Refused from error
        return found.header, found.claims


verification.run(Joserfc)
