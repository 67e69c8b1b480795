//! A node of the service in this process: real sockets on free ports, over either store, with a clock that tests can
//! move where the store allows it.

use std::any::Any;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use introspectd::app::App;
use introspectd::config::{Config, Sources};
use introspectd::service::Service;
use introspectd::shutdown::{Drain, Outcome};
use introspectd::token::time::{Clock, UnixSeconds};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::api::Api;
use super::redis::{CONNECT_TIMEOUT, RESPONSE_TIMEOUT, RedisServer};

/// Which store a node keeps everything in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Embedded,
    Redis,
}

/// The operator that every node knows by its configuration.
pub(crate) const OPERATOR: (&str, &str) = ("operator", "operator-secret-of-the-tests");

/// The audience that [`Node::resource_server`] serves and [`Node::issue`] issues for.
pub(crate) const AUDIENCE: &str = "https://api.example.com";

/// A running node. Ended, with its store, when it is dropped.
pub(crate) struct Node {
    pub(crate) api: Api,
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) drain: Drain,
    /// What the node is made of, for what cannot be brought about from outside.
    pub(crate) service: Arc<Service>,
    pub(crate) redis: Option<RedisServer>,
    clock: Clock,
    running: JoinHandle<Outcome>,
    folder: Option<Box<dyn Any + Send>>,
}

/// A client of a node, with its secret in the clear.
#[derive(Clone, Debug)]
pub(crate) struct Registered {
    pub(crate) id: String,
    pub(crate) secret: String,
}

impl Registered {
    /// Identifier and secret, as most calls want them.
    pub(crate) fn pair(&self) -> (&str, &str) {
        (&self.id, &self.secret)
    }
}

impl Node {
    /// A node with the settings of the tests.
    pub(crate) async fn start(kind: Kind) -> Self {
        Self::start_with(kind, &[]).await
    }

    /// A node with further settings: keys as `authentication.failures_per_client`, and their values as text.
    pub(crate) async fn start_with(kind: Kind, settings: &[(&str, &str)]) -> Self {
        let clock = match kind {
            Kind::Redis => Clock::System,
            Kind::Embedded => Clock::manual(UnixSeconds(1_800_000_000)),
        };
        Self::start_at(kind, clock, settings).await
    }

    /// A node whose clock stands still until [`Node::pass`] moves it, over either store. Redis' own clock goes on, so
    /// what Redis itself ends, ends by the real time.
    pub(crate) async fn start_still(kind: Kind, settings: &[(&str, &str)]) -> Self {
        Self::start_at(kind, Clock::manual(Clock::System.now().seconds()), settings).await
    }

    async fn start_at(kind: Kind, clock: Clock, settings: &[(&str, &str)]) -> Self {
        let (redis, folder) = match kind {
            Kind::Redis => (Some(RedisServer::start().await), None),
            Kind::Embedded => (None, Some(tempfile::tempdir().unwrap())),
        };
        let store = match (&redis, &folder) {
            (Some(redis), _) => ("redis.url", redis.url()),
            (_, Some(folder)) => ("store.path", folder.path().display().to_string()),
            _ => unreachable!("one of the two was made"),
        };
        let mut node = Self::over(store, clock, settings).await;
        node.redis = redis;
        node.folder = folder.map(|folder| Box::new(folder) as Box<dyn Any + Send>);
        node
    }

    /// A node over a store that somebody else keeps: `redis.url` or `store.path`, and its value. It waits for a Redis
    /// that is slow; tests of a Redis that hangs set `redis.response_timeout` themselves.
    pub(crate) async fn over(store: (&str, String), clock: Clock, settings: &[(&str, &str)]) -> Self {
        let patience = [("redis.connect_timeout", CONNECT_TIMEOUT), ("redis.response_timeout", RESPONSE_TIMEOUT)];
        let patience = patience.map(|(key, limit)| (key, format!("{}s", limit.as_secs())));
        let patience = patience.into_iter().filter(|_| store.0 == "redis.url");
        let mut overrides: BTreeMap<String, String> = [
            ("public.address", "127.0.0.1:0".to_owned()),
            ("admin.address", "127.0.0.1:0".to_owned()),
            ("drain.min", "0s".to_owned()),
            ("drain.max", "5s".to_owned()),
            ("issuer", "https://as.example.com".to_owned()),
            // Each revocation waits that long, and there are thousands.
            ("revocation.lease", "50ms".to_owned()),
            ("keys.digest", json!([{"id": "t1", "secret": "the digest key of the tests, 32 bytes"}]).to_string()),
            (
                "clients",
                json!([{
                    "client_id": OPERATOR.0, "client_secret": OPERATOR.1,
                    "rights": ["introspect", "revoke", "issue", "admin"]
                }])
                .to_string(),
            ),
            (store.0, store.1),
        ]
        .into_iter()
        .chain(patience)
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
        overrides.extend(settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let sources =
            Sources { files: vec![], environment: BTreeMap::new(), overrides: overrides.into_iter().collect() };
        let config = Config::load(&sources).unwrap_or_else(|errors| panic!("{errors}"));
        let app = App::build(config, clock.clone()).await.unwrap();
        let (public, admin) = (app.bound()[0].address, app.bound()[1].address);
        let (drain, service) = (app.drain().clone(), Arc::clone(app.service()));
        let running = tokio::spawn(app.run());
        Self { api: Api::new(public, admin), public, admin, drain, service, redis: None, clock, running, folder: None }
    }

    /// The node's time, in seconds since 1970.
    pub(crate) fn now(&self) -> u64 {
        self.clock.now().seconds().0
    }

    /// Lets time pass: at once where the clock can be moved, else by waiting.
    pub(crate) async fn pass(&self, duration: Duration) {
        match self.clock {
            Clock::Manual(_) => self.clock.advance(duration),
            Clock::System => tokio::time::sleep(duration).await,
        }
    }

    /// Creates a client with this metadata.
    pub(crate) async fn client(&self, metadata: Value) -> Registered {
        let answer = self.api.admin(OPERATOR, "POST", "/admin/clients", Some(metadata)).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        let text = |name: &str| answer.json()[name].as_str().unwrap_or_default().to_owned();
        Registered { id: text("client_id"), secret: text("client_secret") }
    }

    /// A resource server that serves [`AUDIENCE`] and sees every scope.
    pub(crate) async fn resource_server(&self) -> Registered {
        self.client(json!({"rights": ["introspect"], "audiences": [AUDIENCE]})).await
    }

    /// An application that tokens can be issued to, and that may introspect its own.
    pub(crate) async fn application(&self) -> Registered {
        self.client(json!({
            "rights": ["introspect"], "audiences": [AUDIENCE], "scope": "read write",
            "grant_types": ["client_credentials"]
        }))
        .await
    }

    /// Issues a token to `owner` for [`AUDIENCE`] with the scope `read write`, and with further members.
    pub(crate) async fn issue(&self, owner: &Registered, members: Value) -> Value {
        let mut body = json!({"client_id": owner.id, "scope": "read write", "aud": AUDIENCE});
        for (name, value) in members.as_object().unwrap() {
            body[name] = value.clone();
        }
        let answer = self.api.admin(OPERATOR, "POST", "/admin/tokens", Some(body)).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.json()
    }

    /// Issues an access token and a refresh token of one grant, and gives their texts.
    pub(crate) async fn tokens(&self, owner: &Registered) -> (String, String) {
        let issued = self.issue(owner, json!({"refresh": true})).await;
        let text = |name: &str| issued[name].as_str().unwrap().to_owned();
        (text("access_token"), text("refresh_token"))
    }

    /// Issues an access token of this scope, which the owner can present as its credentials.
    pub(crate) async fn bearer(&self, owner: &Registered, scope: &str) -> String {
        self.issue(owner, json!({"scope": scope})).await["access_token"].as_str().unwrap().to_owned()
    }

    /// Lets an operator do something that succeeds.
    pub(crate) async fn operate(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let answer = self.api.admin(OPERATOR, method, path, body).await;
        assert!((200..300).contains(&answer.status), "{method} {path}: {} {}", answer.status, answer.body);
        if answer.body.is_empty() { Value::Null } else { answer.json() }
    }

    /// Issues an access token and gives its text.
    pub(crate) async fn token(&self, owner: &Registered) -> String {
        self.issue(owner, json!({})).await["access_token"].as_str().unwrap().to_owned()
    }

    /// Ends the node as a signal would, and waits for it; a drain that has begun goes on.
    pub(crate) async fn end(mut self) -> Outcome {
        // Begun twice, it ends at once.
        if self.drain.is_serving() {
            self.drain.begin();
        }
        (&mut self.running).await.unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.running.abort();
    }
}
