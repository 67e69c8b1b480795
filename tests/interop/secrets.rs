//! What a run leaves behind holds no secret.
//!
//! A node is used in every way there is, also the wrong ones, with debug logs and a line for each request. Afterwards
//! every byte is searched that somebody other than the caller could read: the store's files and, with Redis, each value
//! and each command that it was sent; both output streams; the metrics; the answers that do not hand out a secret. None
//! of the tokens, secrets, passwords and keys may be there, whole or as their random part, plain or in any form of
//! [`forms`]. That such a search finds what is there is proved by planting: see [`a_planted_secret_is_found`] for each form,
//! and the end of [`Run::check`] for a real store.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Mutex;
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{Method, Request};
use serde_json::{Value, json};

use crate::http::send;
use crate::process::{Node, PATIENCE, Redis};
use crate::scenario::Store;

const OPERATOR: (&str, &str) = ("the-operator", "operator's secret: %+/\"\\ 0123456789");
const IMPORTED: (&str, &str) = ("imported application", "imported secret: %+/=-._~ \"quoted\" \\");
const IMPORTED_TOKEN: &str = "a-token.made~elsewhere/0123456789+abcdef==";
const WRONG: &str = "wrong-secret-that-somebody-mistyped";
const DIGEST_KEY: &str = "a digest key of the tests, which is 32 bytes and more";
const REDIS_PASSWORD: &str = "password-of-redis-0123456789";
/// The name of the client that is made before a secret is planted.
const PLANTING: &str = "now something is planted";
const AUDIENCE: &str = "https://api.example.com";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_store_and_text_logs_hold_no_secret() {
    Run::check(Store::Embedded, "text").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_store_and_json_logs_hold_no_secret() {
    Run::check(Store::Embedded, "json").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_and_text_logs_hold_no_secret() {
    Run::check(Store::Redis, "text").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_and_json_logs_hold_no_secret() {
    Run::check(Store::Redis, "json").await;
}

// === the search ===

/// What must not be found: each secret with a name that may be printed.
#[derive(Default)]
struct Secrets(Vec<(String, String)>);

impl Secrets {
    fn add(&mut self, name: &str, secret: &str) {
        if !self.0.iter().any(|(_, known)| known == secret) {
            self.0.push((name.to_owned(), secret.to_owned()));
        }
    }
}

/// How a secret may be written down without being the same bytes.
fn forms(secret: &str) -> Vec<(&'static str, Vec<u8>)> {
    let bytes = secret.as_bytes();
    let escaped = |write: fn(&mut String, u8)| {
        bytes.iter().fold(String::new(), |mut text, byte| {
            write(&mut text, *byte);
            text
        })
    };
    let lower = escaped(|text, byte| write!(text, "{byte:02x}").unwrap());
    let percent = escaped(|text, byte| write!(text, "%{byte:02X}").unwrap());
    let inside = |quoted: &str| quoted[1..quoted.len() - 1].to_owned();
    let form = introspectd::form::encode(secret);
    let mut forms = vec![
        ("plain", secret.to_owned()),
        ("in JSON", inside(&json!(secret).to_string())),
        ("as Rust prints it", inside(&format!("{secret:?}"))),
        ("in a form", form.clone()),
        ("in a form, in small letters", form.to_lowercase()),
        ("in a URL", form.replace('+', "%20")),
        ("escaped throughout", percent.clone()),
        ("escaped throughout, in small letters", percent.to_lowercase()),
        ("in hexadecimal", lower.clone()),
        ("in hexadecimal, in capitals", lower.to_uppercase()),
    ];
    // In the middle of something longer, base64 looks different by what is before it: three cases.
    for before in 0..3 {
        let text = STANDARD.encode([&vec![0; before], bytes].concat());
        // Characters that hold bits of the neighbours are left out.
        let kept = text[(before * 8).div_ceil(6)..(before + bytes.len()) * 8 / 6].to_owned();
        forms.push(("in base64url", kept.replace('+', "-").replace('/', "_")));
        forms.push(("in base64", kept));
    }
    let mut forms: Vec<(&'static str, Vec<u8>)> = forms.into_iter().map(|(name, text)| (name, text.into())).collect();
    if let Some(random) = random_part(secret) {
        let raw = URL_SAFE_NO_PAD.decode(random).unwrap();
        forms.push(("the random part", random.into()));
        forms.push(("the random part in hexadecimal", hexadecimal(&raw).into()));
        forms.push(("the random part as bytes", raw));
    }
    forms
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// What of a token made here nobody can guess. A refresh token begins with the id of its grant, which is no secret; of the
/// 24 random bytes behind it, these characters hold all but the first two.
fn random_part(token: &str) -> Option<&str> {
    if token.starts_with("itd_at_") {
        Some(&token[9..52])
    } else {
        token.starts_with("itd_rt_").then(|| &token[33..63])
    }
}

/// Finds any form of any secret in one pass: by its first bytes, then by all.
struct Search(HashMap<[u8; Self::KEY], Vec<Needle>>);

struct Needle {
    what: String,
    bytes: Vec<u8>,
}

impl Search {
    const KEY: usize = 8;

    fn of(secrets: &Secrets) -> Self {
        let mut needles: HashMap<[u8; Self::KEY], Vec<Needle>> = HashMap::new();
        for (name, secret) in &secrets.0 {
            for (form, bytes) in forms(secret) {
                let key = *bytes.first_chunk().expect("a secret of the tests is not this short");
                needles.entry(key).or_default().push(Needle { what: format!("{name}, {form}"), bytes });
            }
        }
        Self(needles)
    }

    /// What of it is in there.
    fn find(&self, hay: &[u8]) -> Vec<&str> {
        let mut found = vec![];
        for (at, key) in hay.windows(Self::KEY).enumerate() {
            let needles = key.first_chunk().and_then(|key| self.0.get(key));
            found.extend(needles.into_iter().flatten().filter(|needle| hay[at..].starts_with(&needle.bytes)));
        }
        found.into_iter().map(|needle| needle.what.as_str()).collect()
    }
}

#[test]
fn a_planted_secret_is_found() {
    let token = format!("itd_at_01{}_check-9", URL_SAFE_NO_PAD.encode([0xA5; 32]));
    for secret in [IMPORTED.1, IMPORTED_TOKEN, WRONG, DIGEST_KEY, REDIS_PASSWORD, &token] {
        let mut secrets = Secrets::default();
        secrets.add("it", secret);
        let search = Search::of(&secrets);
        for (form, bytes) in forms(secret) {
            let hay = [b"before ".as_slice(), &bytes, b" after"].concat();
            assert!(search.find(&hay).iter().any(|what| what.ends_with(form)), "{form}");
            assert!(search.find(&hay[..bytes.len() + 6]).iter().all(|what| !what.ends_with(form)), "{form}");
        }
        for before in 0..6 {
            let value = STANDARD.encode(format!("{}:{secret}:x", &"client"[..before]));
            assert!(!search.find(value.as_bytes()).is_empty(), "{before}");
        }
    }
}

// === the run ===

/// A node in use, and all that is to be searched afterwards.
struct Run {
    node: Node,
    secrets: Mutex<Secrets>,
    /// Every answer that does not hand out a secret by design.
    answers: Mutex<Vec<u8>>,
    /// Secrets that were given where a client's identifier belongs: Redis is asked for a client of that name, which
    /// whoever reads along can see. It must not be kept, logged or answered all the same.
    misplaced: Mutex<Vec<String>>,
}

/// Where the node keeps its data, and what can be read there.
struct Keeper {
    redis: Option<(Redis, JoinHandle<Vec<u8>>)>,
    folder: tempfile::TempDir,
}

impl Keeper {
    fn new(store: Store) -> Self {
        let redis = matches!(store, Store::Redis).then(|| {
            let settings = ["--requirepass", REDIS_PASSWORD, "--appendonly", "yes", "--rdbcompression", "no"];
            let redis = Redis::start(&settings);
            let commands = watch(&redis);
            (redis, commands)
        });
        Self { redis, folder: tempfile::tempdir().unwrap() }
    }

    fn start(&self, format: &str) -> Node {
        let declared = json!([{
            "client_id": OPERATOR.0, "client_secret": OPERATOR.1,
            "rights": ["introspect", "revoke", "issue", "admin"]
        }]);
        let keys = json!([{"id": "t1", "secret": DIGEST_KEY}]).to_string();
        let data = self.folder.path().join("data").display().to_string();
        let clients = declared.to_string();
        let mut variables = vec![
            ("INTROSPECTD_CLIENTS", clients.as_str()),
            ("INTROSPECTD_ISSUER", "https://as.example.com"),
            ("INTROSPECTD_DRAIN__MIN", "0s"),
            ("INTROSPECTD_LOG__LEVEL", "debug"),
            ("INTROSPECTD_LOG__ACCESS", "all"),
            ("INTROSPECTD_LOG__FORMAT", format),
        ];
        let url;
        match &self.redis {
            Some((redis, _)) => {
                url = format!("redis://:{REDIS_PASSWORD}@127.0.0.1:{}", redis.port());
                variables.extend([("INTROSPECTD_REDIS__URL", url.as_str()), ("INTROSPECTD_KEYS__DIGEST", &keys)]);
                Node::start(&[], &variables)
            }
            // Makes a key of its own, and keeps it in its folder.
            None => Node::start(&["--data", &data], &variables),
        }
    }

    /// The key that tokens are hashed with: the one thing of worth that is kept, in a file of its own.
    fn key(&self) -> String {
        match self.redis {
            Some(_) => DIGEST_KEY.to_owned(),
            None => fs::read_to_string(self.folder.path().join("data/digest.key")).unwrap().trim().to_owned(),
        }
    }

    /// All that is kept. With Redis: the keys and values as they are given out, and its files.
    async fn content(&self) -> Vec<u8> {
        let mut content = vec![];
        let Some((redis, _)) = &self.redis else {
            collect(&self.folder.path().join("data"), &mut content);
            return content;
        };
        let url = format!("unix://{}?pass={REDIS_PASSWORD}", redis.socket().display());
        let client = redis::Client::open(url).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg("*").query_async(&mut connection).await.unwrap();
        for key in keys {
            content.extend(&key);
            let value: Vec<u8> = redis::cmd("DUMP").arg(&key).query_async(&mut connection).await.unwrap();
            content.extend(value);
        }
        redis::cmd("SAVE").exec_async(&mut connection).await.unwrap();
        collect(redis.folder(), &mut content);
        content
    }
}

/// Reads every file but the key's, which is where the key has to be.
fn collect(folder: &Path, content: &mut Vec<u8>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            collect(&entry.path(), content);
        } else if kind.is_file() && entry.file_name() != "digest.key" {
            content.extend(fs::read(entry.path()).unwrap());
        }
    }
}

/// Reads along every command that the server is sent, until it ends.
fn watch(redis: &Redis) -> JoinHandle<Vec<u8>> {
    let mut stream = UnixStream::connect(redis.socket()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "AUTH {REDIS_PASSWORD}\r\nMONITOR\r\n").unwrap();
    let mut agreed = [0; 10];
    stream.read_exact(&mut agreed).unwrap();
    assert_eq!(&agreed, b"+OK\r\n+OK\r\n");
    std::thread::spawn(move || {
        let mut commands = vec![];
        // A server that is killed may break the connection off; what it said before is here.
        let _ = stream.read_to_end(&mut commands);
        commands
    })
}

/// Says who is calling.
#[derive(Clone, Copy)]
enum As<'a> {
    Nobody,
    Client(&'a str, &'a str),
    Raw(&'a str),
}

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

impl Run {
    fn of(node: Node) -> Self {
        Self { node, secrets: Mutex::default(), answers: Mutex::default(), misplaced: Mutex::default() }
    }

    async fn check(store: Store, format: &str) {
        let keeper = Keeper::new(store);
        let run = Self::of(keeper.start(format));
        for (name, secret) in [
            ("the operator's secret", OPERATOR.1),
            ("an imported secret", IMPORTED.1),
            ("an imported token", IMPORTED_TOKEN),
            ("a wrong secret", WRONG),
            ("the password of Redis", REDIS_PASSWORD),
            ("the digest key", &keeper.key()),
        ] {
            run.keep(name, secret);
        }
        run.use_it().await;
        let metrics = run.get(&format!("{}/metrics", run.node.admin())).await;
        let Self { mut node, secrets, answers, misplaced } = run;
        let (stdout, stderr) = node.end();
        let (secrets, answers) = (secrets.into_inner().unwrap(), answers.into_inner().unwrap());
        assert!(secrets.0.len() > 20, "too little was done for the search to mean anything: {}", secrets.0.len());
        let search = Search::of(&secrets);

        let content = keeper.content().await;
        // Something that has to be there shows that this is what it is taken for.
        for (place, hay, mark) in [
            ("the store", &content, "imported application"),
            ("standard output", &stdout, "127.0.0.1"),
            ("standard error", &stderr, "listening"),
            ("standard error", &stderr, "invalid_client"),
            ("standard error", &stderr, "DEBUG"),
            ("the metrics", &metrics, "introspect_requests_total"),
            ("the answers", &answers, "invalid_client"),
        ] {
            assert!(hay.windows(mark.len()).any(|part| part == mark.as_bytes()), "{place} does not say {mark}");
            assert_eq!(search.find(hay), [""; 0], "in {place}");
        }

        // A secret that really gets into the store is found: here as the name of a client.
        let run = Self::of(keeper.start(format));
        run.make("/admin/clients", &json!({"client_name": PLANTING})).await;
        run.make("/admin/clients", &json!({"client_name": WRONG})).await;
        let Self { mut node, .. } = run;
        node.end();
        assert!(search.find(&keeper.content().await).contains(&"a wrong secret, plain"));

        if let Some((redis, commands)) = keeper.redis {
            drop(redis);
            let commands = commands.join().unwrap();
            let (used, planted) = split_at_planting(&commands);
            assert!(used.len() > 1_000);
            let misplaced = misplaced.into_inner().unwrap();
            let rest = secrets.0.into_iter().filter(|(_, secret)| !misplaced.contains(secret)).collect();
            assert_eq!(Search::of(&Secrets(rest)).find(used), [""; 0], "in the commands to Redis");
            assert!(search.find(planted).contains(&"a wrong secret, plain"));
        }
    }

    fn keep(&self, name: &str, secret: &str) {
        self.secrets.lock().unwrap().add(name, secret);
    }

    /// Remembers what an answer hands out.
    fn keep_from(&self, answer: &Value) {
        for name in ["access_token", "refresh_token", "client_secret"] {
            if let Some(secret) = answer[name].as_str() {
                self.keep(&format!("a generated {name}"), secret);
            }
        }
    }

    async fn get(&self, url: &str) -> Vec<u8> {
        let request = Request::get(url).body(vec![]).unwrap();
        send(request, None).await.unwrap().into_body()
    }

    /// Sends a request, and keeps the answer for the search unless it hands out a secret as it should.
    async fn ask(&self, method: &str, url: &str, who: As<'_>, media: &str, body: String) -> (u16, String) {
        let method: Method = method.parse().unwrap();
        let mut request = Request::builder().method(method).uri(url).header("content-type", media);
        match who {
            As::Nobody => {}
            As::Raw(value) => request = request.header("authorization", value),
            As::Client(id, secret) => {
                let encode = introspectd::form::encode;
                let value = STANDARD.encode(format!("{}:{}", encode(id), encode(secret)));
                self.keep("a Basic header", &value);
                request = request.header("authorization", format!("Basic {value}"));
            }
        }
        let answer = tokio::time::timeout(PATIENCE, send(request.body(body.into()).unwrap(), None)).await.unwrap();
        let (head, body) = answer.unwrap().into_parts();
        let body = String::from_utf8(body).unwrap();
        let parsed: Value = serde_json::from_str(&body).unwrap_or_default();
        self.keep_from(&parsed);
        let discloses = ["access_token", "client_secret"].iter().any(|name| parsed[*name].is_string());
        let mut answers = self.answers.lock().unwrap();
        writeln!(answers, "{} {:?}", head.status, head.headers).unwrap();
        if !discloses || head.status.as_u16() >= 400 {
            answers.extend(body.bytes());
        }
        (head.status.as_u16(), body)
    }

    async fn public(&self, path: &str, who: As<'_>, body: &str) -> (u16, String) {
        self.ask("POST", &format!("{}{path}", self.node.public()), who, FORM, body.to_owned()).await
    }

    async fn operate(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let url = format!("{}{path}", self.node.admin());
        self.ask(method, &url, As::Client(OPERATOR.0, OPERATOR.1), JSON, body.to_owned()).await
    }

    async fn make(&self, path: &str, body: &Value) -> Value {
        let (status, text) = self.operate("POST", path, &body.to_string()).await;
        assert!(status < 300, "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    async fn use_it(&self) {
        let generated = self
            .make(
                "/admin/clients",
                &json!({
                    "client_name": "generated", "rights": ["introspect", "revoke"], "audiences": [AUDIENCE],
                    "scope": "read write", "grant_types": ["client_credentials"]
                }),
            )
            .await;
        self.make(
            "/admin/clients",
            &json!({
                "client_id": IMPORTED.0, "client_secret": IMPORTED.1, "rights": ["introspect"],
                "audiences": [AUDIENCE], "scope": "read", "grant_types": ["client_credentials"]
            }),
        )
        .await;
        let text = |value: &Value, name: &str| value[name].as_str().unwrap().to_owned();
        let (id, secret) = (text(&generated, "client_id"), text(&generated, "client_secret"));
        let owner = As::Client(&id, &secret);
        let issued = json!({
            "client_id": id, "sub": "alice", "username": "alice@example.com", "scope": "read", "aud": AUDIENCE,
            "refresh": true, "claims": {"department": "7"}
        });
        let grant = self.make("/admin/tokens", &issued).await;
        let (access, refresh) = (text(&grant, "access_token"), text(&grant, "refresh_token"));
        let import = json!({"client_id": id, "aud": AUDIENCE, "token": IMPORTED_TOKEN}).to_string();
        assert_eq!(self.operate("POST", "/admin/tokens", &import).await.0, 201);
        assert_eq!(self.operate("POST", "/admin/tokens", &import).await.0, 409);

        let imported = As::Client(IMPORTED.0, IMPORTED.1);
        let encode = introspectd::form::encode;
        let post = format!("client_id={}&client_secret={}", encode(IMPORTED.0), encode(IMPORTED.1));
        for (who, more) in [(owner, ""), (imported, ""), (As::Nobody, post.as_str())] {
            let asked = self.public("/token", who, &format!("grant_type=client_credentials&{more}")).await;
            assert_eq!(asked.0, 200, "{}", asked.1);
            for token in [&access, &refresh, IMPORTED_TOKEN] {
                let asked = self.public("/introspect", who, &format!("token={}&{more}", encode(token))).await;
                assert_eq!(asked.0, 200, "{}", asked.1);
            }
        }
        // A caller with a token for a login.
        let wanted = "grant_type=client_credentials&scope=introspectd:introspect+introspectd:revoke";
        let bearer: Value = serde_json::from_str(&self.public("/token", owner, wanted).await.1).unwrap();
        let bearer = format!("Bearer {}", text(&bearer, "access_token"));
        let asked = self.public("/introspect", As::Raw(&bearer), &format!("token={access}")).await;
        assert!(asked.1.contains("\"active\":true"), "{}", asked.1);

        let other = self.make("/admin/clients", &json!({"client_name": "confused"})).await;
        let grant = self.make("/admin/tokens", &json!({"client_id": other["client_id"], "aud": AUDIENCE})).await;
        let misplaced = [text(&other, "client_secret"), text(&grant, "access_token")];
        self.misplaced.lock().unwrap().extend(misplaced.clone());
        self.go_wrong(&id, &secret, &access, &misplaced).await;
        self.go_wrong_as_operator(&id, &misplaced[0], &access).await;
        self.break_the_protocol(&secret, &access).await;

        let rotated = self.make(&format!("/admin/clients/{id}/rotate-secret"), &json!({"overlap_seconds": 0})).await;
        let secret = text(&rotated, "client_secret");
        for (path, token) in [("/revoke", &refresh), ("/revoke", &access), ("/introspect", &access)] {
            let asked = self.public(path, As::Client(&id, &secret), &format!("token={token}")).await;
            assert_eq!(asked.0, 200, "{}", asked.1);
        }
        for action in ["revoke", "approve"] {
            self.make(&format!("/admin/clients/{id}/{action}"), &json!({})).await;
        }
        self.operate("GET", "/admin/clients", "").await;
        let gone = self.make("/admin/clients", &json!({"client_name": "to be deleted"})).await;
        self.operate("DELETE", &format!("/admin/clients/{}", text(&gone, "client_id")), "").await;
    }

    /// Requests of callers that are confused: secrets where they do not belong.
    async fn go_wrong(&self, id: &str, secret: &str, token: &str, misplaced: &[String; 2]) {
        let owner = As::Client(id, secret);
        let basic = |id: &str, secret: &str| format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
        for body in [
            format!("token={token}&token={token}"),
            format!("token={token}%zz"),
            token.to_owned(),
            format!("token={token}&token_type_hint={token}"),
            format!("token={token}&x={}", "a".repeat(70_000)),
            format!("token={token}&client_id={}", misplaced[0]),
            format!("token={token}&client_id={id}&client_secret={secret}"),
            format!("grant_type={token}"),
            format!("grant_type=client_credentials&scope={token}"),
            format!("grant_type=client_credentials&scope=%22{secret}"),
            format!("grant_type=client_credentials&resource={token}"),
            format!("grant_type=refresh_token&refresh_token={token}"),
            String::new(),
        ] {
            for path in ["/introspect", "/revoke", "/token"] {
                // The token is not to be revoked before the end.
                if path != "/revoke" || !body.starts_with(&format!("token={token}&token_type_hint")) {
                    self.public(path, owner, &body).await;
                }
            }
        }
        for (id, secret) in [(id, WRONG), (&misplaced[0], id), (&misplaced[1], WRONG), ("nobody", secret)] {
            for path in ["/introspect", "/revoke", "/token"] {
                self.public(path, As::Client(id, secret), &format!("token={token}")).await;
                let body = format!("client_id={id}&client_secret={secret}&token={token}");
                self.public(path, As::Nobody, &body).await;
            }
        }
        let queries = [
            format!("/introspect?token={token}"),
            format!("/token?grant_type=client_credentials&client_id={id}&client_secret={secret}"),
            format!("/introspect/{token}"),
            format!("/{token}?{secret}"),
            format!("/.well-known/{token}"),
        ];
        for method in ["GET", "POST", "DELETE", "OPTIONS", "BREW"] {
            for query in &queries {
                self.ask(method, &format!("{}{query}", self.node.public()), owner, FORM, String::new()).await;
            }
        }
        for value in [
            format!("Bearer {token}"),
            format!("Bearer {token}, {token}"),
            format!("Bearer {}", &token[..50]),
            format!("Digest username={id}, response={secret}"),
            format!("Basic {secret}:{token}"),
            format!("{token} {secret}"),
            basic(id, WRONG),
            basic(&misplaced[0], token),
        ] {
            self.public("/introspect", As::Raw(&value), &format!("token={token}")).await;
            self.public("/token", As::Raw(&value), "grant_type=client_credentials").await;
        }
        let url = format!("{}/introspect", self.node.public());
        self.ask("POST", &url, owner, JSON, json!({"token": token}).to_string()).await;
        self.ask("POST", &url, owner, token, format!("token={token}")).await;
    }

    /// Requests of an operator with a secret in each member that takes something else.
    async fn go_wrong_as_operator(&self, id: &str, secret: &str, token: &str) {
        for body in [
            format!(r#"{{"client_secret":"{secret}""#),
            format!(r#"{{"client_secret":"{secret}","client_secret":"{secret}"}}"#),
            format!(r#"["{secret}"]"#),
            format!(r#""{secret}""#),
            secret.to_owned(),
        ] {
            for path in ["/admin/clients", "/admin/tokens"] {
                assert_eq!(self.operate("POST", path, &body).await.0, 400, "{body}");
            }
        }
        let values = [json!(secret), json!([secret]), json!({"value": secret}), json!(format!("\"{secret}\"\u{1}"))];
        for value in values {
            for (path, members) in [
                (
                    "/admin/clients",
                    &[
                        "client_id",
                        "client_secret",
                        "token_endpoint_auth_method",
                        "grant_types",
                        "rights",
                        "access_token_lifetime",
                    ][..],
                ),
                (
                    "/admin/tokens",
                    &["client_id", "expires_in", "exp", "nbf", "format", "refresh", "refresh_expires_in", "cnf"][..],
                ),
            ] {
                for member in members {
                    // What is kept in the clear when an operator asks for it is no mistake: it has to be of that type.
                    let welcome = match *member {
                        "client_id" | "client_secret" if path == "/admin/clients" => value.is_string(),
                        "cnf" => value.is_object(),
                        _ => false,
                    };
                    if !welcome {
                        let mut body = json!({"client_id": id, "aud": AUDIENCE});
                        body[*member] = value.clone();
                        let (status, text) = self.operate("POST", path, &body.to_string()).await;
                        assert_eq!(status, 400, "{path} {body}: {text}");
                    }
                }
            }
        }
        let own = json!({"client_id": id, "token": token}).to_string();
        assert_eq!(self.operate("POST", "/admin/tokens", &own).await.0, 400);
        for path in [format!("/admin/clients/{secret}"), format!("/admin/clients?after={secret}&{token}")] {
            for method in ["GET", "PATCH", "DELETE"] {
                self.operate(method, &path, "{}").await;
            }
        }
        let url = format!("{}/admin/tokens", self.node.admin());
        for _ in 0..12 {
            self.ask("POST", &url, As::Client(OPERATOR.0, WRONG), JSON, "{}".to_owned()).await;
        }
        // After so many wrong secrets everybody has to wait for a moment, and then it goes on.
        let begun = std::time::Instant::now();
        while self.operate("GET", "/admin/clients", "").await.0 == 429 {
            assert!(begun.elapsed() < PATIENCE, "the wait after wrong secrets does not end");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Bytes that are hardly HTTP.
    async fn break_the_protocol(&self, secret: &str, token: &str) {
        let address = self.node.public().trim_start_matches("http://").to_owned();
        for bytes in [
            format!("{token}\r\n\r\n"),
            format!("{token} / HTTP/1.1\r\nhost: x\r\n\r\n"),
            format!("GET /{token} HTTP/9.9\r\n\r\n"),
            format!("GET / HTTP/1.1\r\nhost: {token}\r\n{token}\r\n\r\n"),
            format!("GET / HTTP/1.1\r\nhost: x\r\n{token} : {secret}\r\n\r\n"),
            format!("POST /introspect HTTP/1.1\r\nhost: x\r\ncontent-length: {token}\r\n\r\n"),
            format!("POST /introspect HTTP/1.1\r\nhost: x\r\ntransfer-encoding: {token}\r\n\r\n"),
            format!("GET / HTTP/1.1\r\nhost: x\r\nauthorization: \u{1}{secret}\r\n\r\n"),
            format!("GET /{token} HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "a".repeat(40_000)),
            format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", token.repeat(2_000)),
            format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{token}{token}"),
        ] {
            let address = address.clone();
            let answer = tokio::task::spawn_blocking(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                let mut answer = vec![];
                // It may hang up in the middle: that is an answer as well.
                let _ = stream.write_all(bytes.as_bytes());
                let _ = stream.shutdown(std::net::Shutdown::Write);
                let _ = stream.read_to_end(&mut answer);
                answer
            });
            let answer = answer.await.unwrap();
            self.answers.lock().unwrap().extend(answer);
        }
    }
}

/// Parts the commands where planting begins.
fn split_at_planting(commands: &[u8]) -> (&[u8], &[u8]) {
    let begun = commands.windows(PLANTING.len()).position(|part| part == PLANTING.as_bytes());
    commands.split_at(begun.expect("the mark is among the commands"))
}
