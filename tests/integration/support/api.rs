//! Calls of a node by a real HTTP client. Every answer is checked for what all answers must have.

use std::net::SocketAddr;

use reqwest::header::HeaderMap;
use reqwest::{Client, Method};
use serde_json::Value;

/// A client of both listeners of a node.
#[derive(Clone)]
pub(crate) struct Api {
    client: Client,
    public: SocketAddr,
    admin: SocketAddr,
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    /// A header's only line.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.headers.get_all(name).iter();
        let line = lines.next().map(|line| line.to_str().unwrap());
        assert!(lines.next().is_none(), "{name} is there more than once: {:?}", self.headers);
        line
    }

    /// All lines of a header.
    pub(crate) fn lines(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().map(|line| line.to_str().unwrap()).collect()
    }

    /// All that a peer can compare: status, headers in their order but for the date, body.
    pub(crate) fn whole(&self) -> (u16, Vec<(&str, &str)>, &str) {
        let lines = self.headers.iter().map(|(name, line)| (name.as_str(), line.to_str().unwrap()));
        (self.status, lines.filter(|(name, _)| *name != "date").collect(), &self.body)
    }

    /// The code of an error.
    pub(crate) fn error(&self) -> String {
        self.json()["error"].as_str().unwrap_or_default().to_owned()
    }

    /// All that a peer sees of it, but the date.
    pub(crate) fn seen(&self) -> (u16, Vec<(String, Vec<u8>)>, &str) {
        let lines = self.headers.iter().filter(|(name, _)| *name != "date");
        let lines = lines.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
        (self.status, lines.collect(), &self.body)
    }

    /// Status and code of an error at once.
    pub(crate) fn refusal(&self) -> (u16, String) {
        (self.status, self.error())
    }
}

/// The headers that an answer may have: nothing else leaks out.
const ALLOWED: [&str; 31] = [
    "accept-encoding",
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
    "access-control-expose-headers",
    "access-control-max-age",
    "allow",
    "cache-control",
    "connection",
    "content-length",
    "content-security-policy",
    "content-type",
    "date",
    "etag",
    "pragma",
    "referrer-policy",
    "retry-after",
    "set-cookie",
    "strict-transport-security",
    "transfer-encoding",
    "vary",
    "www-authenticate",
    "x-auth-audience",
    "x-auth-client-id",
    "x-auth-expires",
    "x-auth-scope",
    "x-auth-subject",
    "x-auth-token-id",
    "x-auth-username",
    "x-content-type-options",
];

impl Api {
    /// A client of the node at these addresses.
    pub(crate) fn new(public: SocketAddr, admin: SocketAddr) -> Self {
        Self { client: Client::new(), public, admin }
    }

    /// The URL of a path on the public listener.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.public)
    }

    /// The URL of a path on the admin listener.
    pub(crate) fn admin_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.admin)
    }

    /// A request to be changed before it is sent by [`Api::send`].
    pub(crate) fn request(&self, method: &str, url: &str) -> reqwest::RequestBuilder {
        self.client.request(Method::from_bytes(method.as_bytes()).unwrap(), url)
    }

    /// Sends a request and checks what every answer must have.
    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let answer = Answer { status, headers, body: response.text().await.unwrap() };
        check(&answer);
        answer
    }

    /// Posts a form as a client authenticated by Basic.
    pub(crate) async fn post(&self, path: &str, client: (&str, &str), form: &[(&str, &str)]) -> Answer {
        let request = self.request("POST", &self.url(path)).basic_auth(client.0, Some(client.1)).form(form);
        self.send(request).await
    }

    /// Posts a form with this `Authorization` header.
    pub(crate) async fn post_as(&self, path: &str, authorization: &str, form: &[(&str, &str)]) -> Answer {
        self.send(self.request("POST", &self.url(path)).header("authorization", authorization).form(form)).await
    }

    /// Posts a form without an `Authorization` header.
    pub(crate) async fn post_bare(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        self.send(self.request("POST", &self.url(path)).form(form)).await
    }

    /// Introspects a token.
    pub(crate) async fn introspect(&self, client: (&str, &str), token: &str) -> Answer {
        self.post("/introspect", client, &[("token", token)]).await
    }

    /// Whether a token is active for this caller.
    ///
    /// # Panics
    /// When the answer is neither.
    pub(crate) async fn is_active(&self, client: (&str, &str), token: &str) -> bool {
        let answer = self.introspect(client, token).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        match &answer.json()["active"] {
            Value::Bool(active) => {
                assert!(*active || answer.body == r#"{"active":false}"#, "{}", answer.body);
                *active
            }
            other => panic!("active is {other}"),
        }
    }

    /// Revokes a token.
    pub(crate) async fn revoke(&self, client: (&str, &str), token: &str) -> Answer {
        self.post("/revoke", client, &[("token", token)]).await
    }

    /// Calls the admin listener as a client authenticated by Basic.
    pub(crate) async fn admin(&self, client: (&str, &str), method: &str, path: &str, body: Option<Value>) -> Answer {
        let mut request = self.request(method, &self.admin_url(path)).basic_auth(client.0, Some(client.1));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        self.send(request).await
    }
}

fn check(answer: &Answer) {
    for name in answer.headers.keys() {
        assert!(ALLOWED.contains(&name.as_str()), "unexpected header {name}: {answer:?}");
    }
    let public = answer.header("cache-control").is_some_and(|value| value.starts_with("public"));
    if !public {
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
        assert_eq!(answer.header("pragma"), Some("no-cache"), "{answer:?}");
    }
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{answer:?}");
    if answer.status == 401 {
        assert!(answer.headers.contains_key("www-authenticate"), "RFC 9110 section 11.6.1: {answer:?}");
    }
    if answer.status >= 400 && !answer.body.is_empty() {
        assert_eq!(answer.header("content-type"), Some("application/json"), "{answer:?}");
        let error = answer.json();
        let members: Vec<&String> = error.as_object().unwrap().keys().collect();
        let usual = ["error", "error_description"];
        // What is wrong with which member, for programs: where people fill in what is sent.
        let with_member = ["error", "error_description", "field", "reason"];
        assert!(members == usual || members == with_member, "RFC 6749 section 5.2: {answer:?}");
        for member in error.as_object().unwrap().values() {
            let text = member.as_str().unwrap();
            assert!(text.bytes().all(|byte| matches!(byte, 0x20..=0x21 | 0x23..=0x5B | 0x5D..=0x7E)), "{text:?}");
        }
    }
}
