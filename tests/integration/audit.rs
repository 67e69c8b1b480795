//! The audit log: every act of operators and every revocation is in it, refused ones too, and never a token or a
//! secret.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use introspectd::telemetry::audit::Act;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::eventually;
use crate::support::node::{Kind, Node, OPERATOR, Registered};

over_both_stores! {
    a_session_that_has_ended_writes_no_more_lines
    a_token_is_told_from_a_name_wherever_it_is
    an_operator_who_cannot_be_recorded_is_refused_but_never_a_revocation
    every_act_is_recorded_with_who_and_what_and_never_a_secret
    lines_of_peers_are_texts_in_ours
    refused_attempts_are_recorded_on_every_route_of_operators
    whoever_goes_away_in_the_middle_leaves_a_line
}

/// A node that records, and where.
struct Recorded {
    node: Node,
    folder: TempDir,
}

impl Recorded {
    async fn start(kind: Kind, settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log").display().to_string();
        let own = [("audit.enabled", "true"), ("audit.path", path.as_str()), ("accounts.enabled", "true")];
        let node = Node::start_with(kind, &[&own, settings].concat()).await;
        Self { node, folder }
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("audit.log")).unwrap()
    }

    fn lines(&self) -> Vec<Value> {
        let text = self.text();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
    }

    /// The lines of an act, once there are so many.
    async fn of(&self, act: Act, count: usize) -> Vec<Value> {
        let found =
            || -> Vec<Value> { self.lines().into_iter().filter(|line| line["event"] == act.as_str()).collect() };
        eventually(act.as_str(), async || found().len() >= count).await;
        let found = found();
        assert_eq!(found.len(), count, "{found:?}");
        found
    }

    /// The last line of an act.
    async fn last(&self, act: Act, count: usize) -> Value {
        self.of(act, count).await.pop().unwrap()
    }

    async fn account(&self, path: &str, bearer: Option<&str>, body: Value) -> Value {
        let mut request = self.node.api.request("POST", &self.node.api.url(path));
        if let Some(token) = bearer {
            request = request.bearer_auth(token);
        }
        let request = request.header("content-type", "application/json").body(body.to_string());
        let answer = self.node.api.send(request).await;
        assert!((200..300).contains(&answer.status), "{path}: {} {}", answer.status, answer.body);
        if answer.body.is_empty() { Value::Null } else { answer.json() }
    }
}

/// Texts that must be nowhere in the log.
#[derive(Default)]
struct Secrets(Vec<String>);

impl Secrets {
    fn keep(&mut self, text: impl Into<String>) {
        let text = text.into();
        assert!(text.len() >= 8, "{text:?} could be anywhere");
        self.0.push(text);
    }

    /// Those of an answer.
    fn keep_of(&mut self, answer: &Value) {
        for member in ["access_token", "refresh_token", "client_secret"] {
            if let Some(text) = answer[member].as_str() {
                self.keep(text);
            }
        }
    }

    fn expect_none_in(&self, text: &str) {
        for secret in &self.0 {
            assert!(!text.contains(secret.as_str()), "{secret} is in the log");
        }
    }
}

const PASSWORD: &str = "correct horse battery staple";
const NEXT_PASSWORD: &str = "another horse, another staple";

fn refresher() -> Value {
    json!({
        "rights": ["introspect"], "audiences": ["*"], "scope": "read write",
        "grant_types": ["client_credentials", "refresh_token"]
    })
}

/// Goes through everything that can be done; which acts there are is taken from the service, so that a new one must
/// come here.
#[expect(clippy::too_many_lines, reason = "one list of all acts")]
async fn every_act_is_recorded_with_who_and_what_and_never_a_secret(kind: Kind) {
    let recorded = Recorded::start(kind, &[("tokens.imports", "true")]).await;
    let node = &recorded.node;
    let mut secrets = Secrets::default();
    for secret in [OPERATOR.1, PASSWORD, NEXT_PASSWORD] {
        secrets.keep(secret);
    }
    let operator = json!({"type": "client", "client_id": OPERATOR.0, "method": "client_secret_basic"});

    // Clients.
    let created = node.operate("POST", "/admin/clients", Some(refresher())).await;
    secrets.keep_of(&created);
    let id = created["client_id"].as_str().unwrap().to_owned();
    let app = Registered { id: id.clone(), secret: created["client_secret"].as_str().unwrap().to_owned() };
    let line = recorded.last(Act::ClientCreate, 1).await;
    assert_eq!((&line["outcome"], &line["status"], &line["actor"]), (&json!("done"), &json!(201), &operator));
    assert_eq!(line["target"], json!({"client_id": id, "rights": ["introspect"]}));
    assert_eq!(line["number"], 1);
    assert!(line["time"].as_str().unwrap().ends_with('Z') && line["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
    let path = format!("/admin/clients/{id}");
    node.operate("PATCH", &path, Some(json!({"client_name": "changed"}))).await;
    assert_eq!(recorded.last(Act::ClientUpdate, 1).await["target"]["members"], json!(["client_name"]));
    for (action, act) in [("revoke", Act::ClientRevoke), ("approve", Act::ClientApprove)] {
        for outcome in ["done", "unchanged"] {
            node.operate("POST", &format!("{path}/{action}"), None).await;
            let line = recorded.last(act, if outcome == "done" { 1 } else { 2 }).await;
            assert_eq!((&line["outcome"], &line["target"]["client_id"]), (&json!(outcome), &json!(id)));
        }
    }

    // Tokens.
    let issued = node.issue(&app, json!({"refresh": true, "sub": "alice", "aud": "https://api.example.com"})).await;
    secrets.keep_of(&issued);
    let line = recorded.last(Act::TokenIssue, 1).await;
    assert_eq!(line["target"]["jti"], issued["jti"]);
    assert_eq!((&line["target"]["grant_id"], &line["target"]["sub"]), (&issued["grant_id"], &json!("alice")));
    let access = issued["access_token"].as_str().unwrap();
    assert_eq!(node.api.revoke(app.pair(), access).await.status, 200);
    let line = recorded.last(Act::TokenRevoke, 1).await;
    assert_eq!((&line["actor"]["client_id"], &line["outcome"]), (&json!(id), &json!("done")));
    assert_eq!((&line["target"]["jti"], &line["target"]["sub"]), (&issued["jti"], &json!("alice")));
    // A text that is no token names nothing.
    assert_eq!(node.api.revoke(app.pair(), "whatever-this-may-be").await.status, 200);
    node.operate("POST", "/admin/tokens/approve", Some(json!({"jti": issued["jti"]}))).await;
    assert_eq!(recorded.last(Act::TokenApprove, 1).await["target"]["jti"], issued["jti"]);
    for (number, body) in [json!({"token": access}), json!({"grant_id": issued["grant_id"]})].into_iter().enumerate() {
        node.operate("POST", "/admin/tokens/revoke", Some(body)).await;
        let line = recorded.last(Act::TokenRevoke, number + 2).await;
        assert_eq!((&line["actor"], &line["target"]["grant_id"]), (&operator, &issued["grant_id"]));
    }
    // Somebody else's.
    let other = node.client(refresher()).await;
    secrets.keep(other.secret.as_str());
    let (own, refresh) = node.tokens(&app).await;
    secrets.keep(own.as_str());
    secrets.keep(refresh.as_str());
    assert_eq!(node.api.revoke(other.pair(), &own).await.status, 400);
    let line = recorded.last(Act::TokenRevoke, 4).await;
    assert_eq!((&line["outcome"], &line["reason"]), (&json!("refused"), &json!("invalid_grant")));
    // A refresh token that comes twice.
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh.as_str())];
    let next = node.api.post("/token", app.pair(), &form).await;
    assert_eq!(next.status, 200, "{}", next.body);
    secrets.keep_of(&next.json());
    node.pass(Duration::from_secs(2)).await;
    assert_eq!(node.api.post("/token", app.pair(), &form).await.status, 400);
    let line = recorded.last(Act::TokenReuse, 1).await;
    assert_eq!((&line["target"]["client_id"], line["target"]["grant_id"].is_string()), (&json!(id), true));
    node.operate("POST", "/admin/revocations", Some(json!({"client_id": id, "sub": "alice"}))).await;
    let line = recorded.last(Act::TokenRevokeAll, 1).await;
    assert_eq!(line["target"], json!({"client_id": id, "sub": "alice"}));

    // Many tokens from elsewhere.
    let foreign = "a-token-of-another-server";
    secrets.keep(foreign);
    let body = json!({"tokens": [{"token": foreign, "active": true, "client_id": id, "exp": node.now() + 1000}]});
    node.operate("POST", "/admin/tokens/import", Some(body)).await;
    let line = recorded.last(Act::TokenImport, 1).await;
    assert_eq!((&line["outcome"], &line["target"]["tokens"]), (&json!("done"), &json!(1)), "{line}");

    // Keys.
    let keys = node.operate("POST", "/admin/keys/rotate", Some(json!({"algorithm": "ES256"}))).await;
    assert_eq!(recorded.last(Act::KeyRotate, 1).await["target"]["algorithm"], "ES256");
    let kid = keys["keys"][0]["kid"].as_str().unwrap();
    node.operate("POST", &format!("/admin/keys/{kid}/retire"), None).await;
    assert_eq!(recorded.last(Act::KeyRetire, 1).await["target"], json!({"kid": kid}));
    node.operate("DELETE", &format!("/admin/keys/{kid}"), None).await;
    assert_eq!(recorded.last(Act::KeyRemove, 1).await["target"], json!({"kid": kid}));

    // Users, by themselves and by operators.
    let body = json!({"username": "alice", "email": "alice@example.com", "password": PASSWORD});
    let session = recorded.account("/register", None, body).await;
    secrets.keep_of(&session);
    let token = session["access_token"].as_str().unwrap();
    let body = json!({"old_password": PASSWORD, "new_password": NEXT_PASSWORD});
    let session = recorded.account("/password/change", Some(token), body).await;
    secrets.keep_of(&session);
    let line = recorded.last(Act::UserPassword, 1).await;
    let user = line["actor"]["user_id"].as_str().unwrap().to_owned();
    assert_eq!(line["actor"]["type"], "user");
    let login =
        async || recorded.account("/login", None, json!({"username": "alice", "password": NEXT_PASSWORD})).await;
    for (path, act) in [("/logout", Act::SessionEnd), ("/logout?all=true", Act::SessionEndAll)] {
        let session = login().await;
        secrets.keep_of(&session);
        recorded.account(path, session["refresh_token"].as_str(), json!({})).await;
        let line = recorded.last(act, 1).await;
        assert_eq!((&line["actor"]["user_id"], &line["outcome"]), (&json!(user), &json!("done")));
    }
    let session = login().await;
    secrets.keep_of(&session);
    let path = format!("/admin/users/{user}");
    let listed = node.operate("GET", &format!("{path}/sessions"), None).await;
    let open = listed["sessions"][0]["id"].as_str().unwrap();
    node.operate("DELETE", &format!("{path}/sessions/{open}"), None).await;
    let line = recorded.last(Act::SessionEnd, 2).await;
    assert_eq!((&line["actor"], &line["target"]), (&operator, &json!({"user_id": user, "session_id": open})));
    node.operate("DELETE", &format!("{path}/sessions"), None).await;
    recorded.last(Act::SessionEndAll, 2).await;
    for (action, act) in [("disable", Act::UserDisable), ("enable", Act::UserEnable)] {
        node.operate("POST", &format!("{path}/{action}"), None).await;
        let line = recorded.last(act, 1).await;
        assert_eq!((&line["target"], &line["actor"]), (&json!({"user_id": user}), &operator));
    }
    node.operate("POST", &format!("{path}/password"), Some(json!({"password": PASSWORD}))).await;
    recorded.last(Act::UserPassword, 2).await;
    let body = json!({"username": "bob", "email": "bob@example.com", "password": PASSWORD});
    let bob = node.operate("POST", "/admin/users", Some(body.clone())).await;
    assert_eq!(recorded.last(Act::UserCreate, 1).await["target"], json!({"user_id": bob["id"]}));
    let taken = node.api.admin(OPERATOR, "POST", "/admin/users", Some(body)).await;
    assert_eq!(taken.status, 409);
    let line = recorded.last(Act::UserCreate, 2).await;
    assert_eq!((&line["outcome"], &line["status"]), (&json!("refused"), &json!(409)));
    node.operate("DELETE", &path, None).await;
    assert_eq!(recorded.last(Act::UserDelete, 1).await["target"], json!({"user_id": user}));

    // What gives another secret, and the end of a client.
    let rotated = node.operate("POST", &format!("/admin/clients/{id}/rotate-secret"), None).await;
    secrets.keep_of(&rotated);
    recorded.last(Act::ClientRotateSecret, 1).await;
    node.operate("DELETE", &format!("/admin/clients/{id}"), None).await;
    recorded.last(Act::ClientDelete, 1).await;

    // Reading is not recorded, unless it is refused: another test.
    let met: BTreeSet<String> =
        recorded.lines().iter().map(|line| line["event"].as_str().unwrap().to_owned()).collect();
    for act in Act::ALL.iter().filter(|act| **act != Act::ConfigReload) {
        assert_eq!(met.contains(act.as_str()), !act.reads(), "{act:?}");
    }
    let numbers: Vec<_> = recorded.lines().iter().map(|line| line["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "none is lost");
    let written = node.counter("introspect_audit_events_total{result=\"written\"}").await;
    assert_eq!(written, numbers.len() as u64);
    secrets.expect_none_in(&recorded.text());
}

/// Method and path of everything that operators can ask for, from the list that the router looks up: a route that is
/// added is tried here.
fn routes() -> Vec<(String, String)> {
    let description = introspectd::openapi::admin();
    let paths = description["paths"].as_object().unwrap().iter().filter(|(path, _)| path.starts_with("/admin/"));
    let mut routes = Vec::new();
    for (path, item) in paths {
        let filled = [("{client_id}", "app"), ("{kid}", "AAAAAAAA"), ("{user_id}", ID), ("{session_id}", ID)];
        let path = filled.into_iter().fold(path.clone(), |path, (name, value)| path.replace(name, value));
        let methods = ["get", "post", "put", "patch", "delete"].into_iter().filter(|method| item.get(method).is_some());
        routes.extend(methods.map(|method| (method.to_uppercase(), path.clone())));
    }
    routes
}

const ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// Each route with each of its methods, without credentials, with wrong ones, and by a client without the right.
async fn refused_attempts_are_recorded_on_every_route_of_operators(kind: Kind) {
    let recorded = Recorded::start(kind, &[("authentication.failures_per_client", "1000")]).await;
    let node = &recorded.node;
    let caller = node.client(json!({"rights": ["introspect"]})).await;
    let routes = routes();
    assert!(routes.len() >= 28, "{routes:?}");
    let before = recorded.of(Act::ClientCreate, 1).await.len();
    for (method, path) in &routes {
        let bare = node.api.send(node.api.request(method, &node.api.admin_url(path))).await;
        let swapped = node.api.admin((OPERATOR.1, OPERATOR.0), method, path, None).await;
        let wrong = node.api.admin((OPERATOR.0, "not-the-secret-of-it"), method, path, None).await;
        let forbidden = node.api.admin(caller.pair(), method, path, None).await;
        assert_eq!(
            [bare.status, swapped.status, wrong.status, forbidden.status],
            [401, 401, 401, 403],
            "{method} {path}"
        );
    }
    let expected = before + 4 * routes.len();
    eventually("all of them", async || recorded.lines().len() >= expected).await;
    let lines = recorded.lines();
    assert_eq!(lines.len(), expected);
    let mut met = BTreeSet::new();
    for (lines, (method, path)) in lines[before..].chunks(4).zip(&routes) {
        met.insert(lines[0]["event"].as_str().unwrap());
        let claimed = json!({"type": "claimed", "client_id": OPERATOR.0});
        let known = json!({"type": "client", "client_id": caller.id, "method": "client_secret_basic"});
        let unknown = json!({"type": "unknown"});
        for (line, (status, reason, actor)) in lines.iter().zip([
            (401, "invalid_client", &unknown),
            (401, "invalid_client", &unknown),
            (401, "invalid_client", &claimed),
            (403, "unauthorized_client", &known),
        ]) {
            assert_eq!(line["event"], lines[0]["event"], "{method} {path}");
            assert_eq!((&line["outcome"], &line["status"]), (&json!("refused"), &json!(status)), "{line}");
            assert_eq!((&line["reason"], &line["actor"]), (&json!(reason), actor), "{line}");
        }
    }
    for act in Act::ALL.iter().filter(|act| !matches!(act, Act::ConfigReload | Act::TokenReuse)) {
        assert!(met.contains(act.as_str()), "{act:?} is tried on no route");
    }
    assert!(!recorded.text().contains(OPERATOR.1), "a secret that is sent in the place of a name is no name");
    assert!(!recorded.text().contains("not-the-secret-of-it"));
}

/// In paths, bodies and headers: what is no identifier of ours is left out or escaped, and tokens in wrong places are
/// left out.
async fn lines_of_peers_are_texts_in_ours(kind: Kind) {
    let recorded = Recorded::start(kind, &[("tokens.imports", "true")]).await;
    let node = &recorded.node;
    let app = node.client(refresher()).await;
    let (access, refresh) = node.tokens(&app).await;
    let signed = node.issue(&app, json!({"format": "jwt"})).await["access_token"].as_str().unwrap().to_owned();
    let before = recorded.of(Act::TokenIssue, 2).await.len();
    let hostile = "x\"}\n{\"number\":1,\"event\":\"user.delete\",\"outcome\":\"done\"}\u{2028}\u{1b}[2J";
    for sub in [hostile, &access, &refresh, &signed] {
        node.operate("POST", "/admin/revocations", Some(json!({"sub": sub}))).await;
    }
    let lines = recorded.of(Act::TokenRevokeAll, 4).await;
    assert_eq!(lines[0]["target"]["sub"], hostile);
    for line in &lines[1..] {
        assert_eq!(line["target"].get("sub"), None, "{line}");
    }
    // A text that is not written stands for itself all the same.
    let withheld: BTreeSet<_> =
        lines[1..].iter().map(|line| line["target"]["sub_withheld"].as_str().unwrap()).collect();
    assert_eq!((withheld.len(), withheld.first().unwrap().len()), (3, 22));
    for token in [&access, &refresh, &signed] {
        for (method, path) in
            [("DELETE", format!("/admin/keys/{token}")), ("DELETE", format!("/admin/clients/{token}"))]
        {
            node.api.admin(OPERATOR, method, &path, None).await;
        }
        let body = json!({"jti": token, "cascade": true});
        assert_eq!(node.api.admin(OPERATOR, "POST", "/admin/tokens/revoke", Some(body)).await.status, 404);
    }
    recorded.of(Act::TokenRevoke, 3).await;
    let text = recorded.text();
    assert!(text.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)));
    assert!(recorded.lines().iter().all(|line| line["event"] != "user.delete"));
    assert!(recorded.lines().len() > before + 6);
    for token in [&access, &refresh, &signed] {
        assert!(!text.contains(token.as_str()));
    }
}

/// Tokens among other words, tokens of others that were taken in, tokens as the name of a client; and names that only
/// begin like one, under which operators would else hide what they do.
async fn a_token_is_told_from_a_name_wherever_it_is(kind: Kind) {
    let recorded = Recorded::start(kind, &[("tokens.imports", "true")]).await;
    let node = &recorded.node;
    let app = node.client(refresher()).await;
    let (access, _) = node.tokens(&app).await;
    let signed = node.issue(&app, json!({"format": "jwt"})).await["access_token"].as_str().unwrap().to_owned();
    let foreign = "ory_at_Zm9yZWlnbg.c2lnbmF0dXJl";
    node.issue(&app, json!({"token": foreign, "expires_in": 600})).await;
    let revoke_all = async |member: &str, text: &str| {
        node.operate("POST", "/admin/revocations", Some(json!({member: text}))).await;
    };
    let mut count = 0;
    for token in [access.as_str(), &signed, foreign] {
        for text in [format!("{token} "), format!("Bearer {token}"), format!("<{token}>"), format!("a,b;c\n{token}")] {
            revoke_all("sub", &text).await;
            count += 1;
            let line = recorded.last(Act::TokenRevokeAll, count).await;
            assert!(line["target"]["sub_withheld"].is_string() && line["target"].get("sub").is_none(), "{line}");
        }
        let answer = node.api.admin(OPERATOR, "DELETE", &format!("/admin/clients/{token}"), None).await;
        assert!([400, 404].contains(&answer.status));
    }
    for text in ["eyJalice", "itd_at_home", "eyJ0.e30.x", "ory_at_nobody-has-this-one"] {
        revoke_all("sub", text).await;
        count += 1;
        let line = recorded.last(Act::TokenRevokeAll, count).await;
        assert_eq!(line["target"]["sub"], text);
    }
    for (id, status) in [("eyJx", 201), (access.as_str(), 400), (foreign, 400)] {
        let body = json!({"client_id": id, "rights": ["introspect"]});
        assert_eq!(node.api.admin(OPERATOR, "POST", "/admin/clients", Some(body)).await.status, status, "{id}");
    }
    node.operate("POST", "/admin/clients/eyJx/revoke", None).await;
    assert_eq!(recorded.last(Act::ClientRevoke, 1).await["target"]["client_id"], "eyJx");
    let text = recorded.text();
    for token in [access.as_str(), &signed, foreign] {
        assert!(!text.contains(token), "{token}");
    }
}

/// Whoever has ever been logged in has a refresh token, and could fill the disk with it.
async fn a_session_that_has_ended_writes_no_more_lines(kind: Kind) {
    let recorded = Recorded::start(kind, &[("authentication.unknown_tokens_per_second", "1")]).await;
    let user = json!({"username": "alice", "email": "alice@example.org", "password": PASSWORD});
    let session = recorded.account("/register", None, user).await;
    let refresh = session["refresh_token"].as_str().unwrap();
    recorded.account("/logout", Some(refresh), json!({})).await;
    let mut refused = 0;
    for _ in 0..200 {
        let request = recorded.node.api.request("POST", &recorded.node.api.url("/logout")).bearer_auth(refresh);
        refused += u32::from(recorded.node.api.send(request).await.status == 429);
    }
    assert!(refused > 0);
    recorded.node.operate("POST", "/admin/keys/rotate", None).await;
    recorded.of(Act::KeyRotate, 1).await;
    recorded.of(Act::SessionEnd, 1).await;
}

/// What was begun may have been done: who breaks off the connection leaves a line all the same.
async fn whoever_goes_away_in_the_middle_leaves_a_line(kind: Kind) {
    const ATTEMPTS: usize = 20;
    let recorded = Recorded::start(kind, &[]).await;
    let authorization = BASE64_STANDARD.encode(format!("{}:{}", OPERATOR.0, OPERATOR.1));
    for number in 0..ATTEMPTS {
        let body = json!({
            "username": format!("user-{number}"), "email": format!("{number}@example.com"), "password": PASSWORD
        });
        let (body, mut socket) = (body.to_string(), TcpStream::connect(recorded.node.admin).await.unwrap());
        let head = format!(
            "POST /admin/users HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {authorization}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        socket.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        // Usually enough for the request to be read, and not for the password to be hashed.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let cut_off =
        || -> Vec<Value> { recorded.lines().into_iter().filter(|line| line["reason"] == "interrupted").collect() };
    eventually("a line of one who went away", async || !cut_off().is_empty()).await;
    for line in cut_off() {
        assert_eq!((&line["event"], &line["outcome"]), (&json!("user.create"), &json!("failed")));
    }
}

/// The disk is full from the start.
async fn an_operator_who_cannot_be_recorded_is_refused_but_never_a_revocation(kind: Kind) {
    assert!(Path::new("/dev/full").exists(), "this machine has no disk that is always full");
    let settings = [("audit.path", "/dev/full"), ("audit.on_failure", "refuse"), ("audit.enabled", "true")];
    let node = Node::start_with(kind, &settings).await;
    let client = node.application().await;
    eventually("a failure", async || node.counter("introspect_audit_failing").await == 1).await;
    let create = node.api.admin(OPERATOR, "POST", "/admin/clients", Some(json!({}))).await;
    assert_eq!(create.refusal(), (503, "temporarily_unavailable".into()));
    assert_eq!(create.header("retry-after"), Some("1"));
    let issue = json!({"client_id": client.id});
    assert_eq!(node.api.admin(OPERATOR, "POST", "/admin/tokens", Some(issue)).await.status, 503);
    assert_eq!(node.api.admin(OPERATOR, "GET", "/admin/clients", None).await.status, 200, "reading goes on");
    let path = format!("/admin/clients/{}", client.id);
    assert_eq!(node.operate("POST", &format!("{path}/revoke"), None).await, json!({"changed": true}));
    assert_eq!(node.operate("POST", "/admin/revocations", Some(json!({"all": true}))).await, json!({"changed": true}));
    assert!(node.counter("introspect_audit_queue").await >= 3);
}

/// What a service does whose log cannot be written and which goes on, and one that has none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_log_and_beside_a_full_disk_everything_goes_on() {
    for settings in [vec![], vec![("audit.path", "/dev/full"), ("audit.enabled", "true"), ("audit.queue", "16")]] {
        let node = Node::start_with(Kind::Embedded, &settings).await;
        for _ in 0..20 {
            node.client(json!({})).await;
        }
        let lost = node.counter("introspect_audit_events_total{result=\"lost\"}").await;
        assert_eq!(lost, if settings.is_empty() { 0 } else { 4 });
        let drained = tokio::time::timeout(Duration::from_secs(20), node.end()).await;
        assert!(drained.is_ok(), "nor does it hold up the end");
    }
}
