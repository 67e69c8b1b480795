//! What a node says that it answers, held against what it answers: its description is valid OpenAPI, and schemathesis
//! finds nothing at either listener that is not in it.
//!
//! The same requests are made at each run; the long form of the tests makes twenty times as many.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Request;
use serde_json::{Value, json};

use crate::http::send;
use crate::process::{Node, PATIENCE, Redis, run};
use crate::scenario::Store;
use crate::scripts::{CHECKING, SOURCES, python_environment};

/// Examples of each operation, beside those that try every limit of every member.
const EXAMPLES: u32 = 10;
const EXAMPLES_OF_THE_LONG_FORM: u32 = 200;
/// How long it may take for one listener; on an idle machine, it takes half a minute.
const LIMIT: Duration = Duration::from_mins(8);
const LIMIT_OF_THE_LONG_FORM: Duration = Duration::from_hours(1);

/// Ways to be slowed down are off: they are tested elsewhere, and would be all that is left to see. A longer head is
/// not ours to answer: what reads heads refuses it without a body (tests/wire).
const SETTINGS: [(&str, &str); 13] = [
    ("INTROSPECTD_ACCOUNTS__ENABLED", "true"),
    ("INTROSPECTD_ACCOUNTS__REGISTRATIONS_PER_HOUR", "0"),
    ("INTROSPECTD_ACCOUNTS__FAILURES_PER_ACCOUNT_AND_SOURCE", "100"),
    ("INTROSPECTD_ACCOUNTS__FAILURES_PER_ACCOUNT", "100"),
    ("INTROSPECTD_ACCOUNTS__FAILURES_PER_SOURCE", "1000000"),
    ("INTROSPECTD_ACCOUNTS__FAILURES_PER_MINUTE", "1000000"),
    ("INTROSPECTD_ACCOUNTS__HASH_MEMORY_KIB", "7168"),
    ("INTROSPECTD_ACCOUNTS__HASH_PASSES", "5"),
    ("INTROSPECTD_AUTHENTICATION__FAILURES_PER_CLIENT", "1000000"),
    ("INTROSPECTD_AUTHENTICATION__FAILURES_PER_SOURCE", "1000000"),
    ("INTROSPECTD_AUTHENTICATION__UNKNOWN_TOKENS_PER_SECOND", "0"),
    ("INTROSPECTD_FORWARD_AUTH__ENABLED", "true"),
    ("INTROSPECTD_HTTP__MAX_HEADER_BYTES", "1048576"),
];

const PASSWORD: &str = "correct horse battery staple";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemathesis_finds_nothing_over_the_embedded_store() {
    check(Store::Embedded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemathesis_finds_nothing_over_redis() {
    check(Store::Redis).await;
}

#[test]
fn the_descriptions_are_valid_openapi() {
    let validator = python_environment().with_file_name("openapi-spec-validator");
    let folder = tempfile::tempdir().unwrap();
    for listener in ["--public", "--admin"] {
        let described = run(Command::new(env!("CARGO_BIN_EXE_introspectd")).args(["openapi", listener]), "", CHECKING);
        let file = folder.path().join("openapi.json");
        std::fs::write(&file, described).unwrap();
        let said = run(Command::new(&validator).arg(&file), "python3-venv", CHECKING);
        assert!(said.contains("OK"), "{said}");
    }
}

async fn check(store: Store) {
    let interpreter = python_environment();
    let redis = matches!(store, Store::Redis).then(|| Redis::start(&[]));
    let url = redis.as_ref().map(|redis| format!("redis://127.0.0.1:{}", redis.port()));
    let mut arguments = vec!["--dev"];
    arguments.extend(url.iter().flat_map(|url| ["--redis", url]));
    let node = Node::start(&arguments, &SETTINGS);
    let operator = Operator::of(&node);
    let (environment, there) = operator.fill().await;
    let long = std::env::var_os("INTROSPECTD_TEST_FULL").is_some();
    let (examples, limit) = if long { (EXAMPLES_OF_THE_LONG_FORM, LIMIT_OF_THE_LONG_FORM) } else { (EXAMPLES, LIMIT) };
    let sources = Path::new(SOURCES).join("python");
    for (name, url) in [("public", node.public()), ("admin", node.admin())] {
        let folder = tempfile::tempdir().unwrap();
        let told: PathBuf = folder.path().join("told.json");
        let config = sources.join("schemathesis.toml");
        let text = json!({
            "name": name, "url": url, "config": config, "examples": examples, "environment": environment,
            "there": there,
        });
        std::fs::write(&told, text.to_string()).unwrap();
        let mut command = Command::new(&interpreter);
        command.env_remove("REQUESTS_CA_BUNDLE").env_remove("CURL_CA_BUNDLE").env("PYTHONDONTWRITEBYTECODE", "1");
        let said = run(command.arg(sources.join("contract.py")).arg(&told), "python3", limit);
        // A run that has found nothing to ask finds nothing wrong.
        assert!(said.contains("No issues found"), "{said}");
    }
}

/// Who fills the node.
struct Operator<'a> {
    node: &'a Node,
    authorization: String,
}

impl<'a> Operator<'a> {
    fn of(node: &'a Node) -> Self {
        let operator = &node.line["clients"]["operator"];
        let pair =
            format!("{}:{}", operator["client_id"].as_str().unwrap(), operator["client_secret"].as_str().unwrap());
        Self { node, authorization: format!("Basic {}", STANDARD.encode(pair)) }
    }

    async fn create(&self, url: String, body: &Value) -> Value {
        let request = Request::post(&url)
            .header("authorization", &self.authorization)
            .header("content-type", "application/json")
            .body(body.to_string().into())
            .unwrap();
        let answer = tokio::time::timeout(PATIENCE, send(request, None)).await.unwrap().unwrap();
        let text = String::from_utf8_lossy(answer.body()).into_owned();
        assert_eq!(answer.status(), 201, "{url}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// What each kind of caller shows, and what there is to be named in requests.
    async fn fill(&self) -> (Value, Value) {
        let (node, admin, public) = (&self.node.line, self.node.admin(), self.node.public());
        let user = |name: &str| json!({"username": name, "email": format!("{name}@example.org"), "password": PASSWORD});
        let alice = self.create(format!("{public}/register"), &user("alice")).await;
        let bob = self.create(format!("{admin}/admin/users"), &user("bob")).await;
        let metadata = json!({
            "grant_types": ["client_credentials", "refresh_token"], "scope": "read write", "rights": ["introspect"],
            "audiences": ["https://api.example.com"],
        });
        let client = self.create(format!("{admin}/admin/clients"), &metadata).await["client_id"].clone();
        let application = &node["clients"]["application"]["client_id"];
        let grant = json!({"client_id": application, "refresh": true, "sub": "alice", "scope": "read"});
        let grant = self.create(format!("{admin}/admin/tokens"), &grant).await;
        let environment = json!({
            "CLIENT_ID": node["clients"]["operator"]["client_id"],
            "CLIENT_SECRET": node["clients"]["operator"]["client_secret"],
            "USER_TOKEN": alice["access_token"],
            "REFRESH_TOKEN": alice["refresh_token"],
            "CALLER_TOKEN": node["tokens"]["active"],
        });
        let tokens = json!([node["tokens"]["active"], node["tokens"]["revoked"], grant["access_token"]]);
        let new_users = ["carol", "dave", "erin"].map(user);
        let new_registrations = ["frank", "grace", "heidi"].map(user);
        let there = json!({
            "parameters": {"client_id": [client], "user_id": [bob["id"]]},
            "bodies": {
                "NewClient": [metadata, {}, {"client_name": "App", "access_token_format": "jwt"}],
                "ClientMetadata": [{"client_name": "App"}, {"scope": "read", "rights": []}],
                "NewUser": new_users,
                "Registration": new_registrations,
            },
            "members": {
                "IntrospectionForm": {"token": tokens, "scope": ["read", "write"]},
                "RevocationForm": {"token": tokens},
                "BatchQuestion": {"tokens": [tokens, []]},
                "TokenForm": {"refresh_token": [grant["refresh_token"]], "scope": ["read", "write"]},
                "IssueRequest": {"client_id": [application, client]},
                "TokenReference": {
                    "token": [grant["access_token"]], "jti": [grant["jti"]], "grant_id": [grant["grant_id"]],
                },
                "Login": {"username": ["alice", "bob@example.org"], "password": [PASSWORD]},
                "PasswordChange": {"old_password": [PASSWORD]},
            },
        });
        (environment, there)
    }
}
