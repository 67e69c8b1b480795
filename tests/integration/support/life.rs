//! What tests of the whole life of a token need of a node: clients that refresh, pairs of tokens, and what they are
//! worth.

use introspectd::token::digest::TokenDigest;
use introspectd::token::grant::TokenFormat;
use introspectd::token::time::Stamp;
use serde_json::{Value, json};

use super::api::Answer;
use super::node::{AUDIENCE, Node, OPERATOR, Registered};

/// An access token and the refresh token that was answered with it.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) access: String,
    pub(crate) refresh: String,
}

impl Pair {
    /// Reads the answer that handed them out.
    pub(crate) fn of(answer: &Value) -> Self {
        let text = |name: &str| answer[name].as_str().unwrap_or_else(|| panic!("no {name}: {answer}")).to_owned();
        Self { access: text("access_token"), refresh: text("refresh_token") }
    }
}

/// What every refresh token is refused with that does not work, whatever the reason.
pub(crate) fn expect_invalid_grant(answer: &Answer) {
    let body = r#"{"error":"invalid_grant","error_description":"The refresh token is not valid"}"#;
    assert_eq!((answer.status, &*answer.body), (400, body), "{answer:?}");
}

/// Members of an application that may refresh, and introspect its own tokens.
pub(crate) fn refreshing() -> Value {
    json!({
        "rights": ["introspect"], "audiences": [AUDIENCE], "scope": "read write",
        "grant_types": ["client_credentials", "refresh_token"]
    })
}

impl Node {
    /// An application that may refresh, and introspect its own tokens.
    pub(crate) async fn refresher(&self) -> Registered {
        self.client(refreshing()).await
    }

    /// The same with access tokens of this form.
    pub(crate) async fn refresher_of(&self, form: TokenFormat) -> Registered {
        let mut metadata = refreshing();
        metadata["access_token_format"] = json!(form);
        self.client(metadata).await
    }

    /// Issues both tokens of a new grant, with further members.
    pub(crate) async fn grant(&self, owner: &Registered, members: Value) -> Pair {
        let mut all = json!({"refresh": true});
        for (name, value) in members.as_object().unwrap() {
            all[name] = value.clone();
        }
        Pair::of(&self.issue(owner, all).await)
    }

    /// Sends a refresh token, with further parameters.
    pub(crate) async fn refresh_with(&self, client: &Registered, token: &str, parameters: &[(&str, &str)]) -> Answer {
        let form: Vec<_> =
            [("grant_type", "refresh_token"), ("refresh_token", token)].iter().chain(parameters).copied().collect();
        self.api.post("/token", client.pair(), &form).await
    }

    /// Sends a refresh token.
    pub(crate) async fn refresh(&self, client: &Registered, token: &str) -> Answer {
        self.refresh_with(client, token, &[]).await
    }

    /// Exchanges a refresh token that works.
    pub(crate) async fn rotate(&self, client: &Registered, token: &str) -> Pair {
        let answer = self.refresh(client, token).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        Pair::of(&answer.json())
    }

    /// Which of these tokens are active, as their owner sees them.
    pub(crate) async fn alive<const COUNT: usize>(&self, owner: &Registered, tokens: [&str; COUNT]) -> [bool; COUNT] {
        let mut alive = [false; COUNT];
        for (alive, token) in alive.iter_mut().zip(tokens) {
            *alive = self.api.is_active(owner.pair(), token).await;
        }
        alive
    }

    /// Calls an admin route as the operator.
    pub(crate) async fn ask_operator(&self, path: &str, body: Value) -> Answer {
        self.api.admin(OPERATOR, "POST", path, Some(body)).await
    }

    /// Revokes or approves a token as the operator; what became of it.
    pub(crate) async fn decide(&self, action: &str, body: Value) -> bool {
        let answer = self.ask_operator(&format!("/admin/tokens/{action}"), body).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()["changed"].as_bool().unwrap_or_else(|| panic!("{}", answer.body))
    }

    /// When the store took an access token in, by its own clock.
    pub(crate) async fn stamp_of(&self, jti: &Value) -> Stamp {
        let digest = TokenDigest::from_text(jti.as_str().unwrap()).unwrap();
        let (_, record) = self.service.store.token(&[digest]).await.unwrap().unwrap();
        record.stamp
    }

    /// How often the store was called for requests.
    pub(crate) async fn store_calls(&self) -> u64 {
        let page = self.api.send(self.api.request("GET", &self.api.admin_url("/metrics"))).await.body;
        let counts = page.lines().filter(|line| line.starts_with("introspect_store_duration_seconds_count"));
        // These two go on by themselves.
        let counts = counts.filter(|line| !line.contains("\"probe\"") && !line.contains("\"read_keys\""));
        counts.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }

    /// A counter of the metrics page, by its name and labels as they stand there; 0 when it is not there.
    pub(crate) async fn counter(&self, name: &str) -> u64 {
        let page = self.api.send(self.api.request("GET", &self.api.admin_url("/metrics"))).await.body;
        let line = page.lines().find_map(|line| line.strip_prefix(name));
        line.map_or(0, |value| value.trim().parse().unwrap_or_else(|_| panic!("{name}: {value:?}")))
    }
}
