//! Tokens from elsewhere, many at once: what is taken over, what is refused, and what never comes back.

use std::time::Duration;

use introspectd::token::record::{Reason, State};
use introspectd::token::time::Clock;
use introspectd::token::value::Presented;
use serde_json::{Value, json};

use super::{HOSTILE, post_bytes};
use crate::support::cluster::RedisCluster;
use crate::support::node::{AUDIENCE, Kind, Node, OPERATOR, Registered};

over_both_stores! {
    a_bulk_revocation_outlives_its_own_memory
    a_list_imported_twice_changes_nothing
    a_token_from_before_its_client_was_deleted_is_not_of_the_next_of_its_name
    a_token_revoked_in_bulk_before_its_import_is_never_active
    a_token_revoked_since_its_import_does_not_come_back
    an_imported_token_ends_as_any_other
    every_member_of_an_active_answer_is_taken_over
    hostile_bodies_are_refused_as_a_whole
    hostile_elements_are_refused_one_by_one_and_repeated_nowhere
    many_who_import_the_same_list_at_once_agree
    nothing_is_kept_of_a_dry_run
    the_right_to_import_is_not_that_of_an_operator
    the_switch_for_imports_covers_lists_too
    what_has_expired_is_skipped
}

const IMPORT: &str = "/admin/tokens/import";

/// Imports as the operator, and gives the results.
async fn import(node: &Node, tokens: &[Value]) -> Vec<Value> {
    let answer = node.operate("POST", IMPORT, Some(json!({"tokens": tokens}))).await;
    assert_eq!(answer.as_object().unwrap().len(), 1, "{answer}");
    answer["results"].as_array().unwrap().clone()
}

async fn outcomes(node: &Node, tokens: &[Value]) -> Vec<String> {
    let results = import(node, tokens).await;
    results.iter().map(|result| result["outcome"].as_str().unwrap().to_owned()).collect()
}

/// What an authorization server elsewhere says of one of its tokens.
#[expect(clippy::needless_pass_by_value, reason = "a literal reads better where it is given")]
fn line(node: &Node, owner: &Registered, token: &str, members: Value) -> Value {
    let mut line = json!({
        "active": true, "token": token, "client_id": owner.id, "sub": "alice", "scope": "read write", "aud": [AUDIENCE],
        "iat": node.now() - 1000, "exp": node.now() + 600, "iss": "https://hydra.example.com/", "token_type": "Bearer",
        "token_use": "access_token"
    });
    for (name, value) in members.as_object().unwrap() {
        line[name] = value.clone();
    }
    line
}

async fn every_member_of_an_active_answer_is_taken_over(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, server) = (node.application().await, node.resource_server().await);
    let further = json!({
        "nbf": node.now() - 900, "username": "Alice", "act": {"sub": "service"}, "ext": {"tenant": "t1"}, "acr": "2",
        "auth_time": 7, "cnf": {"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}, "jti": "theirs",
        "authorization_details": [{"type": "payment"}], "claims": {"department": 7}
    });
    let given = line(&node, &app, "ory_at_legacy.token", further);
    assert_eq!(import(&node, std::slice::from_ref(&given)).await, [json!({"outcome": "imported"})]);
    for caller in [&app, &server] {
        let mut described = node.api.introspect(caller.pair(), "ory_at_legacy.token").await.json();
        let described = described.as_object_mut().unwrap();
        assert_ne!(described.remove("jti").unwrap(), "theirs", "it has a name of ours");
        assert_eq!(described.remove("iss").unwrap(), "https://as.example.com", "it is ours to answer for");
        let mut expected = given.clone();
        let members = expected.as_object_mut().unwrap();
        for name in ["token", "iss", "jti", "token_use", "claims"] {
            members.remove(name);
        }
        members.insert("department".into(), json!(7));
        members.insert("aud".into(), json!(AUDIENCE));
        assert_eq!(described, members);
    }
    let bound = line(&node, &app, "bound-token", json!({"token_type": "DPoP", "cnf": {"jkt": "x".repeat(43)}}));
    assert_eq!(outcomes(&node, &[bound]).await, ["imported"]);
    assert_eq!(node.api.introspect(app.pair(), "bound-token").await.json()["token_type"], "DPoP");
    let least = json!({"token": "least-of-all", "client_id": app.id, "exp": node.now() + 60, "nbf": null, "sub": null});
    assert_eq!(outcomes(&node, &[least]).await, ["imported"]);
    assert!(node.api.is_active(app.pair(), "least-of-all").await);
}

async fn a_list_imported_twice_changes_nothing(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, other) = (node.application().await, node.application().await);
    let undated = json!({"token": "undated-token", "client_id": app.id, "exp": node.now() + 60});
    let list: Vec<Value> =
        (0..40).map(|number| line(&node, &app, &format!("legacy-{number}"), json!({}))).chain([undated]).collect();
    assert!(outcomes(&node, &list).await.iter().all(|outcome| outcome == "imported"));
    let before = node.api.introspect(app.pair(), "legacy-7").await;
    node.pass(Duration::from_secs(1)).await;
    assert!(outcomes(&node, &list).await.iter().all(|outcome| outcome == "unchanged"));
    assert_eq!(node.api.introspect(app.pair(), "legacy-7").await.whole(), before.whole());
    for changed in [
        json!({"sub": "mallory"}),
        json!({"scope": "read"}),
        json!({"exp": node.now() + 700}),
        json!({"client_id": other.id}),
        json!({"iat": node.now() - 2000}),
        json!({"claims": {"admin": true}}),
        json!({"cnf": {"jkt": "x"}}),
    ] {
        let result = &import(&node, &[line(&node, &app, "legacy-7", changed.clone())]).await[0];
        assert_eq!((&result["outcome"], &result["member"]), (&json!("refused"), &json!("token")), "{changed}");
    }
    assert_eq!(node.api.introspect(app.pair(), "legacy-7").await.whole(), before.whole());
    let twice = line(&node, &app, "twice-in-one", json!({}));
    let mut both = outcomes(&node, &[twice.clone(), twice]).await;
    both.sort();
    assert_eq!(both, ["imported", "unchanged"]);
}

async fn a_token_revoked_since_its_import_does_not_come_back(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let names = ["by-its-client", "by-an-operator", "by-its-user", "by-client-user", "by-client-id", "without-date"];
    let mut list: Vec<Value> = names.iter().map(|name| line(&node, &app, name, json!({"sub": name}))).collect();
    list[5].as_object_mut().unwrap().remove("iat");
    assert!(outcomes(&node, &list).await.iter().all(|outcome| outcome == "imported"));
    for name in names {
        assert!(node.api.is_active(app.pair(), name).await);
    }
    assert_eq!(node.api.revoke(app.pair(), names[0]).await.status, 200);
    node.operate("POST", "/admin/tokens/revoke", Some(json!({"token": names[1]}))).await;
    node.operate("POST", "/admin/revocations", Some(json!({"sub": names[2]}))).await;
    node.operate("POST", "/admin/revocations", Some(json!({"sub": names[3], "client_id": app.id}))).await;
    node.operate("POST", "/admin/tokens/revoke", Some(json!({"token": names[5]}))).await;
    node.operate("POST", "/admin/revocations", Some(json!({"client_id": app.id}))).await;
    let again = outcomes(&node, &list).await;
    assert!(again.iter().all(|outcome| outcome == "revoked"), "{again:?}");
    for name in names {
        assert!(!node.api.is_active(app.pair(), name).await, "{name} came back");
    }
    // One is approved again, which is an operator's word; the list has none.
    let approved = json!({"token": names[0]});
    let answer = node.api.admin(OPERATOR, "POST", "/admin/tokens/approve", Some(approved)).await;
    assert_eq!(answer.status, 409, "the client's tokens were revoked for good");
}

async fn a_token_revoked_in_bulk_before_its_import_is_never_active(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    node.operate("POST", "/admin/revocations", Some(json!({"sub": "alice"}))).await;
    let issued_before = line(&node, &app, "issued-before", json!({}));
    let just_before = line(&node, &app, "just-before", json!({"iat": node.now()}));
    assert_eq!(outcomes(&node, std::slice::from_ref(&issued_before)).await, ["revoked"]);
    if kind == Kind::Embedded {
        assert_eq!(outcomes(&node, &[just_before]).await, ["revoked"], "its second began before");
    }
    assert!(!node.api.is_active(app.pair(), "issued-before").await);
    assert_eq!(outcomes(&node, &[issued_before]).await, ["revoked"], "and again");
    assert!(!node.api.is_active(app.pair(), "issued-before").await);
    node.pass(Duration::from_secs(2)).await;
    let later = line(&node, &app, "issued-since", json!({"iat": node.now()}));
    assert_eq!(outcomes(&node, &[later]).await, ["imported"]);
    assert!(node.api.is_active(app.pair(), "issued-since").await);
    // Everything up to a second: those issued before it, whenever they are taken over.
    let second = node.now() - 500;
    node.operate("POST", "/admin/revocations", Some(json!({"sub": "bob", "before": second}))).await;
    let list = [second - 1, second]
        .map(|iat| line(&node, &app, &format!("of-bob-{}", second - iat), json!({"sub": "bob", "iat": iat})));
    assert_eq!(outcomes(&node, &list).await, ["revoked", "imported"]);
    // One that comes after the import covers it, though its own clock said that it was issued a moment later.
    let ahead = line(&node, &app, "clock-ahead", json!({"sub": "carol", "iat": node.now() + 30}));
    assert_eq!(outcomes(&node, &[ahead]).await, ["imported"]);
    assert!(node.api.is_active(app.pair(), "clock-ahead").await);
    node.operate("POST", "/admin/revocations", Some(json!({"sub": "carol"}))).await;
    assert!(!node.api.is_active(app.pair(), "clock-ahead").await);
}

async fn a_token_from_before_its_client_was_deleted_is_not_of_the_next_of_its_name(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    node.operate("DELETE", &format!("/admin/clients/{}", app.id), None).await;
    let again = json!({
        "client_id": app.id, "client_secret": app.secret, "rights": ["introspect"], "audiences": [AUDIENCE],
        "grant_types": ["client_credentials"], "scope": "read write"
    });
    node.operate("POST", "/admin/clients", Some(again)).await;
    assert_eq!(outcomes(&node, &[line(&node, &app, "never-seen-before", json!({}))]).await, ["revoked"]);
    assert!(!node.api.is_active(app.pair(), "never-seen-before").await);
    node.pass(Duration::from_secs(2)).await;
    let later = line(&node, &app, "of-the-new-one", json!({"iat": node.now()}));
    assert_eq!(outcomes(&node, &[later]).await, ["imported"]);
    assert!(node.api.is_active(app.pair(), "of-the-new-one").await);
}

/// An epoch is forgotten when nothing issued before it can be alive; what was taken over since then may be.
async fn a_bulk_revocation_outlives_its_own_memory(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    node.operate("POST", "/admin/revocations", Some(json!({"sub": "alice"}))).await;
    assert_eq!(outcomes(&node, &[line(&node, &app, "legacy-token", json!({}))]).await, ["revoked"]);
    let records = node.service.records_of(Presented::new("legacy-token"), node.service.now()).await.unwrap();
    let states: Vec<State> = records.iter().map(|record| record.state).collect();
    assert_eq!(states, [State::Revoked(Reason::BULK)], "the token itself is revoked, and for good");
    let approve = json!({"token": "legacy-token"});
    let answer = node.api.admin(OPERATOR, "POST", "/admin/tokens/approve", Some(approve)).await;
    assert_eq!(answer.status, 409, "{}", answer.body);
}

async fn an_imported_token_ends_as_any_other(kind: Kind) {
    let node = Node::start(kind).await;
    let (app, other) = (node.application().await, node.application().await);
    let list: Vec<Value> = ["revoked", "approved", "of-client", "lasting-1"]
        .iter()
        .map(|name| line(&node, &app, name, json!({})))
        .collect();
    assert_eq!(outcomes(&node, &list).await, ["refused", "imported", "imported", "imported"], "seven letters");
    assert_eq!(node.api.revoke(other.pair(), "approved").await.status, 400, "only its own client may");
    assert_eq!(node.api.revoke(app.pair(), "approved").await.status, 200);
    assert!(!node.api.is_active(app.pair(), "approved").await);
    node.operate("POST", "/admin/tokens/approve", Some(json!({"token": "approved"}))).await;
    assert!(node.api.is_active(app.pair(), "approved").await);
    assert_eq!(outcomes(&node, &list[1..2]).await, ["unchanged"]);
    let server = node.resource_server().await;
    node.operate("POST", &format!("/admin/clients/{}/revoke", app.id), None).await;
    assert!(!node.api.is_active(server.pair(), "of-client").await);
    let refused = &import(&node, &[line(&node, &app, "new-token", json!({}))]).await[0];
    assert_eq!((&refused["outcome"], &refused["member"]), (&json!("refused"), &json!("client_id")));
    node.operate("POST", &format!("/admin/clients/{}/approve", app.id), None).await;
    assert!(node.api.is_active(server.pair(), "of-client").await);
    // A client that is made anew is another one, and the list does not make its tokens those of this one.
    node.operate("DELETE", &format!("/admin/clients/{}", app.id), None).await;
    node.client(json!({"client_id": app.id, "rights": ["introspect"]})).await;
    assert_eq!(outcomes(&node, &list[2..3]).await, ["revoked"]);
    assert!(!node.api.is_active(server.pair(), "of-client").await);
}

async fn what_has_expired_is_skipped(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let past = line(&node, &app, "long-expired", json!({"exp": node.now() - 1}));
    let now = line(&node, &app, "just-expired", json!({"exp": node.now()}));
    let inactive = json!({"token": "inactive-token", "active": false});
    let soon = line(&node, &app, "soon-expired", json!({"exp": node.now() + 2}));
    let list = [past, now, inactive, soon];
    assert_eq!(outcomes(&node, &list).await, ["expired", "expired", "inactive", "imported"]);
    assert!(node.api.is_active(app.pair(), "soon-expired").await);
    node.pass(Duration::from_secs(3)).await;
    assert!(!node.api.is_active(app.pair(), "soon-expired").await);
    assert_eq!(outcomes(&node, &list[3..]).await, ["expired"]);
    assert!(!node.api.is_active(app.pair(), "soon-expired").await);
}

async fn nothing_is_kept_of_a_dry_run(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    node.operate("POST", "/admin/revocations", Some(json!({"sub": "bob"}))).await;
    let list = [
        line(&node, &app, "legacy-token", json!({})),
        line(&node, &app, "token-of-bob", json!({"sub": "bob"})),
        line(&node, &app, "third-token", json!({"exp": "soon"})),
    ];
    for _ in 0..2 {
        let answer = node.operate("POST", IMPORT, Some(json!({"tokens": list, "dry_run": true}))).await;
        let outcomes: Vec<&Value> = answer["results"].as_array().unwrap().iter().map(|one| &one["outcome"]).collect();
        assert_eq!(outcomes, ["imported", "revoked", "refused"]);
    }
    assert!(!node.api.is_active(app.pair(), "legacy-token").await);
    assert_eq!(outcomes(&node, &list).await, ["imported", "revoked", "refused"]);
}

async fn hostile_elements_are_refused_one_by_one_and_repeated_nowhere(kind: Kind) {
    let node = Node::start_with(kind, &[("tokens.max_lifetime", "1h"), ("tokens.refresh_lifetime", "1h")]).await;
    let app = node.application().await;
    let now = node.now();
    let secret = "secret-of-somebody";
    let with = |members: Value| line(&node, &app, secret, members).to_string();
    let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    let cases: Vec<(Option<&str>, String)> = vec![
        (Some("token"), line(&node, &app, "short", json!({})).to_string()),
        (Some("token"), with(json!({"token": "t".repeat(4097)}))),
        (Some("token"), with(json!({"token": "with space"}))),
        (Some("token"), with(json!({"token": "itd_at_01whatever"}))),
        (Some("token"), with(json!({"token": 12_345_678}))),
        (Some("token"), with(json!({"token": null}))),
        (Some("token"), format!(r#"{{"client_id":"{}","exp":{}}}"#, app.id, now + 60)),
        (Some("active"), with(json!({"active": "yes"}))),
        (Some("client_id"), with(json!({"client_id": "nobody-here"}))),
        (Some("client_id"), with(json!({"client_id": ""}))),
        (Some("client_id"), with(json!({"client_id": 7}))),
        (Some("client_id"), with(json!({"client_id": null}))),
        (Some("client_id"), with(json!({"client_id": "x".repeat(129)}))),
        (Some("exp"), with(json!({"exp": null}))),
        (Some("exp"), with(json!({"exp": "1900000000"}))),
        (Some("exp"), with(json!({"exp": 1.5}))),
        (Some("exp"), with(json!({"exp": -1}))),
        (Some("exp"), with(json!({"exp": now + 3601}))),
        (Some("exp"), with(json!({"exp": (now + 60) * 1000}))),
        (Some("exp"), with(json!({"nbf": now + 600}))),
        (Some("nbf"), with(json!({"nbf": now * 1000}))),
        (Some("iat"), with(json!({"iat": now * 1000}))),
        (Some("iat"), with(json!({"iat": now + 120}))),
        (Some("iat"), with(json!({"iat": "yesterday"}))),
        (Some("sub"), with(json!({"sub": ""}))),
        (Some("sub"), with(json!({"sub": "a\nb"}))),
        (Some("sub"), with(json!({"sub": "client:another"}))),
        (Some("sub"), with(json!({"sub": "x".repeat(1025)}))),
        (Some("username"), with(json!({"username": ["x"]}))),
        (Some("scope"), with(json!({"scope": "a  b"}))),
        (Some("scope"), with(json!({"scope": ["a", "b"]}))),
        (Some("scope"), with(json!({"scope": "introspectd:admin"}))),
        (Some("aud"), with(json!({"aud": "*"}))),
        (Some("aud"), with(json!({"aud": [1]}))),
        (Some("aud"), with(json!({"aud": vec!["x"; 65]}))),
        (Some("token_type"), with(json!({"token_type": "mac"}))),
        (Some("token_type"), with(json!({"token_type": "DPoP"}))),
        (Some("token_type"), with(json!({"token_type": "refresh_token", "token_use": null}))),
        (Some("token_use"), with(json!({"token_use": "refresh_token"}))),
        (Some("token_use"), with(json!({"token_use": "id_token"}))),
        (Some("claims"), with(json!({"cnf": {}}))),
        (Some("claims"), with(json!({"cnf": "x"}))),
        (Some("claims"), with(json!({"authorization_details": {}}))),
        (Some("claims"), with(json!({"claims": []}))),
        (Some("claims"), with(json!({"claims": {"active": true}}))),
        (Some("claims"), with(json!({"claims": {secret: null}}))),
        (Some("claims"), with(json!({"claims": {"big": "x".repeat(9000)}}))),
        (Some("claims"), with(json!({"ext": serde_json::from_str::<Value>(&deep).unwrap()}))),
        (Some("ext"), with(json!({"ext": {}, "claims": {"ext": {}}}))),
        (Some("iss"), with(json!({"iss": 1}))),
        (None, with(json!({"scopes": "read"}))),
        (None, with(json!({secret: true}))),
        (None, with(json!({"conf": {"jkt": "x"}}))),
        (None, format!(r#"{{"token":"{secret}","token":"other-token","client_id":"{}"}}"#, app.id)),
        (None, with(json!({})).replace("\"sub\"", "\"scope\"")),
        (None, with(json!({"exp": "EXP"})).replace("\"EXP\"", "1e300")),
        (None, format!("[\"{secret}\"]")),
        (None, format!("\"{secret}\"")),
        (None, "null".to_owned()),
        (None, "7".to_owned()),
    ];
    let bodies: Vec<&str> = cases.iter().map(|(_, body)| &**body).collect();
    let good = line(&node, &app, "good-token", json!({})).to_string();
    let body = format!("{{\"tokens\":[{},{good}]}}", bodies.join(","));
    let answer = post_bytes(&node, IMPORT, body.as_bytes()).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(!answer.body.contains(secret), "{}", answer.body);
    let results = answer.json()["results"].as_array().unwrap().clone();
    assert_eq!(results.len(), cases.len() + 1);
    for ((member, body), result) in cases.iter().zip(&results) {
        let body: String = body.chars().take(200).collect();
        assert_eq!(result["outcome"], "refused", "{body}: {result}");
        assert_eq!(result["member"].as_str(), *member, "{body}: {result}");
        assert!(!result["reason"].as_str().unwrap().is_empty(), "{body}: {result}");
    }
    assert_eq!(results.last().unwrap(), &json!({"outcome": "imported"}), "one bad element spoils no other");
    assert!(!node.api.is_active(app.pair(), secret).await);
    assert!(node.api.is_active(app.pair(), "good-token").await);
}

async fn hostile_bodies_are_refused_as_a_whole(kind: Kind) {
    let node = Node::start_with(kind, &[("http.max_batch_bytes", "65536")]).await;
    let app = node.application().await;
    for body in HOSTILE {
        let answer = post_bytes(&node, IMPORT, body).await;
        assert_eq!(answer.refusal(), (400, "invalid_request".into()), "{:?}", String::from_utf8_lossy(body));
    }
    let one = line(&node, &app, "legacy-token", json!({})).to_string();
    for body in [
        String::new(),
        "{}".to_owned(),
        r#"{"tokens":{}}"#.to_owned(),
        r#"{"tokens":[],"token":1}"#.to_owned(),
        format!(r#"{{"tokens":[{one}],"tokens":[]}}"#),
        format!(r#"{{"tokens":[{one}],"dry_run":"no"}}"#),
        format!(r#"{{"tokens":[{one}]}}{{}}"#),
        format!(r#"{{"tokens":[{}1]}}"#, "1,".repeat(1000)),
        format!(r#"{{"tokens":[{}]}}"#, "[".repeat(30_000)),
    ] {
        let answer = post_bytes(&node, IMPORT, body.as_bytes()).await;
        assert_eq!(answer.refusal(), (400, "invalid_request".into()), "{:?}", &body[..body.len().min(80)]);
    }
    let large = format!(r#"{{"tokens":["{}"]}}"#, "x".repeat(65_536));
    assert_eq!(post_bytes(&node, IMPORT, large.as_bytes()).await.status, 413);
    assert!(!node.api.is_active(app.pair(), "legacy-token").await, "nothing of them was taken over");
    assert_eq!(import(&node, &[]).await, [] as [Value; 0]);
    let most = format!(r#"{{"tokens":[{}1]}}"#, "1,".repeat(999));
    assert_eq!(post_bytes(&node, IMPORT, most.as_bytes()).await.status, 200);
}

async fn the_right_to_import_is_not_that_of_an_operator(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let importer = node.client(json!({"rights": ["import"], "grant_types": ["client_credentials"]})).await;
    let body = |token: &str, members| json!({"tokens": [line(&node, &app, token, members)]});
    let by = async |client: &Registered, path, body| node.api.admin(client.pair(), "POST", path, Some(body)).await;
    let answer = by(&importer, IMPORT, body("legacy-token", json!({}))).await;
    assert_eq!((answer.status, answer.json()), (200, json!({"results": [{"outcome": "imported"}]})));
    for scope in ["introspectd:admin", "introspectd:introspect", "read introspectd:import"] {
        let answer = by(&importer, IMPORT, body("other-token", json!({"scope": scope}))).await;
        assert_eq!(answer.json()["results"][0]["member"], "scope", "{scope}");
    }
    for path in ["/admin/tokens", "/admin/tokens/revoke", "/admin/revocations", "/admin/clients"] {
        let answer = by(&importer, path, json!({"client_id": app.id, "token": "legacy-token"})).await;
        assert_eq!(answer.refusal(), (403, "unauthorized_client".into()), "{path}");
    }
    for rights in [json!([]), json!(["issue"]), json!(["revoke", "introspect"])] {
        let other = node.client(json!({"rights": rights})).await;
        let answer = by(&other, IMPORT, body("other-token", json!({}))).await;
        assert_eq!(answer.refusal(), (403, "unauthorized_client".into()), "{rights}");
    }
    let answer = node.api.send(node.api.request("POST", &node.api.admin_url(IMPORT)).json(&json!({}))).await;
    assert_eq!(answer.status, 401);
    assert_eq!(node.api.post(IMPORT, OPERATOR, &[]).await.status, 404, "the public listener has it not");
    let answer = node.api.admin(OPERATOR, "GET", IMPORT, None).await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("POST, OPTIONS")));
}

async fn the_switch_for_imports_covers_lists_too(kind: Kind) {
    let node = Node::start_with(kind, &[("tokens.imports", "false")]).await;
    let app = node.application().await;
    let body = json!({"tokens": [line(&node, &app, "legacy-token", json!({}))]});
    let answer = node.api.admin(OPERATOR, "POST", IMPORT, Some(body)).await;
    assert_eq!(answer.refusal(), (400, "invalid_request".into()));
}

async fn many_who_import_the_same_list_at_once_agree(kind: Kind) {
    let node = Node::start(kind).await;
    let app = node.application().await;
    let list: Vec<Value> = (0..100).map(|number| line(&node, &app, &format!("legacy-{number}"), json!({}))).collect();
    let runs = futures_util::future::join_all((0..8).map(|_| outcomes(&node, &list))).await;
    for place in 0..list.len() {
        let imported = runs.iter().filter(|outcomes| outcomes[place] == "imported").count();
        let unchanged = runs.iter().filter(|outcomes| outcomes[place] == "unchanged").count();
        assert_eq!((imported, unchanged), (1, 7), "token {place}");
    }
    // Revoked in the middle of it: whoever comes later does not bring it back.
    for round in 0..20 {
        let token = format!("contended-{round}");
        let one = line(&node, &app, &token, json!({}));
        assert_eq!(outcomes(&node, std::slice::from_ref(&one)).await, ["imported"]);
        let again = async { outcomes(&node, std::slice::from_ref(&one)).await };
        let revoke = async { node.api.revoke(app.pair(), &token).await.status };
        let (_, status, _) = tokio::join!(again, revoke, outcomes(&node, std::slice::from_ref(&one)));
        assert_eq!(status, 200);
        assert!(!node.api.is_active(app.pair(), &token).await);
        assert_eq!(outcomes(&node, &[one]).await, ["revoked"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_over_a_cluster_has_what_one_of_its_nodes_took_over() {
    let cluster = RedisCluster::start().await;
    let redis = cluster.config();
    let nodes = redis.nodes.join(",");
    let settings = [("redis.topology", "cluster"), ("redis.nodes", &*nodes)];
    let start = async || Node::over(("redis.url", redis.url.expose().to_owned()), Clock::System, &settings).await;
    let (one, other) = (start().await, start().await);
    let app = one.application().await;
    let list: Vec<Value> = (0..50).map(|number| line(&one, &app, &format!("legacy-{number}"), json!({}))).collect();
    assert!(outcomes(&one, &list).await.iter().all(|outcome| outcome == "imported"));
    for number in 0..50 {
        assert!(other.api.is_active(app.pair(), &format!("legacy-{number}")).await);
    }
    for number in 0..25 {
        assert_eq!(other.api.revoke(app.pair(), &format!("legacy-{number}")).await.status, 200);
    }
    let again = outcomes(&one, &list).await;
    for (number, outcome) in again.iter().enumerate() {
        assert_eq!(outcome, if number < 25 { "revoked" } else { "unchanged" });
        for node in [&one, &other] {
            assert_eq!(node.api.is_active(app.pair(), &format!("legacy-{number}")).await, number >= 25);
        }
    }
}
