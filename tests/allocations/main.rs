//! What a hot introspection takes from the allocator, so that nothing is added to it unnoticed.
//!
//! Counted is the handler alone, from a parsed head and a whole body to the answer: what hyper takes before and after is
//! the same for everybody. The requests are put together outside of what is counted.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;

use allocation_counter::measure;
use futures_util::FutureExt as _;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use introspectd::app::App;
use introspectd::config::{Config, Sources};
use introspectd::http::PublicFace;
use introspectd::server::{ConnectionMemory, Handler as _, Peer, RequestBody};
use introspectd::token::time::Clock;

/// `gateway:the secret of the gateway`
const BASIC: &str = "Basic Z2F0ZXdheTp0aGUgc2VjcmV0IG9mIHRoZSBnYXRld2F5";
const CLIENTS: &str = r#"[
    {"client_id": "gateway", "client_secret": "the secret of the gateway",
     "rights": ["introspect", "issue"], "audiences": ["https://api.example.com"], "scope": "read write",
     "grant_types": ["client_credentials"]}
]"#;

struct Site {
    face: PublicFace,
    peer: Peer,
    _app: App,
    _folder: tempfile::TempDir,
}

impl Site {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let overrides = [
            ("public.address", "127.0.0.1:0"),
            ("admin.address", "127.0.0.1:0"),
            ("store.path", folder.path().to_str().unwrap()),
            ("clients", CLIENTS),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
        let sources = Sources { files: vec![], environment: BTreeMap::new(), overrides: overrides.into() };
        let app = App::build(Config::load(&sources).unwrap(), Clock::System).await.unwrap();
        let peer = Peer {
            address: Some("127.0.0.1:4711".parse().unwrap()),
            encrypted: false,
            listener: "public",
            certificate: None,
            memory: ConnectionMemory::default(),
        };
        Self { face: app.public().clone(), peer, _app: app, _folder: folder }
    }

    async fn post(&self, path: &str, kind: &str, body: String) -> (StatusCode, String) {
        let answer = self.face.handle(request(path, kind, body), &self.peer).await;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (head.status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn token(&self) -> String {
        let form = "grant_type=client_credentials&scope=read&resource=https://api.example.com".to_owned();
        let (status, body) = self.post("/token", FORM, form).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        let start = body.find("itd_at_").unwrap();
        body[start..].split('"').next().unwrap().to_owned()
    }

    /// How often the allocator is asked for an answer that contains `expected`.
    fn allocations(&self, path: &str, kind: &str, body: &str, expected: &str) -> u64 {
        let mut request = Some(request(path, kind, body.to_owned()));
        let mut answer = None;
        let taken = measure(|| {
            let asked = request.take().expect("measured once");
            answer = self.face.handle(asked, &self.peer).now_or_never();
        });
        let answer = answer.expect("what is remembered is answered without waiting");
        let body = answer.into_body().collect().now_or_never().unwrap().unwrap().to_bytes();
        assert!(std::str::from_utf8(&body).unwrap().contains(expected), "{body:?}");
        taken.count_total
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

fn request(path: &str, kind: &str, body: String) -> Request<RequestBody> {
    let request = Request::post(path).header(AUTHORIZATION, BASIC).header(CONTENT_TYPE, kind);
    request.body(RequestBody::from(bytes::Bytes::from(body))).unwrap()
}

/// The headers of the answer: a list, and the places of its names.
const OF_THE_ANSWER: u64 = 2;

#[tokio::test]
async fn a_hot_introspection_takes_no_more_than_the_headers_of_its_answer() {
    let site = Site::open().await;
    let form = format!("token={}", site.token().await);
    for _ in 0..3 {
        let (_, body) = site.post("/introspect", FORM, form.clone()).await;
        assert!(body.contains("\"active\":true"), "{body}");
    }
    let counts: Vec<_> = (0..5).map(|_| site.allocations("/introspect", FORM, &form, "\"active\":true")).collect();
    assert!(counts.iter().all(|count| *count <= OF_THE_ANSWER), "{counts:?}");
    // The first of them begins this caller's budget.
    site.post("/introspect", FORM, "token=itd_at_garbage".to_owned()).await;
    let inactive = site.allocations("/introspect", FORM, "token=itd_at_garbage", "false");
    assert!(inactive <= OF_THE_ANSWER, "{inactive}");
}

#[tokio::test]
async fn a_batch_takes_no_more_for_many_tokens_than_for_few() {
    const JSON: &str = "application/json";
    let site = Site::open().await;
    let token = site.token().await;
    let of = |count: usize| format!("{{\"tokens\":[{}]}}", vec![format!("\"{token}\""); count].join(","));
    for _ in 0..3 {
        site.post("/introspect", FORM, format!("token={token}")).await;
        site.post("/introspect/batch", JSON, of(3)).await;
    }
    let few = site.allocations("/introspect/batch", JSON, &of(10), "true");
    let many = site.allocations("/introspect/batch", JSON, &of(1000), "true");
    // Lists grow in steps.
    assert!(few < 30 && many < few + 20, "{few} for ten, {many} for a thousand");
}
