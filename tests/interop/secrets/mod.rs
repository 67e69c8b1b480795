//! What a run leaves behind holds no secret.
//!
//! A node is used in every way there is, also the wrong ones, with debug logs and a line for each request. Afterwards
//! every byte is searched that somebody other than the caller could read: the store's files and, with Redis, each value
//! and each command that it was sent; both output streams; the metrics; the answers that do not hand out a secret. None
//! of the tokens, secrets, passwords and keys may be there, whole or as their random part, plain or in any form of
//! `forms`. That such a search finds what is there is proved by planting: see `a_planted_secret_is_found` for each
//! form, and the end of [`Run::check`] for a real store.
//!
//! - [`search`] secrets in every form; [`keeper`] the store and what can be read of it, signing keys too
//! - [`usage`], [`misuse`] what is done with the node; [`signer`] a client with a key

mod keeper;
mod misuse;
mod search;
mod signer;
mod usage;

use std::io::Write as _;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, Request};
use serde_json::{Value, json};

use self::keeper::Keeper;
use self::search::{Search, Secrets};
use crate::http::send;
use crate::process::{Node, PATIENCE};
use crate::scenario::Store;

const OPERATOR: (&str, &str) = ("the-operator", "operator's secret: %+/\"\\ 0123456789");
const IMPORTED: (&str, &str) = ("imported application", "imported secret: %+/=-._~ \"quoted\" \\");
const IMPORTED_TOKEN: &str = "a-token.made~elsewhere/0123456789+abcdef==";
const WRONG: &str = "wrong-secret-that-somebody-mistyped";
const DIGEST_KEY: &str = "a digest key of the tests, which is 32 bytes and more";
const DIGEST_KEY_ID: &str = "t1";
const REDIS_PASSWORD: &str = "password-of-redis-0123456789";
/// The name of the client that is made before a secret is planted.
const PLANTING: &str = "now something is planted";
const AUDIENCE: &str = "https://api.example.com";
const ISSUER: &str = "https://as.example.com";

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
        let (mut secrets, answers) = (secrets.into_inner().unwrap(), answers.into_inner().unwrap());
        let count = secrets.texts.len();
        assert!(count > 40, "too little was done for the search to mean anything: {count}");
        let content = keeper.content().await;
        secrets.bytes = keeper.private_keys(&content);
        let count = secrets.bytes.len();
        assert!(count > 60, "too few keys were made for the search to mean anything: {count}");
        let search = Search::of(&secrets);

        // Something that has to be there shows that this is what it is taken for.
        for (place, hay, mark) in [
            ("the store", &content, "imported application"),
            ("standard output", &stdout, "127.0.0.1"),
            ("standard error", &stderr, "listening"),
            ("standard error", &stderr, "invalid_client"),
            ("standard error", &stderr, "DEBUG"),
            ("the metrics", &metrics, "introspect_requests_total"),
            ("the answers", &answers, "invalid_client"),
            ("the answers", &answers, "invalid_dpop_proof"),
            ("the answers", &answers, "\"kid\""),
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
            secrets.texts.retain(|(_, secret)| !misplaced.contains(secret));
            assert_eq!(Search::of(&secrets).find(used), [""; 0], "in the commands to Redis");
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
        self.ask_with(&[], method, url, who, media, body).await
    }

    /// The same with further headers.
    async fn ask_with(
        &self,
        headers: &[(&str, &str)],
        method: &str,
        url: &str,
        who: As<'_>,
        media: &str,
        body: String,
    ) -> (u16, String) {
        let method: Method = method.parse().unwrap();
        let mut request = Request::builder().method(method).uri(url).header("content-type", media);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
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
        let signed = body.starts_with("eyJ");
        if signed {
            self.keep("a signed answer", &body);
        }
        let discloses = signed || ["access_token", "client_secret"].iter().any(|name| parsed[*name].is_string());
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
}

/// Parts the commands where planting begins.
fn split_at_planting(commands: &[u8]) -> (&[u8], &[u8]) {
    let begun = commands.windows(PLANTING.len()).position(|part| part == PLANTING.as_bytes());
    commands.split_at(begun.expect("the mark is among the commands"))
}
