//! What an introspection costs from a parsed head and a whole body to its answer: all that is ours, and no socket.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use introspectd::app::App;
use introspectd::config::{Config, Sources};
use introspectd::http::PublicFace;
use introspectd::server::{ConnectionMemory, Handler as _, Peer, RequestBody};
use introspectd::token::time::Clock;
use tempfile::TempDir;
use tokio::runtime::{self, Runtime};

/// `gateway:the secret of the gateway`
const BASIC: &str = "Basic Z2F0ZXdheTp0aGUgc2VjcmV0IG9mIHRoZSBnYXRld2F5";
const CLIENTS: &str = r#"[
    {"client_id": "gateway", "client_secret": "the secret of the gateway", "rights": ["introspect", "issue"],
     "audiences": ["https://api.example.com"], "scope": "read write", "grant_types": ["client_credentials"]}
]"#;
const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";
/// As many as a batch may have.
const TOKENS: usize = 1_000;

/// A node without a socket, and the one connection that everything comes by.
struct Site {
    face: PublicFace,
    peer: Peer,
    _app: App,
    _folder: TempDir,
}

impl Site {
    async fn open() -> Self {
        let folder = TempDir::new().expect("there is room for a folder");
        let path = folder.path().to_str().expect("a folder of our own has a plain name");
        let overrides = [
            ("public.address", "127.0.0.1:0"),
            ("admin.address", "127.0.0.1:0"),
            ("store.path", path),
            ("clients", CLIENTS),
            ("authentication.unknown_tokens_per_second", "0"),
        ];
        let overrides = overrides.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let sources = Sources { files: vec![], environment: BTreeMap::new(), overrides };
        let config = Config::load(&sources).expect("these settings are good ones");
        let app = App::build(config, Clock::System).await.expect("the folder is new");
        let peer = Peer {
            address: Some(([127, 0, 0, 1], 4711).into()),
            encrypted: false,
            listener: "public",
            certificate: None,
            memory: ConnectionMemory::default(),
        };
        Self { face: app.public().clone(), peer, _app: app, _folder: folder }
    }

    async fn post(&self, path: &str, kind: &str, body: Bytes) -> Bytes {
        let request = Request::post(path).header(AUTHORIZATION, BASIC).header(CONTENT_TYPE, kind);
        let request = request.body(RequestBody::from(body)).expect("constants make a request");
        let answer = self.face.handle(request, &self.peer).await;
        assert_eq!(answer.status(), StatusCode::OK);
        answer.into_body().collect().await.expect("it is all there").to_bytes()
    }

    async fn token(&self) -> String {
        let form = "grant_type=client_credentials&scope=read&resource=https://api.example.com";
        let answer = self.post("/token", FORM, form.into()).await;
        let answer: serde_json::Value = serde_json::from_slice(&answer).expect("answers are JSON");
        answer["access_token"].as_str().expect("a token was issued").to_owned()
    }
}

fn introspect(criterion: &mut Criterion) {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    let site = runtime.block_on(Site::open());
    let mut group = criterion.benchmark_group("handler");
    let (hot, revoked) = runtime.block_on(async { (site.token().await, site.token().await) });
    runtime.block_on(site.post("/revoke", FORM, format!("token={revoked}").into()));
    group.throughput(Throughput::Elements(1));
    for (name, token, active) in
        [("hot", &*hot, true), ("revoked", &revoked, false), ("garbage", "itd_at_and_nothing", false)]
    {
        let (body, expected) = (Bytes::from(format!("token={token}")), format!("{{\"active\":{active}"));
        each(&mut group, &runtime, name, async || {
            let answer = site.post("/introspect", FORM, black_box(body.clone())).await;
            assert!(answer.starts_with(expected.as_bytes()));
        });
    }
    let tokens = runtime.block_on(async {
        let mut tokens = Vec::new();
        for _ in 0..TOKENS {
            tokens.push(site.token().await);
        }
        for token in &tokens {
            site.post("/introspect", FORM, format!("token={token}").into()).await;
        }
        tokens
    });
    let body = Bytes::from(serde_json::json!({ "tokens": tokens }).to_string());
    group.throughput(Throughput::Elements(TOKENS as u64));
    each(&mut group, &runtime, "batch", async || {
        let answer = site.post("/introspect/batch", JSON, black_box(body.clone())).await;
        assert!(answer.starts_with(b"{\"results\":[{\"active\":true") && answer.len() > TOKENS * 100);
    });
    group.finish();
}

/// Times one loop inside the runtime, as entering it costs about as much as an answer.
fn each(group: &mut BenchmarkGroup<'_, WallTime>, runtime: &Runtime, name: &str, mut once: impl AsyncFnMut()) {
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|iterations| {
            runtime.block_on(async {
                let begun = Instant::now();
                for _ in 0..iterations {
                    once().await;
                }
                begun.elapsed()
            })
        });
    });
}

criterion_group!(benches, introspect);
criterion_main!(benches);
