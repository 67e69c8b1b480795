"""Authlib. It puts identifier and secret into a Basic header as they are, without encoding them."""

import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session

import flow

METHODS = {"basic": "client_secret_basic", "post": "client_secret_post", "none": "none"}


class Authlib:
    encodes_basic = False

    def __init__(self, world, way):
        self.world = world
        self.method = METHODS[way]

    def session(self, who, scope=None):
        session = OAuth2Session(
            who["id"],
            who["secret"],
            token_endpoint_auth_method=self.method,
            revocation_endpoint_auth_method=self.method,
            scope=scope,
            default_timeout=flow.PATIENCE_SECONDS,
        )
        session.verify = self.world["ca_file"]
        return session

    def token(self, who, scope=None):
        url = self.world["issuer"] + "/token"
        return dict(self.session(who, scope).fetch_token(url, grant_type="client_credentials"))

    def refresh(self, who, token, scope=None):
        return dict(self.session(who, scope).refresh_token(self.world["issuer"] + "/token", refresh_token=token))

    def introspect(self, who, token):
        answer = self.session(who).introspect_token(self.world["issuer"] + "/introspect", token=token)
        answer.raise_for_status()
        return answer.json()

    def revoke(self, who, token, hint="access_token"):
        url = self.world["issuer"] + "/revoke"
        self.session(who).revoke_token(url, token=token, token_type_hint=hint).raise_for_status()

    def refusal(self, call):
        try:
            call()
        except OAuthError as error:
            return error.error
        except requests.HTTPError as error:
            # Introspection and revocation give the answer as it came.
            return error.response.json()["error"]
        raise AssertionError("no error")


flow.run(Authlib)
