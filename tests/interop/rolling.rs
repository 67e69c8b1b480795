//! A rolling restart: three nodes behind haproxy are ended and started again one after the other, while requests come at
//! a steady rate, whatever becomes of those before them. None may be lost, and none answered wrongly.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Request;
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::{JoinHandle, JoinSet, block_in_place};
use tokio::time::{Instant, sleep, sleep_until};

use crate::http::send;
use crate::process::{Node, PATIENCE, Redis, free_port, spawn};

const NODES: usize = 3;
/// Between two requests.
const PERIOD: Duration = Duration::from_millis(4);
/// haproxy takes a node out after two of its questions in a row, 100 ms apart, that were not answered well.
const NOTICED: &str = "1500ms";

const CALLER: &str = "gateway:a secret of the gateway";
const CLIENTS: &str = r#"[{"client_id": "gateway", "client_secret": "a secret of the gateway", "rights": ["introspect", "issue", "revoke"],
    "audiences": ["*"]}]"#;
const KEYS: &str = r#"[{"id": "01", "secret": "what the digests of this test are made with"}]"#;

/// No retries: one that haproxy does by itself would hide what this is about.
const HAPROXY: &str = "\
defaults
    mode http
    timeout client 30s
    timeout connect 1s
    timeout server 15s
    timeout http-keep-alive 60s
frontend callers
    bind 127.0.0.1:FRONT
    default_backend nodes
backend nodes
    option httpchk GET /readyz
    http-reuse always
    retries 0
    default-server check inter 100ms fall 2 rise 1
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_lost_while_nodes_are_restarted_one_after_the_other() {
    let mut fleet = Fleet::start(NOTICED).await;
    let load = fleet.load();
    for number in 0..NODES {
        fleet.restart(number).await;
    }
    let seen = load.end().await;
    assert!(seen.sent > 500, "{seen:?}");
    assert_eq!(seen.wrong, Vec::<String>::new(), "of {} requests", seen.sent);
}

/// Else the test above shows nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_accepting_at_once_loses_some() {
    let mut fleet = Fleet::start("0s").await;
    let load = fleet.load();
    fleet.restart(0).await;
    let seen = load.end().await;
    assert_ne!(seen.wrong, Vec::<String>::new(), "of {} requests", seen.sent);
    // 502: it closed a connection that haproxy had just sent a request on.
    let balancers = |wrong: &String| ["502 ", "503 "].iter().any(|status| wrong.starts_with(status));
    assert!(seen.wrong.iter().all(balancers), "{seen:?}");
}

/// Three nodes over one Redis, and a balancer before them.
struct Fleet {
    nodes: Vec<Node>,
    ports: Vec<u16>,
    redis: Redis,
    drain: &'static str,
    front: u16,
    /// One that is active, and one that was revoked.
    tokens: [String; 2],
    haproxy: Child,
    _folder: TempDir,
}

impl Fleet {
    async fn start(drain: &'static str) -> Self {
        let redis = Redis::start(&["--appendonly", "yes"]);
        let ports: Vec<_> = (0..NODES).map(|_| free_port()).collect();
        let nodes: Vec<_> = ports.iter().map(|port| node(*port, &redis, drain)).collect();
        let tokens = [issue(&nodes[0]).await, issue(&nodes[0]).await];
        let revoked = post(&format!("{}/revoke", nodes[0].public()), FORM, &format!("token={}", tokens[1])).await;
        assert_eq!(revoked.map(|(status, _)| status), Ok(200));
        let (folder, front) = (tempfile::tempdir().unwrap(), free_port());
        let file = folder.path().join("haproxy.cfg");
        let servers = ports.iter().map(|port| format!("    server node-{port} 127.0.0.1:{port}\n"));
        fs::write(&file, HAPROXY.replace("FRONT", &front.to_string()) + &servers.collect::<String>()).unwrap();
        // Debian keeps servers where only root looks.
        let place = PathBuf::from("/usr/sbin/haproxy");
        let mut command = Command::new(if place.exists() { place } else { PathBuf::from("haproxy") });
        command.arg("-db").arg("-f").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let haproxy = spawn(&mut command, "haproxy");
        let fleet = Self { nodes, ports, redis, drain, front, tokens, haproxy, _folder: folder };
        for number in 0..NODES {
            fleet.is_asked(number).await;
        }
        fleet
    }

    /// Ends a node as an operator does, starts it again, and waits until it is sent requests.
    async fn restart(&mut self, number: usize) {
        block_in_place(|| {
            self.nodes[number].end();
            self.nodes[number] = node(self.ports[number], &self.redis, self.drain);
        });
        self.is_asked(number).await;
    }

    /// Waits until haproxy sends requests to a node.
    async fn is_asked(&self, number: usize) {
        let begun = Instant::now();
        while !introspections(&self.nodes[number]).await {
            assert!(begun.elapsed() < PATIENCE, "haproxy never asks node {number}");
            // While nobody else asks, somebody must.
            let _ = ask(self.front, &self.tokens[0]).await;
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Requests at a steady rate, until they are ended.
    fn load(&self) -> Load {
        let tokens = self.tokens.clone();
        let (front, ended) = (self.front, Arc::new(AtomicBool::new(false)));
        let end = Arc::clone(&ended);
        let task = tokio::spawn(async move {
            let (begun, mut requests) = (Instant::now(), JoinSet::new());
            for number in 0_u32.. {
                if end.load(Ordering::Relaxed) {
                    break;
                }
                sleep_until(begun + PERIOD * number).await;
                let place = number as usize % tokens.len();
                let token = tokens[place].clone();
                requests.spawn(async move { complaint(&ask(front, &token).await, place == 0) });
            }
            let answers = requests.join_all().await;
            Seen { sent: answers.len(), wrong: answers.into_iter().flatten().collect() }
        });
        Load { ended, task }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let _ = self.haproxy.kill();
        let _ = self.haproxy.wait();
    }
}

struct Load {
    ended: Arc<AtomicBool>,
    task: JoinHandle<Seen>,
}

impl Load {
    async fn end(self) -> Seen {
        self.ended.store(true, Ordering::Relaxed);
        self.task.await.unwrap()
    }
}

/// What became of the requests.
#[derive(Debug)]
struct Seen {
    sent: usize,
    /// Of each that was not answered, or not rightly.
    wrong: Vec<String>,
}

fn node(port: u16, redis: &Redis, drain: &str) -> Node {
    let url = format!("redis://127.0.0.1:{}", redis.port());
    let address = format!("127.0.0.1:{port}");
    let variables = [
        ("INTROSPECTD_CLIENTS", CLIENTS),
        ("INTROSPECTD_KEYS__DIGEST", KEYS),
        ("INTROSPECTD_REDIS__URL", &url),
        ("INTROSPECTD_DRAIN__MIN", drain),
        ("INTROSPECTD_DRAIN__MAX", "10s"),
    ];
    Node::start_at(&address, &[], &variables)
}

const FORM: &str = "application/x-www-form-urlencoded";

/// A new token.
async fn issue(node: &Node) -> String {
    let body = r#"{"client_id": "gateway", "aud": "https://api.example.com", "sub": "alice"}"#;
    let (_, issued) = post(&format!("{}/admin/tokens", node.admin()), "application/json", body).await.unwrap();
    issued["access_token"].as_str().unwrap().to_owned()
}

/// What a caller is answered about a token.
async fn ask(front: u16, token: &str) -> Result<(u16, Value), String> {
    post(&format!("http://127.0.0.1:{front}/introspect"), FORM, &format!("token={token}")).await
}

/// The status and the body of an answer, or what went wrong before there was one.
async fn post(url: &str, kind: &str, body: &str) -> Result<(u16, Value), String> {
    let credentials = STANDARD.encode(CALLER);
    let request =
        Request::post(url).header("authorization", format!("Basic {credentials}")).header("content-type", kind);
    let request = request.body(body.as_bytes().to_vec()).unwrap();
    let answer = tokio::time::timeout(PATIENCE, send(request, None)).await.map_err(|_| "no answer")?;
    let answer = answer.map_err(|error| error.to_string())?;
    Ok((answer.status().as_u16(), serde_json::from_slice(answer.body()).unwrap_or_default()))
}

/// What is wrong with an answer.
fn complaint(answer: &Result<(u16, Value), String>, active: bool) -> Option<String> {
    match answer {
        Ok((200, body)) if body["active"] == active => None,
        Ok((status, body)) => Some(format!("{status} {body}, where active is {active}")),
        Err(error) => Some(error.clone()),
    }
}

/// Whether a node has been asked about a token.
async fn introspections(node: &Node) -> bool {
    let request = Request::get(format!("{}/metrics", node.admin())).body(Vec::new()).unwrap();
    let Ok(answer) = send(request, None).await else { return false };
    let text = String::from_utf8_lossy(answer.body()).into_owned();
    text.lines().any(|line| {
        line.starts_with("introspect_requests_total{endpoint=\"introspect\"")
            && line.contains("outcome=\"active\"")
            && line.rsplit(' ').next() != Some("0")
    })
}
