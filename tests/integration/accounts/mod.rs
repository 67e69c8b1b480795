//! First-party accounts over a real server: each test is named after what asks for it (ASVS 5.0, NIST SP 800-63B-4, RFC
//! 9700, RFC 10017).
//!
//! - [`passwords`] which are taken, how they are kept, and changing them
//! - [`guessing`] that nothing tells whether an account exists, and who must wait
//! - [`flood`] what too many logins do to everybody else
//! - [`cookies`] how a browser keeps a refresh token, and which pages are kept out
//! - [`sessions`] logging in and out, listing, ends of all kinds
//! - [`names`] registration, and that a name is one user's
//! - [`operators`] `/admin/users`
//! - [`races`] what logins, refreshes and password changes do to each other
//! - [`malformed`] requests that make no sense

mod cookies;
mod flood;
mod guessing;
mod malformed;
mod names;
mod operators;
mod passwords;
mod races;
mod sessions;

use serde_json::{Value, json};

use crate::support::api::Answer;
use crate::support::node::{AUDIENCE, Kind, Node, Registered};

/// A password that nobody guesses.
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// The origin of the pages of the client that is called `web`.
pub(crate) const ORIGIN: &str = "https://app.example.com";

/// The name of its cookie.
pub(crate) const COOKIE: &str = "__Host-refresh_token";

/// A node with accounts, and a resource server that its users' tokens are for.
pub(crate) struct Site {
    pub(crate) node: Node,
    pub(crate) server: Registered,
}

/// What a login gives to a program that gets its refresh token in the body.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
}

impl Tokens {
    pub(crate) fn of(answer: &Answer) -> Self {
        let body = answer.json();
        let text = |name: &str| body[name].as_str().unwrap_or_else(|| panic!("{name}: {body}")).to_owned();
        Self { access: text("access_token"), refresh: text("refresh_token") }
    }
}

impl Site {
    pub(crate) async fn start(kind: Kind) -> Self {
        Self::start_with(kind, &[]).await
    }

    pub(crate) async fn start_with(kind: Kind, settings: &[(&str, &str)]) -> Self {
        Self::of(Node::start_still(kind, &Self::settings(settings)).await).await
    }

    pub(crate) async fn of(node: Node) -> Self {
        let server = node.resource_server().await;
        Self { node, server }
    }

    /// The settings of all these tests, and these.
    pub(crate) fn settings<'a>(further: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        const CLIENTS: &str = r#"[
            {"client_id": "phone", "scope": "read write", "audiences": ["https://api.example.com"]},
            {"client_id": "signed", "audiences": ["https://api.example.com"], "access_token_format": "jwt"},
            {"client_id": "web", "audiences": ["https://api.example.com"], "delivery": "cookie",
             "origins": ["https://app.example.com"]}
        ]"#;
        let mut settings = vec![
            ("accounts.enabled", "true"),
            ("accounts.clients", CLIENTS),
            ("accounts.registrations_per_hour", "0"),
            // As cheap as may be.
            ("accounts.hash_memory_kib", "7168"),
            ("accounts.hash_passes", "5"),
        ];
        settings.extend(further);
        settings
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[], Some(body)).await
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Answer {
        let mut request = self.node.api.request(method, &self.node.api.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        self.node.api.send(request).await
    }

    /// Sends a request with a Bearer token.
    pub(crate) async fn bear(&self, method: &str, path: &str, token: &str, body: Option<&Value>) -> Answer {
        self.send(method, path, &[("authorization", &format!("Bearer {token}"))], body).await
    }

    pub(crate) async fn register_as(&self, username: &str, client: &str) -> Answer {
        let email = format!("{username}@example.org");
        let body = json!({"username": username, "email": email, "password": PASSWORD, "client_id": client});
        self.post("/register/", &body).await
    }

    /// Registers a user, and gives the tokens of its first session.
    pub(crate) async fn user(&self, username: &str) -> Tokens {
        let answer = self.register_as(username, "phone").await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        Tokens::of(&answer)
    }

    pub(crate) async fn log_in_with(&self, username: &str, password: &str) -> Answer {
        self.post("/login/", &json!({"username": username, "password": password})).await
    }

    pub(crate) async fn log_in(&self, username: &str) -> Tokens {
        let answer = self.log_in_with(username, PASSWORD).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        Tokens::of(&answer)
    }

    /// Exchanges a refresh token of a program.
    pub(crate) async fn refresh(&self, token: &str) -> Answer {
        self.bear("POST", "/refresh/", token, None).await
    }

    pub(crate) async fn log_out(&self, token: &str) -> Answer {
        self.bear("POST", "/logout/", token, None).await
    }

    pub(crate) async fn change_password(&self, access: &str, old: &str, new: &str) -> Answer {
        let body = json!({"old_password": old, "new_password": new});
        self.bear("POST", "/password/change/", access, Some(&body)).await
    }

    pub(crate) async fn sessions(&self, access: &str) -> Vec<Value> {
        let answer = self.bear("GET", "/sessions/", access, None).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()["sessions"].as_array().unwrap().clone()
    }

    pub(crate) async fn is_active(&self, token: &str) -> bool {
        self.node.api.is_active(self.server.pair(), token).await
    }

    /// What introspection says of a token to the resource server.
    pub(crate) async fn introspect(&self, token: &str) -> Value {
        self.node.api.introspect(self.server.pair(), token).await.json()
    }

    /// Whether a refresh token works, which uses it up if it does.
    pub(crate) async fn works(&self, refresh: &str) -> bool {
        match self.refresh(refresh).await.status {
            200 => true,
            401 => false,
            other => panic!("{other}"),
        }
    }
}

/// The attributes of a cookie that an answer sets, and its value; `None` when it sets none.
pub(crate) fn set_cookie(answer: &Answer) -> Option<(String, String)> {
    let line = answer.header("set-cookie")?;
    let (pair, attributes) = line.split_once("; ").unwrap();
    let value = pair.strip_prefix(COOKIE).and_then(|rest| rest.strip_prefix('=')).unwrap();
    Some((value.to_owned(), attributes.to_owned()))
}

/// What tokens of users are for.
pub(crate) const API: &str = AUDIENCE;
