//! The token endpoint: `refresh_token` (sections 5.1, 5.2, 6, 10.4; RFC 6750 section 3.1).

use std::time::Duration;

use serde_json::json;

use crate::support::api::Answer;
use crate::support::life::{Pair, expect_invalid_grant, refreshing};
use crate::support::node::{Kind, Node, OPERATOR, Registered};

over_both_stores! {
    section_5_1_no_access_token_outlives_its_grant
    section_5_1_the_answer_has_the_next_pair
    section_6_a_client_that_may_not_refresh_is_told_so
    section_6_a_client_without_the_right_secret_refreshes_nothing
    section_6_a_public_client_names_itself
    section_6_a_refresh_token_is_for_its_client_alone
    section_6_a_refresh_token_that_has_not_begun_waits
    section_6_an_access_token_is_no_refresh_token
    section_6_the_refresh_token_is_required_once
    section_6_whatever_is_wrong_is_refused_in_the_same_words
    section_10_4_a_client_of_the_same_name_inherits_nothing
    rfc6750_3_1_a_refresh_token_is_no_bearer_token
}

async fn section_5_1_the_answer_has_the_next_pair(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.refresher().await;
    let first = node.grant(&app, json!({"sub": "alice"})).await;
    for path in ["/token", "/oauth2/token"] {
        let spent = node.grant(&app, json!({})).await.refresh;
        let form = [("grant_type", "refresh_token"), ("refresh_token", &*spent)];
        assert_eq!(node.api.post(path, app.pair(), &form).await.status, 200, "{path}");
    }
    let answer = node.refresh(&app, &first.refresh).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")), "{}", answer.body);
    let body = answer.json();
    let members: Vec<&String> = body.as_object().unwrap().keys().collect();
    assert_eq!(members, ["access_token", "expires_in", "refresh_token", "scope", "token_type"]);
    assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!(900)));
    assert_eq!(body["scope"], json!("read write"));
    let next = Pair::of(&body);
    assert_eq!((next.access.len(), next.refresh.len()), (60, 71));
    assert_ne!((&next.access, &next.refresh), (&first.access, &first.refresh));
    assert_eq!(
        node.alive(&app, [&first.access, &first.refresh, &next.access, &next.refresh]).await,
        [true, false, true, true],
        "the access token from before lives on, the refresh token from before does not"
    );
}

/// Whose expiry the access token is cut to is fixed with the first refresh token, and so is that of what follows.
async fn section_5_1_no_access_token_outlives_its_grant(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.refresher().await;
    let end = node.now() + 1000;
    let issued = node.issue(&app, json!({"refresh": true, "refresh_expires_in": 1000})).await;
    assert_eq!(issued["expires_in"], json!(900));
    let mut refresh = Pair::of(&issued).refresh;
    for (after, left) in [(0, 900), (100, 900), (300, 600), (599, 1)] {
        node.pass(Duration::from_secs(after)).await;
        let answer = node.refresh(&app, &refresh).await;
        let pair = Pair::of(&answer.json());
        assert_eq!(answer.json()["expires_in"], json!(left));
        for token in [&pair.access, &pair.refresh] {
            let described = node.api.introspect(app.pair(), token).await.json();
            assert!(described["exp"].as_u64().unwrap() <= end, "{described}");
        }
        refresh = pair.refresh;
    }
    node.pass(Duration::from_secs(1)).await;
    expect_invalid_grant(&node.refresh(&app, &refresh).await);
    let brief = node.issue(&app, json!({"refresh": true, "refresh_expires_in": 10})).await;
    assert_eq!(brief["expires_in"], json!(10), "nor does the first access token");
}

async fn section_6_a_refresh_token_is_for_its_client_alone(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let (app, other) = (node.refresher().await, node.refresher().await);
    let pair = node.grant(&app, json!({})).await;
    for _ in 0..3 {
        expect_invalid_grant(&node.refresh(&other, &pair.refresh).await);
    }
    // Nor does the right to revoke for others, or to do everything, let anybody refresh for them.
    let mighty = json!({"rights": ["introspect", "revoke", "issue", "admin"], "grant_types": ["refresh_token"]});
    expect_invalid_grant(&node.refresh(&node.client(mighty).await, &pair.refresh).await);
    assert_eq!(node.alive(&app, [&pair.access, &pair.refresh]).await, [true, true]);
    let next = node.rotate(&app, &pair.refresh).await;
    assert_eq!(node.alive(&app, [&next.access, &next.refresh]).await, [true, true]);
}

async fn section_6_a_client_without_the_right_secret_refreshes_nothing(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.refresher().await;
    let pair = node.grant(&app, json!({})).await;
    let wrong = Registered { secret: "wrong".into(), ..app.clone() };
    let unknown = Registered { id: "nobody".into(), ..app.clone() };
    for client in [&wrong, &unknown] {
        assert_eq!(node.refresh(client, &pair.refresh).await.refusal(), (401, "invalid_client".into()));
    }
    // A confidential client that only names itself is nobody.
    let form = [("grant_type", "refresh_token"), ("refresh_token", &*pair.refresh), ("client_id", &*app.id)];
    assert_eq!(node.api.post_bare("/token", &form).await.refusal(), (401, "invalid_client".into()));
    let bearer = format!("Bearer {}", pair.access);
    assert_eq!(node.api.post_as("/token", &bearer, &form).await.refusal(), (401, "invalid_client".into()));
    node.rotate(&app, &pair.refresh).await;
}

async fn section_6_a_public_client_names_itself(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let public = json!({"token_endpoint_auth_method": "none", "grant_types": ["refresh_token"]});
    let (app, other) = (node.client(public.clone()).await, node.client(public).await);
    let server = node.resource_server().await;
    let pair = node.grant(&app, json!({})).await;
    let refresh = async |client: &Registered, token: &str| {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", &*client.id)];
        node.api.post_bare("/token", &form).await
    };
    expect_invalid_grant(&refresh(&other, &pair.refresh).await);
    let answer = refresh(&app, &pair.refresh).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let next = Pair::of(&answer.json());
    assert!(node.api.is_active(server.pair(), &next.access).await);
    // RFC 9700 section 2.2.2: for public clients, too, each works once.
    expect_invalid_grant(&refresh(&app, &pair.refresh).await);
    assert!(!node.api.is_active(server.pair(), &next.access).await);
    expect_invalid_grant(&refresh(&app, &next.refresh).await);
    let nobody = [("grant_type", "refresh_token"), ("refresh_token", &*next.refresh)];
    assert_eq!(node.api.post_bare("/token", &nobody).await.refusal(), (401, "invalid_client".into()));
}

async fn section_6_a_client_that_may_not_refresh_is_told_so(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.application().await;
    let pair = node.grant(&app, json!({})).await;
    for token in [&*pair.refresh, "no-token-at-all"] {
        assert_eq!(node.refresh(&app, token).await.refusal(), (400, "unauthorized_client".into()));
    }
    let allowed = json!({"grant_types": ["refresh_token"]});
    node.operate("PATCH", &format!("/admin/clients/{}", app.id), Some(allowed)).await;
    node.rotate(&app, &pair.refresh).await;
}

async fn section_6_the_refresh_token_is_required_once(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.refresher().await;
    let pair = node.grant(&app, json!({})).await;
    let token = ("refresh_token", &*pair.refresh);
    let grant = ("grant_type", "refresh_token");
    for form in [
        &[grant][..],
        &[grant, ("refresh_token", "")],
        &[grant, ("Refresh_Token", &pair.refresh)],
        &[grant, ("token", &pair.refresh)],
        &[grant, token, token],
        &[grant, grant, token],
        &[grant, token, ("scope", "read"), ("scope", "read")],
        &[token],
    ] {
        let answer = node.api.post("/token", app.pair(), form).await;
        assert_eq!(answer.refusal(), (400, "invalid_request".into()), "{form:?}");
    }
    let query = format!("/token?refresh_token={}", pair.refresh);
    assert_eq!(node.api.post(&query, app.pair(), &[grant]).await.refusal(), (400, "invalid_request".into()));
    // An empty parameter is an absent one, and an unknown one is ignored.
    let answer = node.refresh_with(&app, &pair.refresh, &[("scope", ""), ("resource_owner", "x")]).await;
    assert_eq!(answer.json()["scope"], json!("read write"));
}

/// Expired, revoked, unknown, spent, altered, another client's, of another kind: who asks learns nothing of which it
/// is.
async fn section_6_whatever_is_wrong_is_refused_in_the_same_words(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let (app, other) = (node.refresher().await, node.refresher().await);
    let pair = async |owner, members| node.grant(owner, members).await;
    let expired = pair(&app, json!({"expires_in": 1, "refresh_expires_in": 1})).await.refresh;
    let (revoked, ended) = (pair(&app, json!({})).await, pair(&app, json!({})).await);
    assert_eq!(node.api.revoke(app.pair(), &revoked.refresh).await.status, 200);
    assert_eq!(node.api.revoke(app.pair(), &ended.access).await.status, 200);
    let by_operator = node.issue(&app, json!({"refresh": true})).await;
    assert!(node.decide("revoke", json!({"grant_id": by_operator["grant_id"]})).await);
    let swept = pair(&app, json!({"sub": "mallory"})).await.refresh;
    assert_eq!(node.ask_operator("/admin/revocations", json!({"sub": "mallory"})).await.status, 200);
    let spent = pair(&app, json!({})).await.refresh;
    let current = node.rotate(&app, &spent).await.refresh;
    let elsewhere = Node::start_still(Kind::Embedded, &[]).await;
    let owner = elsewhere.refresher().await;
    let unknown = elsewhere.grant(&owner, json!({})).await.refresh;
    let mut altered = current.clone();
    altered.replace_range(30..31, if &current[30..31] == "A" { "B" } else { "A" });
    // The digest key of the test's nodes is called t1; so begins what only looks like a token of theirs.
    let forged = format!("itd_rt_t1{}", "A".repeat(62));
    let imported = node.issue(&app, json!({"token": "a-token-from-elsewhere"})).await;
    let access = node.token(&app).await;
    let stranger = pair(&other, json!({})).await.refresh;
    node.pass(Duration::from_secs(1)).await;
    let long = "r".repeat(50_000);
    let reference = node.refresh(&app, "no-token-at-all").await;
    expect_invalid_grant(&reference);
    for (name, token) in [
        ("expired", &*expired),
        ("revoked by its client", &revoked.refresh),
        ("revoked with its access token", &ended.access),
        ("whose access token was revoked", &ended.refresh),
        ("revoked by an operator", by_operator["refresh_token"].as_str().unwrap()),
        ("revoked in bulk", &swept),
        ("spent", &spent),
        ("successor of one that was used twice", &current),
        ("unknown", &unknown),
        ("altered", &altered),
        ("forged", &forged),
        ("cut off", &current[..70]),
        ("of another client", &stranger),
        ("an access token", &access),
        ("made elsewhere", imported["access_token"].as_str().unwrap()),
        ("long", &long),
        ("of one space", " "),
        ("with a nul", "itd_rt_t1\0"),
        ("not ASCII", "itd_rt_t1\u{e9}\u{1F511}"),
        ("a signed one of nobody", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0."),
    ] {
        assert_eq!(node.refresh(&app, token).await.whole(), reference.whole(), "{name}");
    }
    assert!(node.api.is_active(app.pair(), &access).await);
    assert!(node.api.is_active(other.pair(), &stranger).await);
}

async fn section_6_an_access_token_is_no_refresh_token(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.refresher().await;
    let pair = node.grant(&app, json!({})).await;
    let relabelled = pair.access.replacen("itd_at_", "itd_rt_", 1);
    for token in [&pair.access, &relabelled] {
        expect_invalid_grant(&node.refresh(&app, token).await);
    }
    assert_eq!(node.alive(&app, [&pair.access, &pair.refresh]).await, [true, true], "nothing was used up");
    node.rotate(&app, &pair.refresh).await;
}

async fn section_6_a_refresh_token_that_has_not_begun_waits(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.refresher().await;
    let pair = node.grant(&app, json!({"nbf": node.now() + 10})).await;
    expect_invalid_grant(&node.refresh(&app, &pair.refresh).await);
    node.pass(Duration::from_secs(10)).await;
    let next = node.rotate(&app, &pair.refresh).await;
    assert_eq!(node.alive(&app, [&next.access, &next.refresh]).await, [true, true]);
}

/// A refresh token of a client that was deleted is not for the next one of that identifier.
async fn section_10_4_a_client_of_the_same_name_inherits_nothing(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let mut metadata = refreshing();
    metadata["client_id"] = json!("phoenix");
    let first = node.client(metadata.clone()).await;
    let (pair, spent) = (node.grant(&first, json!({})).await, node.grant(&first, json!({})).await.refresh);
    let current = node.rotate(&first, &spent).await.refresh;
    node.operate("DELETE", "/admin/clients/phoenix", None).await;
    assert_eq!(node.refresh(&first, &pair.refresh).await.refusal(), (401, "invalid_client".into()));
    let second = node.client(metadata).await;
    for token in [&pair.refresh, &spent, &current] {
        expect_invalid_grant(&node.refresh(&second, token).await);
    }
    let own = node.grant(&second, json!({})).await;
    node.rotate(&second, &own.refresh).await;
}

async fn rfc6750_3_1_a_refresh_token_is_no_bearer_token(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let operator = node.client(json!({"rights": ["introspect", "revoke", "issue", "admin"]})).await;
    let scope = "introspectd:introspect introspectd:revoke introspectd:issue introspectd:admin";
    let pair = node.grant(&operator, json!({"scope": scope})).await;
    let expect_refused = |answer: &Answer| {
        assert_eq!(answer.refusal(), (401, "invalid_token".into()), "{answer:?}");
        assert!(answer.header("www-authenticate").unwrap().contains(r#"error="invalid_token""#));
    };
    let (as_refresh, as_access) = (format!("Bearer {}", pair.refresh), format!("Bearer {}", pair.access));
    for path in ["/introspect", "/revoke"] {
        expect_refused(&node.api.post_as(path, &as_refresh, &[("token", "x")]).await);
        assert_eq!(node.api.post_as(path, &as_access, &[("token", "x")]).await.status, 200, "{path}");
    }
    let url = node.api.admin_url("/admin/clients");
    let ask = async |header: &str| node.api.send(node.api.request("GET", &url).header("authorization", header)).await;
    expect_refused(&ask(&as_refresh).await);
    assert_eq!(ask(&as_access).await.status, 200);
    assert!(!node.api.is_active(OPERATOR, &pair.refresh).await, "it is nobody's business but its client's");
}
