//! As much of introspectd's admin API as the load tester uses, over tokens in memory.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// A running authority; it ends when dropped.
pub(crate) struct Authority {
    pub(crate) address: SocketAddr,
    pub(crate) state: Arc<Mutex<State>>,
    _runtime: Runtime,
}

/// What it knows.
#[derive(Default)]
pub(crate) struct State {
    /// Clients that were made and not removed.
    pub(crate) clients: Vec<String>,
    /// The body of the request that each token was issued with, and whether it is active.
    pub(crate) tokens: HashMap<String, (Value, bool)>,
    /// It answers revocations, and does nothing.
    pub(crate) forgets_revocations: bool,
    /// It issues no tokens.
    pub(crate) issues_nothing: bool,
}

impl Authority {
    pub(crate) fn start(forgets_revocations: bool) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State { forgets_revocations, ..State::default() }));
        runtime.spawn(serve(listener, Arc::clone(&state)));
        Self { address, state, _runtime: runtime }
    }
}

async fn serve(listener: TcpListener, state: Arc<Mutex<State>>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let state = Arc::clone(&state);
        let service = service_fn(move |request| {
            let state = Arc::clone(&state);
            async move { Ok::<_, Infallible>(answer(request, &state).await) }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(request: Request<Incoming>, state: &Mutex<State>) -> Response<Full<Bytes>> {
    let (path, method) = (request.uri().path().to_owned(), request.method().to_string());
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let mut state = state.lock().unwrap();
    let (status, answer) = if path == "/introspect" {
        (StatusCode::OK, introspect(&state, &body))
    } else {
        act(&mut state, &method, &path, &serde_json::from_slice(&body).unwrap_or_default())
    };
    let mut response = Response::new(Full::new(Bytes::from(answer.to_string())));
    *response.status_mut() = status;
    response
}

fn introspect(state: &State, form: &[u8]) -> Value {
    let token = form.strip_prefix(b"token=").map(|token| String::from_utf8_lossy(token).into_owned());
    match token.and_then(|token| state.tokens.get(&token)) {
        Some((asked, true)) if asked["aud"] == "https://load.example.com" && asked["expires_in"] != 1 => {
            json!({"active": true, "sub": asked["sub"]})
        }
        _ => json!({"active": false}),
    }
}

fn act(state: &mut State, method: &str, path: &str, body: &Value) -> (StatusCode, Value) {
    match (method, path) {
        ("POST", "/admin/clients") => {
            state.clients.push(body["client_id"].as_str().unwrap().to_owned());
            (StatusCode::CREATED, json!({"client_secret": "a secret"}))
        }
        ("POST", "/admin/tokens") if state.issues_nothing => {
            (StatusCode::SERVICE_UNAVAILABLE, json!({"error_description": "The store is away"}))
        }
        ("POST", "/admin/tokens") => {
            let token = format!("token-{}", state.tokens.len());
            state.tokens.insert(token.clone(), (body.clone(), true));
            (StatusCode::CREATED, json!({"access_token": token}))
        }
        ("POST", "/admin/tokens/revoke") if state.forgets_revocations => (StatusCode::OK, json!({"changed": true})),
        ("POST", "/admin/tokens/revoke") => {
            state.tokens.get_mut(body["token"].as_str().unwrap()).unwrap().1 = false;
            (StatusCode::OK, json!({"changed": true}))
        }
        ("DELETE", path) => {
            state.clients.retain(|client| !path.ends_with(client.as_str()));
            (StatusCode::OK, Value::Null)
        }
        _ => (StatusCode::NOT_FOUND, json!({})),
    }
}
