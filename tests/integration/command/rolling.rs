//! Three nodes behind haproxy, restarted one after the other under load: every request is answered, and rightly.
//!
//! The balancer asks for readiness and does not try anything twice, so that nothing is made good by it.

use std::fmt::Write as _;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::support::eventually;
use crate::support::node::{AUDIENCE, OPERATOR};
use crate::support::port::Port;
use crate::support::program::Program;
use crate::support::redis::RedisServer;

const NODES: usize = 3;
/// How often the balancer asks whether a node is ready; after two noes it sends nothing more there.
const CHECK: Duration = Duration::from_millis(200);
/// A request every so often, whatever has become of those before it.
const EVERY: Duration = Duration::from_millis(4);
/// What takes longer is lost to whoever waits for it.
const LOST: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_behind_haproxy_loses_no_request() {
    let mut fleet = Fleet::start("3s").await;
    let load = Load::begin(&fleet).await;
    for node in 0..NODES {
        fleet.restart(node).await;
    }
    let Sum { sent, right, wrong, lost } = load.end().await;
    assert!(sent > 1000, "{sent} requests are hardly a load");
    assert_eq!((right, wrong, lost), (sent, 0, 0));
    let full = std::env::var("INTROSPECTD_TEST_FULL").is_ok_and(|value| value == "1");
    if full {
        println!("proof: {NODES} nodes behind haproxy restarted under load: {sent} requests, none lost or wrong");
    }
}

/// What the time between the signal and the closing is for: without it the same restart loses requests.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_closes_at_once_loses_requests() {
    let mut fleet = Fleet::start("0s").await;
    let load = Load::begin(&fleet).await;
    fleet.restart(0).await;
    let Sum { sent, right, wrong, lost } = load.end().await;
    assert_eq!((right + lost, wrong), (sent, 0), "what is answered is right all the same");
    assert!(lost > 0, "of {sent} requests none was lost: the other test shows nothing");
}

/// The nodes, their Redis and the balancer before them. Ended when it is dropped.
struct Fleet {
    nodes: Vec<Option<Program>>,
    ports: Vec<Port>,
    environment: Vec<(&'static str, String)>,
    balancer: Balancer,
    _redis: RedisServer,
}

impl Fleet {
    async fn start(drain: &str) -> Self {
        let redis = RedisServer::start().await;
        let operator = json!([{
            "client_id": OPERATOR.0, "client_secret": OPERATOR.1, "rights": ["admin", "issue", "revoke", "introspect"]
        }]);
        let keys = json!([{"id": "t1", "secret": "the digest key of the tests, 32 bytes"}]);
        let environment = vec![
            ("INTROSPECTD_REDIS__URL", redis.url()),
            ("INTROSPECTD_REDIS__CONNECT_TIMEOUT", "3s".to_owned()),
            ("INTROSPECTD_REDIS__RESPONSE_TIMEOUT", "5s".to_owned()),
            ("INTROSPECTD_ISSUER", "https://as.example.com".to_owned()),
            ("INTROSPECTD_KEYS__DIGEST", keys.to_string()),
            ("INTROSPECTD_CLIENTS", operator.to_string()),
            ("INTROSPECTD_DRAIN__MIN", drain.to_owned()),
            ("INTROSPECTD_DRAIN__MAX", "10s".to_owned()),
        ];
        let ports: Vec<Port> = (0..NODES).map(|_| Port::claim()).collect();
        let balancer = Balancer::start(&ports);
        let mut fleet = Self { nodes: Vec::new(), ports, environment, balancer, _redis: redis };
        for node in 0..NODES {
            let program = fleet.launch(node).await;
            fleet.nodes.push(Some(program));
        }
        fleet.until_balanced().await;
        fleet
    }

    async fn launch(&self, node: usize) -> Program {
        let (port, environment) = (self.ports[node].number, self.environment.clone());
        let launched = tokio::task::spawn_blocking(move || {
            let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, &**value)).collect();
            Program::serve_on(port, &[], &environment)
        });
        launched.await.unwrap()
    }

    /// Ends a node as an orchestrator does, and starts it anew, until the balancer has all of them again.
    async fn restart(&mut self, node: usize) {
        let program = self.nodes[node].take().unwrap();
        let finished = tokio::task::spawn_blocking(move || program.signal("-TERM")).await.unwrap();
        assert_eq!(finished.code, Some(0), "{finished:?}");
        self.nodes[node] = Some(self.launch(node).await);
        self.until_balanced().await;
    }

    async fn until_balanced(&self) {
        eventually("the balancer has all nodes", async || self.balancer.ready().await == NODES).await;
    }

    fn node(&self, node: usize) -> &Program {
        self.nodes[node].as_ref().unwrap()
    }
}

struct Balancer {
    child: Child,
    client: Client,
    public: Port,
    statistics: Port,
    folder: TempDir,
}

impl Balancer {
    fn start(nodes: &[Port]) -> Self {
        let (public, statistics, folder) = (Port::claim(), Port::claim(), tempfile::tempdir().unwrap());
        let mut config = format!(
            "defaults\n  mode http\n  timeout connect 2s\n  timeout client 30s\n  timeout server 30s\n  retries 0\n\
             frontend public\n  bind 127.0.0.1:{}\n  default_backend nodes\n\
             frontend statistics\n  bind 127.0.0.1:{}\n  stats enable\n  stats uri /\n\
             backend nodes\n  balance roundrobin\n  http-reuse always\n  option httpchk GET /readyz\n",
            public.number, statistics.number
        );
        for (number, port) in nodes.iter().enumerate() {
            let (port, check) = (port.number, CHECK.as_millis());
            writeln!(config, "  server node{number} 127.0.0.1:{port} check inter {check}ms fall 2 rise 2").unwrap();
        }
        let path = folder.path().join("haproxy.cfg");
        std::fs::write(&path, config).unwrap();
        let child = launch(&path, &folder.path().join("log"));
        Self { child, client: Client::new(), public, statistics, folder }
    }

    /// How many nodes it sends requests to.
    async fn ready(&self) -> usize {
        let url = format!("http://127.0.0.1:{}/;csv", self.statistics.number);
        let Ok(answer) = self.client.get(url).send().await else { return 0 };
        let text = answer.text().await.unwrap_or_default();
        text.lines().filter(|line| line.starts_with("nodes,node") && line.contains(",UP,")).count()
    }
}

fn launch(config: &Path, log: &Path) -> Child {
    let log = File::create(log).unwrap();
    // Debian keeps servers where only root looks.
    let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("haproxy");
    command.env("PATH", path).arg("-db").arg("-f").arg(config).stdin(Stdio::null());
    command.stdout(log.try_clone().unwrap()).stderr(log);
    command.spawn().unwrap_or_else(|error| panic!("these tests need haproxy: apt-get install haproxy: {error}"))
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("haproxy: {}", std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default());
        }
    }
}

/// What became of the requests.
#[derive(Debug, Default)]
struct Counts {
    right: AtomicU64,
    wrong: AtomicU64,
    lost: AtomicU64,
}

struct Sum {
    sent: u64,
    right: u64,
    wrong: u64,
    lost: u64,
}

/// Introspections through the balancer, begun by the clock.
struct Load {
    ending: Arc<AtomicBool>,
    running: JoinHandle<(u64, Arc<Counts>)>,
}

/// A token, and whether it is active.
type Known = (String, bool);

impl Load {
    async fn begin(fleet: &Fleet) -> Self {
        let (server, tokens) = prepare(fleet.node(0)).await;
        let ending = Arc::new(AtomicBool::new(false));
        let url = format!("http://127.0.0.1:{}/introspect", fleet.balancer.public.number);
        let running = tokio::spawn(run(url, server, tokens, Arc::clone(&ending)));
        Self { ending, running }
    }

    async fn end(self) -> Sum {
        self.ending.store(true, Ordering::Release);
        let (sent, counts) = self.running.await.unwrap();
        let of = |count: &AtomicU64| count.load(Ordering::Acquire);
        Sum { sent, right: of(&counts.right), wrong: of(&counts.wrong), lost: of(&counts.lost) }
    }
}

/// A resource server, and tokens of which half are revoked.
async fn prepare(node: &Program) -> ((String, String), Vec<Known>) {
    let api = node.api();
    let admin = async |path: &str, body: Value| {
        let answer = api.admin(OPERATOR, "POST", path, Some(body)).await;
        assert!((200..300).contains(&answer.status), "{path}: {}", answer.body);
        answer.json()
    };
    let text = |value: &Value, name: &str| value[name].as_str().unwrap().to_owned();
    let server = admin("/admin/clients", json!({"rights": ["introspect"], "audiences": [AUDIENCE]})).await;
    let owner = admin("/admin/clients", json!({"client_id": "app"})).await;
    let mut tokens = Vec::new();
    for number in 0..20 {
        let body = json!({"client_id": owner["client_id"], "aud": AUDIENCE, "scope": "read", "sub": "alice"});
        let token = text(&admin("/admin/tokens", body).await, "access_token");
        let active = number % 2 == 0;
        if !active {
            admin("/admin/tokens/revoke", json!({"token": token})).await;
        }
        tokens.push((token, active));
    }
    ((text(&server, "client_id"), text(&server, "client_secret")), tokens)
}

async fn run(url: String, server: (String, String), tokens: Vec<Known>, ending: Arc<AtomicBool>) -> (u64, Arc<Counts>) {
    let (client, counts) = (Client::new(), Arc::new(Counts::default()));
    let mut requests = JoinSet::new();
    let mut clock = interval(EVERY);
    clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut sent = 0;
    while !ending.load(Ordering::Acquire) {
        clock.tick().await;
        let (token, active) = tokens[usize::try_from(sent).unwrap() % tokens.len()].clone();
        let request = client.post(&url).basic_auth(&server.0, Some(&server.1)).form(&[("token", token)]);
        let counts = Arc::clone(&counts);
        requests.spawn(async move {
            let count = match timeout(LOST, ask(request)).await {
                Ok(Some(answer)) if answer == active => &counts.right,
                Ok(Some(_)) => &counts.wrong,
                Ok(None) | Err(_) => &counts.lost,
            };
            count.fetch_add(1, Ordering::AcqRel);
        });
        sent += 1;
        while requests.try_join_next().is_some() {}
    }
    while requests.join_next().await.is_some() {}
    (sent, counts)
}

/// Whether the token is active; `None` when that was not answered.
async fn ask(request: reqwest::RequestBuilder) -> Option<bool> {
    let answer = request.send().await.ok()?;
    if answer.status() != 200 {
        return None;
    }
    serde_json::from_slice::<Value>(&answer.bytes().await.ok()?).ok()?["active"].as_bool()
}
