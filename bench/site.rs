//! A node without a socket, and the one connection that everything comes by: for the benches of the handler, and for
//! the test of what it takes from the allocator. The node with a socket has the same settings.

#![allow(dead_code, reason = "each bench is a program of its own, and uses a part of this")]

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use introspectd::app::App;
use introspectd::config::{Config, Sources};
use introspectd::http::PublicFace;
use introspectd::server::{ConnectionMemory, Handler as _, Peer, RequestBody};
use introspectd::token::time::Clock;
use tempfile::TempDir;

/// `gateway:the secret of the gateway`
pub(crate) const BASIC: &str = "Basic Z2F0ZXdheTp0aGUgc2VjcmV0IG9mIHRoZSBnYXRld2F5";
const CLIENTS: &str = r#"[
    {"client_id": "gateway", "client_secret": "the secret of the gateway", "rights": ["introspect", "issue"],
     "audiences": ["https://api.example.com"], "scope": "read write", "grant_types": ["client_credentials"]}
]"#;

pub(crate) const FORM: &str = "application/x-www-form-urlencoded";
pub(crate) const JSON: &str = "application/json";

/// The form that asks for a token.
pub(crate) const GRANT: &str = "grant_type=client_credentials&scope=read&resource=https://api.example.com";

/// The settings of a node over an embedded store in this folder.
pub(crate) fn config(folder: &Path) -> Config {
    let path = folder.to_str().expect("a folder of our own has a plain name");
    let overrides = [
        ("public.address", "127.0.0.1:0"),
        ("admin.address", "127.0.0.1:0"),
        ("store.path", path),
        ("clients", CLIENTS),
        ("authentication.unknown_tokens_per_second", "0"),
        ("drain.min", "0s"),
    ];
    let overrides = overrides.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let sources = Sources { files: vec![], environment: BTreeMap::new(), overrides };
    Config::load(&sources).expect("these settings are good ones")
}

/// A node over the embedded store.
pub(crate) struct Site {
    pub(crate) face: PublicFace,
    pub(crate) peer: Peer,
    _app: App,
    _folder: TempDir,
}

impl Site {
    pub(crate) async fn open() -> Self {
        let folder = TempDir::new().expect("there is room for a folder");
        let app = App::build(config(folder.path()), Clock::System).await.expect("the folder is new");
        let peer = Peer {
            address: Some(([127, 0, 0, 1], 4711).into()),
            encrypted: false,
            listener: "public",
            certificate: None,
            memory: ConnectionMemory::default(),
        };
        Self { face: app.public().clone(), peer, _app: app, _folder: folder }
    }

    /// Sends a request that must succeed; the body of the answer.
    pub(crate) async fn post(&self, path: &str, kind: &str, body: impl Into<Bytes>) -> Bytes {
        let answer = self.face.handle(&mut request(path, kind, body), &self.peer).await;
        assert_eq!(answer.status(), StatusCode::OK);
        answer.into_body().collect().await.expect("it is all there").to_bytes()
    }

    /// A new access token.
    pub(crate) async fn token(&self) -> String {
        let answer = self.post("/token", FORM, GRANT).await;
        let answer: serde_json::Value = serde_json::from_slice(&answer).expect("answers are JSON");
        answer["access_token"].as_str().expect("a token was issued").to_owned()
    }
}

/// A request of the gateway.
pub(crate) fn request(path: &str, kind: &str, body: impl Into<Bytes>) -> Request<RequestBody> {
    let request = Request::post(path).header(AUTHORIZATION, BASIC).header(CONTENT_TYPE, kind);
    request.body(RequestBody::from(body.into())).expect("constants make a request")
}
