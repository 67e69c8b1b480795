"""requests-oauthlib over oauthlib.

Tokens come through its session. Revocations are prepared by oauthlib, which leaves the login to the caller: here
requests' own, which puts identifier and secret into a Basic header without encoding them. Introspection it has none,
so that is asked for by hand; with a session's Bearer token as well, as the session sends it by itself.
"""

import requests
from oauthlib.oauth2 import BackendApplicationClient, OAuth2Error
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

import flow


class RequestsOauthlib:
    encodes_basic = False

    def __init__(self, world, way):
        self.world = world
        self.way = way

    def session(self, who, scope=None):
        session = OAuth2Session(client=BackendApplicationClient(who["id"], scope=scope))
        session.verify = self.world["ca_file"]
        return session

    def token(self, who, scope=None):
        url, session = self.world["issuer"] + "/token", self.session(who, scope and scope.split())
        if self.way == "basic":
            made = session.fetch_token(url, client_id=who["id"], client_secret=who["secret"])
        else:
            made = session.fetch_token(url, include_client_id=True, client_secret=who["secret"])
        # It keeps the scope that was asked for beside the one that was given; the answer itself counts.
        made = dict(made)
        made["scope"] = list(made.get("scope") or [])
        return made

    def refresh(self, who, token, scope=None):
        session = self.session(who, scope and scope.split())
        auth, members = self.login(who)
        return dict(session.refresh_token(self.world["issuer"] + "/token", refresh_token=token, auth=auth, **members))

    def login(self, who):
        if self.way == "basic":
            return HTTPBasicAuth(who["id"], who["secret"]), {}
        if self.way == "post":
            return None, {"client_id": who["id"], "client_secret": who["secret"]}
        return None, {"client_id": who["id"]}

    def post(self, url, body, headers=None, auth=None):
        timeout = flow.PATIENCE_SECONDS
        answer = requests.post(url, data=body, headers=headers, auth=auth, verify=self.world["ca_file"], timeout=timeout)
        answer.raise_for_status()
        return answer

    def introspect(self, who, token):
        auth, members = self.login(who)
        return self.post(self.world["issuer"] + "/introspect", {"token": token, **members}, auth=auth).json()

    def revoke(self, who, token, hint="access_token"):
        auth, members = self.login(who)
        client = BackendApplicationClient(who["id"])
        url = self.world["issuer"] + "/revoke"
        url, headers, body = client.prepare_token_revocation_request(url, token, hint, **members)
        self.post(url, body, headers, auth)

    def refusal(self, call):
        try:
            call()
        except OAuth2Error as error:
            return error.error
        except requests.HTTPError as error:
            return error.response.json()["error"]
        raise AssertionError("no error")


def asks_with_its_bearer_token(world):
    """A session sends its token along with each request: one that may introspect does so without a secret."""
    library = RequestsOauthlib(world, "basic")
    application = world["applications"][0]
    url = world["issuer"] + "/introspect"
    for scope, status in (("introspectd:introspect", 200), ("read", 401)):
        session = library.session(application, [scope])
        session.fetch_token(
            world["issuer"] + "/token", client_id=application["id"], client_secret=application["secret"]
        )
        answer = session.post(url, data={"token": world["tokens"]["active"]}, timeout=flow.PATIENCE_SECONDS)
        flow.same(answer.status_code, status)
        flow.check(status != 200 or answer.json()["active"] is True, answer.text)


class WithBearer(RequestsOauthlib):
    def __init__(self, world, way):
        super().__init__(world, way)
        if way == "none":
            asks_with_its_bearer_token(world)


flow.run(WithBearer)
