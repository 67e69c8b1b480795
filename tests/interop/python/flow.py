"""The list of checks that every Python library goes through.

A library is a class with these methods; `way` is how it sends the secret: "basic", "post" or "none".

    token(who, scope=None)           asks for a token by client credentials and gives the answer as a dict
    refresh(who, token, scope=None)  the same with a refresh token
    introspect(who, token)           gives the answer as a dict
    revoke(who, token, hint)         ends without an error
    refusal(call)                    calls, expects the library's own error, and gives the code that it carries
"""

import json
import sys
import time

PATIENCE_SECONDS = 60

checks = 0


def check(condition, *about):
    """Counts a check that holds, and ends the program with one that does not."""
    global checks
    if not condition:
        raise AssertionError(about)
    checks += 1


def same(found, wanted, *about):
    check(found == wanted, "found", found, "wanted", wanted, *about)


def read_world():
    with open(sys.argv[1], encoding="utf-8") as file:
        return json.load(file)


def run(library_class):
    world = read_world()
    for way in ("basic", "post"):
        library = library_class(world, way)
        introspects(library, world)
        is_refused(library, world)
        revokes_a_grant(library, world, world["grants"][way])
        refreshes(library, library, world, world["owner"], world["rotations"][way])
        logs_in_with_any_characters(library, world, way)
    revokes_as_a_public_client(library_class, world)
    asking, public = library_class(world, "basic"), library_class(world, "none")
    refreshes(public, asking, world, world["public"], world["rotations"]["none"])
    print(f"{checks} checks")


def introspects(library, world):
    server, tokens = world["resource_server"], world["tokens"]
    answer = library.introspect(server, tokens["active"])
    check(answer["active"] is True, answer)
    same(answer["client_id"], world["owner"]["id"])
    same(answer["sub"], "alice")
    same(answer["username"], "alice@example.com")
    same(answer["scope"], "read write")
    same(answer["aud"], world["audience"])
    same(answer["iss"], world["issuer"])
    same(answer["token_type"], "Bearer")
    same(answer["exp"] - answer["iat"], 900)
    check(isinstance(answer["exp"], int) and isinstance(answer["iat"], int), answer)
    several = library.introspect(server, tokens["several_audiences"])
    same(several["aud"], [world["audience"], world["other_audience"]])
    bare = library.introspect(server, tokens["no_scope"])
    check(bare["active"] is True and "scope" not in bare, bare)
    check(library.introspect(server, tokens["imported"])["active"] is True)
    for token in [tokens["expired"], tokens["revoked"], *world["unknown"]]:
        same(library.introspect(server, token), {"active": False}, token)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while library.introspect(server, tokens["ending"])["active"] and time.monotonic() < deadline:
        time.sleep(0.05)
    same(library.introspect(server, tokens["ending"]), {"active": False})


def is_refused(library, world):
    token = world["tokens"]["active"]
    for wrong in (
        {"id": world["resource_server"]["id"], "secret": "wrong"},
        {"id": "nobody", "secret": "wrong"},
    ):
        same(library.refusal(lambda: library.introspect(wrong, token)), "invalid_client")
        same(library.refusal(lambda: library.revoke(wrong, token)), "invalid_client")
        same(library.refusal(lambda: library.token(wrong)), "invalid_client")
    stranger = world["stranger"]
    same(library.refusal(lambda: library.introspect(stranger, token)), "unauthorized_client")
    same(library.refusal(lambda: library.revoke(stranger, token)), "invalid_grant")
    check(library.introspect(world["resource_server"], token)["active"] is True)
    application = world["applications"][0]
    same(library.refusal(lambda: library.token(application, "admin")), "invalid_scope")


def revokes_a_grant(library, world, grant):
    owner, server = world["owner"], world["resource_server"]
    access, refresh = grant["access_token"], grant["refresh_token"]
    check(library.introspect(server, access)["active"] is True)
    # A refresh token is its owner's business alone.
    same(library.introspect(server, refresh), {"active": False})
    check(library.introspect(owner, refresh)["active"] is True)
    library.revoke(owner, refresh, "refresh_token")
    same(library.introspect(owner, access), {"active": False})
    same(library.introspect(owner, refresh), {"active": False})


def refreshes(library, asking, world, who, grants):
    """Each refresh token works once, and whoever uses a spent one ends the grant (RFC 9700 section 4.14.2)."""
    used_again, revoked = grants
    tokens = [used_again]
    for scope in ("read", None):
        tokens.append(library.refresh(who, tokens[-1]["refresh_token"], scope))
        same(tokens[-1]["token_type"], "Bearer")
        check(tokens[-1]["refresh_token"] != tokens[-2]["refresh_token"])
        # What was granted stays with the grant: asking for less once does not lose the rest (RFC 6749 section 6).
        answer = asking.introspect(world["resource_server"], tokens[-1]["access_token"])
        same((answer["active"], answer["sub"], answer["scope"]), (True, "alice", scope or "read write"))
        same(answer["client_id"], who["id"])
    same(library.refusal(lambda: library.refresh(who, tokens[-1]["refresh_token"], "admin")), "invalid_scope")
    same(library.refusal(lambda: library.refresh(who, tokens[-1]["access_token"])), "invalid_grant")
    for spent in tokens[0], tokens[-1]:
        same(library.refusal(lambda: library.refresh(who, spent["refresh_token"])), "invalid_grant")
    for token in tokens:
        same(asking.introspect(world["resource_server"], token["access_token"]), {"active": False})
    made = library.refresh(who, revoked["refresh_token"])
    library.revoke(who, made["refresh_token"], "refresh_token")
    same(library.refusal(lambda: library.refresh(who, made["refresh_token"])), "invalid_grant")
    same(asking.introspect(world["resource_server"], made["access_token"]), {"active": False})


def logs_in_with_any_characters(library, world, way):
    for who in world["applications"]:
        if way == "basic" and not library.encodes_basic and not who["raw"]:
            # Without encoding, the first colon ends the identifier, whatever was meant.
            same(library.refusal(lambda: library.token(who)), "invalid_client")
            continue
        lives_and_dies(library, who, "read write")
    lives_and_dies(library, world["without_scope"], None)
    reader = world["applications"][1]
    token = library.token(reader, "read")["access_token"]
    same(library.introspect(reader, token)["scope"], "read")


def lives_and_dies(library, who, scope):
    made = library.token(who)
    same(made["token_type"], "Bearer")
    same(made["expires_in"], 900)
    # A library may turn the scope into a list of its own.
    found = made.get("scope") or None
    same(" ".join(found) if isinstance(found, list) else found, scope, who)
    token = made["access_token"]
    answer = library.introspect(who, token)
    check(answer["active"] is True, who, answer)
    same(answer["client_id"], who["id"])
    same(answer["sub"], "client:" + who["id"])
    same(answer.get("scope"), scope)
    # Twice: a token that is revoked already is no error (RFC 7009 section 2.2).
    for _ in range(2):
        library.revoke(who, token)
        same(library.introspect(who, token), {"active": False})
    library.revoke(who, "never issued")


def revokes_as_a_public_client(library_class, world):
    server, token = world["resource_server"], world["tokens"]["of_public"]
    asking = library_class(world, "basic")
    check(asking.introspect(server, token)["active"] is True)
    library_class(world, "none").revoke(world["public"], token)
    same(asking.introspect(server, token), {"active": False})
