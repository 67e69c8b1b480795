//! A node, a gateway that asks it, and an API behind the gateway.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Request};
use introspectd::token::time::Clock;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::api::Api;
use super::program::{Around, EXAMPLES, Program};
use crate::http::send;
use crate::process::{Node, PATIENCE, Redis, free_port, spawn};
use crate::scenario::issue_certificates;

pub(super) const AUDIENCE: &str = "https://api.example.com";
/// How long a program may take to listen: a Java one on a busy machine.
const STARTING: Duration = Duration::from_mins(4);
/// As the configuration of the examples has it.
const OPERATOR: &str = "operator:example-operator-secret-known-to-all";

/// Everything, ended when it is dropped.
pub(super) struct Place {
    pub(super) program: Program,
    gateway: Gateway,
    api: Api,
    node: Node,
    redis: Option<Redis>,
    /// When the tokens expire that are issued here, in seconds since 1970.
    pub(super) expires: u64,
    _data: TempDir,
}

/// A program that was started with an example.
struct Gateway {
    child: Child,
    port: u16,
    folder: TempDir,
}

/// An answer of the gateway, or of the API through it.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    headers: HeaderMap,
    /// `null` when it is not JSON.
    pub(super) body: Value,
}

impl Answer {
    /// All challenges: one, if nobody says the same twice.
    pub(super) fn challenge(&self) -> String {
        let lines: Vec<_> =
            self.headers.get_all("www-authenticate").iter().map(|line| line.to_str().unwrap()).collect();
        assert!(lines.len() <= 1, "{lines:?}");
        lines.concat()
    }

    /// A header that has reached the API.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let headers = self.body["headers"].as_array().unwrap();
        headers.iter().find(|header| header[0] == name).map(|header| header[1].as_str().unwrap())
    }

    /// The headers by which the API is told who is calling, under whatever spelling it could take for one of them.
    pub(super) fn told(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let headers = self.body["headers"].as_array().unwrap().iter().map(|pair| (text(&pair[0]), text(&pair[1])));
        let plain = |name: &str| name.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-");
        let mut told: Vec<_> = headers.filter(|(name, _)| plain(name).starts_with("x-auth-")).collect();
        told.sort();
        told
    }
}

impl Gateway {
    /// Starts the program, and waits until it listens.
    fn start(program: Program, node: u16, api: u16, ca: &Path) -> Self {
        // Somebody else may take the port between our look and the program's: then it ends, and another is tried.
        for _ in 0..5 {
            let folder = tempfile::tempdir().unwrap();
            let port = free_port();
            let (mut command, package) = program.prepare(folder.path(), &Around { node, api, gateway: port, ca });
            let log = File::options().create(true).append(true).open(folder.path().join("log")).unwrap();
            command.current_dir(folder.path()).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
            let mut gateway = Self { child: spawn(&mut command, package), port, folder };
            let begun = Instant::now();
            while gateway.child.try_wait().unwrap().is_none() {
                if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                    return gateway;
                }
                assert!(begun.elapsed() < STARTING, "{program:?} does not listen");
                std::thread::sleep(Duration::from_millis(10));
            }
            eprintln!("{program:?} has ended: {}", gateway.log());
        }
        panic!("{program:?} never stays up");
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.folder.path().join("log")).unwrap_or_default()).into_owned()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the gateway's log: {}", self.log());
        }
    }
}

impl Place {
    /// Starts all of it, over the embedded store unless there is a Redis.
    pub(super) async fn start(program: Program, redis: Option<Redis>) -> Self {
        let data = tempfile::tempdir().unwrap();
        let config = format!("{EXAMPLES}/introspectd.toml");
        let kept = data.path().join("data").display().to_string();
        let url = redis.as_ref().map(|redis| format!("redis://127.0.0.1:{}", redis.port()));
        let keys = json!([{"id": "01", "secret": "a secret of a test, and of nobody else"}]).to_string();
        let mut arguments = vec!["-c", &config];
        let mut variables = vec![("INTROSPECTD_AUTHENTICATION__FAILURES_PER_SOURCE", "100000")];
        match &url {
            Some(url) => {
                arguments.extend(["--redis", url]);
                // What is remembered may be answered for a moment without the store.
                variables.extend([("INTROSPECTD_KEYS__DIGEST", &*keys), ("INTROSPECTD_CACHE__ENABLED", "false")]);
            }
            None => arguments.extend(["--data", &kept]),
        }
        let file = |name: &str| data.path().join(name);
        let (certificate, key) = (file("server.pem").display().to_string(), file("server.key").display().to_string());
        if program.asks_over_tls() {
            issue_certificates(&data);
            variables.push(("INTROSPECTD_PUBLIC__TLS_CERTIFICATE_FILE", &certificate));
            variables.push(("INTROSPECTD_PUBLIC__TLS_KEY_FILE", &key));
        }
        let node = Node::start(&arguments, &variables);
        let api = Api::start().await;
        let port = node.public().rsplit(':').next().unwrap().parse().unwrap();
        let gateway = Gateway::start(program, port, api.port, &file("ca.pem"));
        let expires = Clock::System.now().seconds().0 + 3600;
        let place = Self { program, gateway, api, node, redis, expires, _data: data };
        place.until_ready().await;
        place
    }

    /// A gateway may listen before it has looked for whom it asks.
    async fn until_ready(&self) {
        let token = self.token(json!({})).await;
        let begun = Instant::now();
        loop {
            let answer = self.get("/orders", &token).await;
            if answer.status == 200 {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "{answer:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Sends a request through the gateway.
    pub(super) async fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request =
            Request::builder().method(method).uri(format!("http://127.0.0.1:{}{target}", self.gateway.port));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = send(request.body(body.as_bytes().to_vec()).unwrap(), None);
        let answer = tokio::time::timeout(PATIENCE, answer).await.unwrap().unwrap();
        let (head, body) = answer.into_parts();
        let body = serde_json::from_slice(&body).unwrap_or_default();
        Answer { status: head.status.as_u16(), headers: head.headers, body }
    }

    pub(super) async fn get(&self, target: &str, token: &str) -> Answer {
        self.ask("GET", target, &[("authorization", &format!("Bearer {token}"))], "").await
    }

    /// Sends bytes as they are, and gives all that is answered.
    pub(super) async fn send_raw(&self, text: String) -> String {
        let port = self.gateway.port;
        let exchange = move || {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(text.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        };
        tokio::task::spawn_blocking(exchange).await.unwrap()
    }

    async fn operate(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = Request::post(format!("{}{path}", self.node.admin()))
            .header("authorization", format!("Basic {}", STANDARD.encode(OPERATOR)))
            .header("content-type", "application/json")
            .body(body.to_string().into())
            .unwrap();
        let answer = tokio::time::timeout(PATIENCE, send(request, None)).await.unwrap().unwrap();
        (answer.status().as_u16(), serde_json::from_slice(answer.body()).unwrap_or_default())
    }

    /// Issues a token, and gives all that is answered.
    pub(super) async fn issue(&self, members: Value) -> Value {
        let mut body = json!({
            "client_id": "web-shop", "sub": "alice", "username": "Alice", "scope": "read", "aud": AUDIENCE,
            "exp": self.expires,
        });
        for (name, value) in members.as_object().unwrap() {
            body[name] = value.clone();
        }
        body.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let (status, answer) = self.operate("/admin/tokens", &body).await;
        assert_eq!(status, 201, "{answer}");
        answer
    }

    pub(super) async fn token(&self, members: Value) -> String {
        self.issue(members).await["access_token"].as_str().unwrap().to_owned()
    }

    pub(super) async fn revoke(&self, token: &str) {
        let (status, answer) = self.operate("/admin/tokens/revoke", &json!({"token": token})).await;
        assert!([200, 204].contains(&status), "{status}: {answer}");
    }

    /// How many requests have reached the API.
    pub(super) fn reached(&self) -> usize {
        self.api.requests()
    }

    /// How many connections the node has accepted.
    pub(super) async fn connections(&self) -> u64 {
        let request = Request::get(format!("{}/metrics", self.node.admin())).body(vec![]).unwrap();
        let answer = send(request, None).await.unwrap();
        let text = String::from_utf8(answer.into_body()).unwrap();
        let line =
            text.lines().find(|line| line.starts_with(r#"introspect_http_connections_accepted_total{protocol="h1"}"#));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap()
    }

    /// Ends the node.
    pub(super) fn end_node(&mut self) {
        self.node.end();
    }

    /// Ends the Redis under the node.
    pub(super) fn end_store(&mut self) {
        self.redis.take().unwrap();
    }
}
