//! Whoever asks the nodes, and takes down what they say.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use checker::history::Event;
use checker::history::event::{Answer, Change, Introspect, Issue, Keys, Outcome, Owner, Target};
use introspectd::token::time::UnixSeconds;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::cluster::shards_of;
use crate::load::any_node;
use crate::support::eventually;
use crate::support::node::OPERATOR;
use crate::support::program::Program;
use crate::tokens::Token;
use crate::witness::Witness;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long somebody rests who was refused.
const PAUSE: Duration = Duration::from_millis(50);

/// Asks any of the nodes. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Caller {
    client: Client,
    nodes: Arc<RwLock<Vec<Program>>>,
    pub(crate) witness: Arc<Witness>,
    is_sharded: bool,
}

/// What came back.
enum Reply {
    /// Status and body.
    Status(u16, Value),
    /// Nothing, or not in time.
    Nothing,
}

/// A token to be issued.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) client: String,
    pub(crate) user: Option<String>,
    /// For how many seconds.
    pub(crate) lifetime: u64,
    pub(crate) has_grant: bool,
    /// Whether it can be read by itself. In a cluster there are none: where their keys are is not said anywhere.
    pub(crate) is_signed: bool,
}

impl Caller {
    pub(crate) fn new(nodes: Arc<RwLock<Vec<Program>>>, witness: Arc<Witness>, is_sharded: bool) -> Self {
        let client = Client::builder().timeout(PATIENCE).pool_max_idle_per_host(64).build().unwrap();
        Self { client, nodes, witness, is_sharded }
    }

    /// Issues a token; `None` when there is none, or none that we know.
    pub(crate) async fn issue(&self, node: u16, name: &str, wanted: &Wanted) -> Option<Token> {
        let expires_at = UnixSeconds(Witness::second() + wanted.lifetime);
        let mut body =
            json!({"client_id": wanted.client, "scope": "read", "exp": expires_at, "refresh": wanted.has_grant});
        if wanted.is_signed && !self.is_sharded {
            body["format"] = json!("jwt");
        }
        if let Some(user) = &wanted.user {
            body["sub"] = json!(user);
        }
        let begin = self.witness.now();
        let reply = self.admin(node, "/admin/tokens", &body).await;
        let end = self.witness.now();
        let mut event = Issue {
            begin,
            end,
            node,
            token: name.to_owned(),
            client: wanted.client.clone(),
            grant: None,
            user: wanted.user.clone(),
            expires: self.witness.moment_of(expires_at),
            outcome: Outcome::Done,
        };
        let answer = match reply {
            Reply::Status(201, answer) => answer,
            Reply::Status(503, _) | Reply::Nothing => {
                event.outcome = Outcome::Unavailable;
                self.witness.record(Event::Issue(event));
                return None;
            }
            // It took so long that the token would have expired by now.
            Reply::Status(400, _) if end >= event.expires => return None,
            // The client is revoked.
            Reply::Status(400, answer) if answer["error"] == "unauthorized_client" => return None,
            Reply::Status(status, answer) => {
                self.witness.strange(format!("issuing was answered with {status} {answer}"));
                return None;
            }
        };
        let text = |member: &str| answer[member].as_str().unwrap_or_default().to_owned();
        event.grant = wanted.has_grant.then(|| text("grant_id"));
        let token = Token {
            name: name.to_owned(),
            text: text("access_token"),
            jti: text("jti"),
            grant: event.grant.clone(),
            client: wanted.client.clone(),
            user: wanted.user.clone(),
        };
        self.witness.record(Event::Issue(event));
        if self.is_sharded {
            self.witness.record(Event::Keys(Keys { token: name.to_owned(), shards: shards_of(&token) }));
        }
        Some(token)
    }

    /// Issues a token as soon as a node can.
    pub(crate) async fn issue_at_last(&self, name: impl Fn() -> String, wanted: &Wanted) -> Token {
        loop {
            // Whether the refusal was right is for the judge to say.
            if let Some(token) = self.issue(any_node(), &name(), wanted).await {
                return token;
            }
            sleep(PAUSE).await;
        }
    }

    /// Revokes a token as soon as a node can.
    pub(crate) async fn revoke_at_last(&self, token: &Token) {
        while self.revoke(any_node(), token).await != Outcome::Done {
            sleep(PAUSE).await;
        }
    }

    /// Introspects a token.
    pub(crate) async fn introspect(&self, node: u16, token: &Token) -> Answer {
        let begin = self.witness.now();
        let reply = self.form(node, "/introspect", &[("token", &token.text)]).await;
        let end = self.witness.now();
        let answer = match reply {
            Reply::Status(200, body) if body["active"] == true => Answer::Active,
            Reply::Status(200, body) if body == json!({"active": false}) => Answer::Inactive,
            Reply::Status(503, _) => Answer::Unavailable,
            Reply::Nothing => Answer::None,
            Reply::Status(status, body) => {
                self.witness.strange(format!("introspection was answered with {status} {body}"));
                Answer::None
            }
        };
        self.witness.record(Event::Introspect(Introspect { begin, end, node, token: token.name.clone(), answer }));
        answer
    }

    /// Revokes a token, with its grant if it has one.
    pub(crate) async fn revoke(&self, node: u16, token: &Token) -> Outcome {
        let begin = self.witness.now();
        let reply = self.form(node, "/revoke", &[("token", &token.text)]).await;
        self.changed(node, begin, reply, vec![token.ends()], true)
    }

    /// The same by an operator, who may name the grant.
    pub(crate) async fn revoke_named(&self, node: u16, token: &Token) -> Outcome {
        let name = token.grant.as_ref().map_or(json!({"jti": token.jti}), |grant| json!({"grant_id": grant}));
        self.change(node, "/admin/tokens/revoke", &name, vec![token.ends()], true).await
    }

    /// Approves a token again, with its grant if it has one.
    pub(crate) async fn approve(&self, node: u16, token: &Token) -> Outcome {
        let body = json!({"token": token.text});
        self.change(node, "/admin/tokens/approve", &body, vec![token.ends()], false).await
    }

    /// Revokes or approves a client.
    pub(crate) async fn set_client(&self, node: u16, client: &str, revokes: bool) -> Outcome {
        let path = format!("/admin/clients/{client}/{}", if revokes { "revoke" } else { "approve" });
        self.change(node, &path, &json!({}), vec![Target::Client(client.to_owned())], revokes).await
    }

    /// Revokes all that was issued so far to a client, for a user, or both; all there is when neither is given.
    pub(crate) async fn revoke_issued(&self, node: u16, client: Option<&str>, user: Option<&str>) -> Outcome {
        let body = match (client, user) {
            (None, None) => json!({"all": true}),
            (Some(client), None) => json!({"client_id": client}),
            (None, Some(user)) => json!({"sub": user}),
            (Some(client), Some(user)) => json!({"client_id": client, "sub": user}),
        };
        let owner = Owner { client: client.map(Into::into), user: user.map(Into::into) };
        self.change(node, "/admin/revocations", &body, vec![Target::Issued(owner)], true).await
    }

    /// Creates an application with this identifier, as soon as the node can.
    pub(crate) async fn create_client(&self, node: u16, client: &str) {
        let body = json!({
            "client_id": client, "scope": "read",
            "grant_types": ["client_credentials", "refresh_token"]
        });
        eventually("a client is created", async || match self.admin(node, "/admin/clients", &body).await {
            Reply::Status(201, _) => true,
            Reply::Status(503, _) => false,
            Reply::Status(status, body) => panic!("no client {client}: {status} {body}"),
            Reply::Nothing => panic!("no client {client}: no answer"),
        })
        .await;
    }

    /// What a node has found in its near cache when it was asked about tokens: how often what.
    pub(crate) async fn cache(&self, node: u16) -> BTreeMap<String, u64> {
        let url = self.with_node(node, |program| program.api().admin_url("/metrics"));
        let text = async { self.client.get(url).send().await?.text().await }.await.unwrap();
        let found = text.lines().filter_map(|line| {
            let (result, count) = line
                .strip_prefix(r#"introspect_cache_requests_total{content="tokens",result=""#)?
                .split_once("\"} ")?;
            Some((result.to_owned(), count.parse().ok()?))
        });
        found.collect()
    }

    async fn change(&self, node: u16, path: &str, body: &Value, targets: Vec<Target>, revokes: bool) -> Outcome {
        let begin = self.witness.now();
        let reply = self.admin(node, path, body).await;
        self.changed(node, begin, reply, targets, revokes)
    }

    fn changed(&self, node: u16, begin: u64, reply: Reply, targets: Vec<Target>, revokes: bool) -> Outcome {
        let end = self.witness.now();
        let outcome = match reply {
            Reply::Status(200, _) => Outcome::Done,
            Reply::Status(503, _) => Outcome::Unavailable,
            Reply::Nothing => Outcome::Unanswered,
            // Expired, revoked for good, or changed by somebody else at the same time: nothing was done.
            Reply::Status(404 | 409, _) => return Outcome::Unavailable,
            Reply::Status(status, body) => {
                self.witness.strange(format!("a change of {targets:?} was answered with {status} {body}"));
                Outcome::Unanswered
            }
        };
        let change = Change { begin, end, node, targets, outcome };
        self.witness.record(if revokes { Event::Revoke(change) } else { Event::Approve(change) });
        outcome
    }

    async fn form(&self, node: u16, path: &str, form: &[(&str, &str)]) -> Reply {
        let url = self.with_node(node, |program| program.api().url(path));
        self.send(self.client.post(url).form(form)).await
    }

    async fn admin(&self, node: u16, path: &str, body: &Value) -> Reply {
        let url = self.with_node(node, |program| program.api().admin_url(path));
        self.send(self.client.post(url).json(body)).await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Reply {
        let request = request.basic_auth(OPERATOR.0, Some(OPERATOR.1));
        let Ok(response) = request.send().await else { return Reply::Nothing };
        let status = response.status().as_u16();
        match response.bytes().await {
            Ok(body) => Reply::Status(status, serde_json::from_slice(&body).unwrap_or_default()),
            Err(_) => Reply::Nothing,
        }
    }

    fn with_node<T>(&self, node: u16, read: impl FnOnce(&Program) -> T) -> T {
        read(&self.nodes.read().unwrap_or_else(PoisonError::into_inner)[usize::from(node)])
    }
}
