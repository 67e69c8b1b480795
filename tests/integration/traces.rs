//! Traces: which requests a collector is told of, what it is told, and that one which does not listen harms nobody.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use introspectd::shutdown::Outcome;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::support::eventually;
use crate::support::node::{Kind, Node};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

over_both_stores! {
    w3c_a_sampled_parent_has_the_request_and_its_parts_below_it
}

/// What a collector does with an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    /// Takes it.
    Well,
    /// Reads it, and never answers.
    Stalled,
    /// Says that it is too busy, once, and takes it when it is sent again.
    BusyOnce,
    /// Does not want it.
    Refusing,
}

/// A collector that reads what it is sent.
struct Collector {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Value>>>,
    running: JoinHandle<()>,
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Collector {
    async fn start(mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let exports = Arc::clone(&seen);
        let running = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let exports = Arc::clone(&exports);
                let take = service_fn(move |request| take(request, Arc::clone(&exports), mood));
                tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), take));
            }
        });
        Self { address, seen, running }
    }

    /// A node that sends what it records here, with further settings.
    async fn node(&self, kind: Kind, settings: &[(&str, &str)]) -> Node {
        node(kind, self.address, settings).await
    }

    fn exports(&self) -> Vec<Value> {
        self.seen.lock().unwrap().clone()
    }

    fn spans(&self) -> Vec<Value> {
        let mut spans = Vec::new();
        for export in self.exports() {
            for scope in export["resourceSpans"][0]["scopeSpans"].as_array().unwrap() {
                spans.extend(scope["spans"].as_array().unwrap().iter().cloned());
            }
        }
        spans
    }
}

async fn take(
    request: Request<Incoming>,
    exports: Arc<Mutex<Vec<Value>>>,
    mood: Mood,
) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!((request.method().as_str(), request.uri().path()), ("POST", "/v1/traces"));
    assert_eq!(request.headers()["content-type"], "application/json");
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let first = {
        let mut exports = exports.lock().unwrap();
        exports.push(serde_json::from_slice(&body).unwrap());
        exports.len() == 1
    };
    let status = match mood {
        Mood::Stalled => std::future::pending().await,
        Mood::BusyOnce if first => 503,
        Mood::Refusing => 400,
        Mood::Well | Mood::BusyOnce => 200,
    };
    Ok(Response::builder().status(status).body(Full::new(Bytes::from_static(b"{}"))).unwrap())
}

async fn node(kind: Kind, collector: SocketAddr, settings: &[(&str, &str)]) -> Node {
    let endpoint = format!("http://{collector}");
    let mut all = vec![("tracing.endpoint", endpoint.as_str()), ("tracing.interval", "10ms")];
    all.extend_from_slice(settings);
    Node::start_with(kind, &all).await
}

/// Asks the node whether it lives, as part of a trace or of none, and gives the status.
async fn ask(node: &Node, parent: Option<&str>) -> u16 {
    let mut request = reqwest::Client::new().get(format!("http://{}/livez", node.public));
    if let Some(parent) = parent {
        request = request.header("traceparent", parent);
    }
    request.send().await.unwrap().status().as_u16()
}

fn parent(flags: &str) -> String {
    format!("00-{TRACE}-{CALLER}-{flags}")
}

/// What the node has counted of its spans.
async fn counted(node: &Node, result: &str) -> u64 {
    let page = reqwest::get(format!("http://{}/metrics", node.admin)).await.unwrap().text().await.unwrap();
    let series = format!("introspect_trace_spans_total{{result=\"{result}\"}} ");
    page.lines().find_map(|line| line.strip_prefix(&series)).unwrap().parse().unwrap()
}

fn attribute<'a>(span: &'a Value, name: &str) -> &'a str {
    let attributes = span["attributes"].as_array().unwrap();
    let found = attributes.iter().find(|attribute| attribute["key"] == name);
    let value = found.map(|attribute| &attribute["value"]);
    value.and_then(|value| value["stringValue"].as_str().or(value["intValue"].as_str())).unwrap_or_default()
}

async fn w3c_a_sampled_parent_has_the_request_and_its_parts_below_it(kind: Kind) {
    let collector = Collector::start(Mood::Well).await;
    let resource = [("tracing.sample_ratio", "0"), ("tracing.resource_attributes", "site=one%20two")];
    let node = collector.node(kind, &resource).await;
    let server = node.resource_server().await;
    let token = node.token(&server).await;
    assert!(collector.spans().is_empty(), "none of these had a parent");
    let answer = reqwest::Client::new()
        .post(format!("http://{}/introspect", node.public))
        .basic_auth(&server.id, Some(&server.secret))
        .header("traceparent", parent("01"))
        .header("tracestate", "vendor=value")
        .form(&[("token", &token)])
        .send()
        .await
        .unwrap();
    assert_eq!(answer.json::<Value>().await.unwrap()["active"], true);
    eventually("the spans are exported", async || collector.spans().len() >= 3).await;

    let spans = collector.spans();
    let named =
        |name: &str| spans.iter().find(|span| span["name"] == name).unwrap_or_else(|| panic!("{name}: {spans:?}"));
    let request = named("POST /introspect");
    assert_eq!((&request["parentSpanId"], &request["kind"]), (&CALLER.into(), &2.into()));
    assert_eq!(attribute(request, "http.route"), "/introspect");
    assert_eq!(attribute(request, "http.response.status_code"), "200");
    let caller = named("authenticate client");
    assert_eq!(caller["parentSpanId"], request["spanId"]);
    assert_eq!(attribute(caller, "introspectd.client.id"), server.id);
    assert_eq!(attribute(caller, "introspectd.auth.method"), "client_secret_basic");
    let system = if kind == Kind::Redis { "redis" } else { "redb" };
    let read = spans.iter().find(|span| attribute(span, "db.operation.name") == "token").unwrap();
    assert_eq!((&read["name"], &read["parentSpanId"]), (&"store read".into(), &request["spanId"]));
    assert_eq!(attribute(read, "db.system.name"), system);
    for span in &spans {
        assert_eq!((&span["traceId"], &span["traceState"]), (&TRACE.into(), &"vendor=value".into()));
        let time = |name: &str| span[name].as_str().unwrap().parse::<u64>().unwrap();
        assert!(time("startTimeUnixNano") <= time("endTimeUnixNano"));
    }
    let exports = collector.exports();
    let told = exports[0]["resourceSpans"][0]["resource"].to_string();
    assert!(told.contains("one two") && told.contains("service.name"), "{told}");
    let everything = format!("{exports:?}");
    assert!(!everything.contains(&token) && !everything.contains(&server.secret));

    // A write, and a caller who is refused.
    let revoke = async |secret: &str| {
        let request = reqwest::Client::new().post(format!("http://{}/revoke", node.public));
        let request = request.basic_auth(&server.id, Some(secret)).header("traceparent", parent("01"));
        request.form(&[("token", &token)]).send().await.unwrap().status().as_u16()
    };
    assert_eq!(revoke("wrong").await, 401);
    assert_eq!(revoke(&server.secret).await, 200);
    let found = |name: &str, value: &str| collector.spans().iter().any(|span| attribute(span, name) == value);
    eventually("the refusal is exported", async || found("error.type", "invalid_client")).await;
    eventually("the write is exported", async || found("db.operation.name", "set_state")).await;
    assert!(!format!("{:?}", collector.exports()).contains(&token));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_collector_nothing_is_recorded() {
    let node = Node::start(Kind::Embedded).await;
    assert_eq!(ask(&node, Some(&parent("01"))).await, 200);
    for result in ["exported", "dropped", "failed"] {
        assert_eq!(counted(&node, result).await, 0, "{result}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w3c_3_2_callers_decide_and_those_who_say_nothing_or_nonsense_are_left_to_the_ratio() {
    let (all, none) = (Collector::start(Mood::Well).await, Collector::start(Mood::Well).await);
    let every = all.node(Kind::Embedded, &[("tracing.sample_ratio", "1")]).await;
    let never = none.node(Kind::Embedded, &[("tracing.sample_ratio", "0")]).await;
    for node in [&every, &never] {
        for said in [Some(parent("01")), Some(parent("00")), Some("00-nonsense".to_owned()), None] {
            assert_eq!(ask(node, said.as_deref()).await, 200);
        }
    }
    // What is left is sent before the end.
    assert_eq!((every.end().await, never.end().await), (Outcome::Clean, Outcome::Clean));
    let parents = |collector: &Collector| {
        let mut parents: Vec<String> =
            collector.spans().iter().map(|span| span["parentSpanId"].as_str().unwrap_or("none").to_owned()).collect();
        parents.sort();
        parents
    };
    assert_eq!(parents(&all), [CALLER, "none", "none"]);
    assert_eq!(parents(&none), [CALLER]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_are_not_followed_decide_nothing() {
    let collector = Collector::start(Mood::Well).await;
    let settings = [("tracing.sample_ratio", "0"), ("tracing.follow_callers", "false")];
    let node = collector.node(Kind::Embedded, &settings).await;
    assert_eq!(ask(&node, Some(&parent("01"))).await, 200);
    assert_eq!(node.end().await, Outcome::Clean);
    assert!(collector.spans().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_stalls_slows_nobody_and_what_it_misses_is_counted() {
    let collector = Collector::start(Mood::Stalled).await;
    let settings = [("tracing.sample_ratio", "1"), ("tracing.queue", "64"), ("tracing.timeout", "60s")];
    let node = collector.node(Kind::Embedded, &settings).await;
    assert_eq!(ask(&node, None).await, 200);
    eventually("the collector has an export", async || !collector.exports().is_empty()).await;
    let begun = Instant::now();
    let client = reqwest::Client::new();
    for _ in 0..200 {
        assert_eq!(client.get(format!("http://{}/livez", node.public)).send().await.unwrap().status(), 200);
    }
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert!(counted(&node, "dropped").await >= 100);
    assert_eq!(counted(&node, "exported").await, 0);
    let begun = Instant::now();
    assert_eq!(node.end().await, Outcome::Clean);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_down_slows_nobody_and_the_service_ends() {
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let node = node(Kind::Embedded, nobody, &[("tracing.sample_ratio", "1")]).await;
    for _ in 0..20 {
        assert_eq!(ask(&node, None).await, 200);
    }
    eventually("the spans are counted as lost", async || counted(&node, "failed").await > 0).await;
    let begun = Instant::now();
    assert_eq!(node.end().await, Outcome::Clean);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_busy_is_asked_again_and_one_that_refuses_is_not() {
    let (busy, refusing) = (Collector::start(Mood::BusyOnce).await, Collector::start(Mood::Refusing).await);
    let settings = [("tracing.sample_ratio", "0")];
    let (patient, refused) =
        (busy.node(Kind::Embedded, &settings).await, refusing.node(Kind::Embedded, &settings).await);
    for node in [&patient, &refused] {
        assert_eq!(ask(node, Some(&parent("01"))).await, 200);
    }
    eventually("the second attempt is taken", async || counted(&patient, "exported").await == 1).await;
    assert_eq!(busy.exports().len(), 2);
    eventually("the refusal is counted", async || counted(&refused, "failed").await == 1).await;
    assert_eq!(refusing.exports().len(), 1);
}
