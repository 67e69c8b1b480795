//! `import`: files of clients and tokens, good and hostile, once and again, and interrupted.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use introspectd::token::time::Clock;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::verbs::Service;
use crate::support::program::Finished;

/// A folder for files, and the service that they are for.
struct Place {
    service: Service,
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { service: Service::start(), folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Imports, and gives the sum and the exit code.
    fn import(&self, arguments: &[&str]) -> (Value, Finished) {
        let finished = self.service.run(&[&["import"], arguments, &["--format", "json"]].concat());
        (serde_json::from_str(&finished.stdout).unwrap_or_default(), finished)
    }

    /// From now on the first answers are lost on their way.
    fn lose_answers(&mut self, server: SocketAddr, lost: usize) {
        let address = losing_answers(server, lost);
        self.service.environment[1] = ("ITD_ADMIN_URL", format!("http://{address}"));
    }

    fn is_active(&self, token: &str) -> bool {
        self.service.json(&["token", "introspect", token])["active"].as_bool().unwrap()
    }
}

fn now() -> u64 {
    Clock::System.now().seconds().0
}

fn token(name: &str) -> Value {
    json!({
        "active": true, "token": name, "client_id": "dev-application", "sub": "alice", "scope": "read",
        "aud": ["https://api.example.com"], "iat": now() / 1000 * 1000 - 5000, "exp": now() / 1000 * 1000 + 6000
    })
}

/// Each of them with this behind it.
fn joined(lines: &[Value], end: &str) -> String {
    let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
    lines.join(end) + end
}

fn counts(summary: &Value) -> [u64; 7] {
    ["lines", "imported", "unchanged", "revoked", "expired", "inactive", "refused"]
        .map(|name| summary[name].as_u64().unwrap_or_else(|| panic!("{summary}")))
}

#[test]
fn tokens_are_imported_once_and_what_was_revoked_stays_so() {
    let place = Place::new();
    let expired = json!({"token": "expired-token", "client_id": "dev-application", "exp": 1_000_000_000});
    let inactive = json!({"token": "inactive-token", "active": false});
    let mut lines: Vec<Value> = (0..5).map(|number| token(&format!("legacy-{number}"))).collect();
    lines.extend([expired, inactive]);
    // As editors of Windows write it.
    let text = format!("\u{feff}{}", joined(&lines, "\r\n\n"));
    let file = place.write("tokens.jsonl", &text);
    let (summary, finished) = place.import(&["tokens", "--dry-run", &file]);
    assert_eq!((counts(&summary), finished.code), ([14, 5, 0, 0, 1, 1, 0], Some(0)), "{finished:?}");
    assert!(!place.is_active("legacy-0"), "nothing was done");
    let (summary, finished) = place.import(&["tokens", &file]);
    assert_eq!((counts(&summary), finished.code), ([14, 5, 0, 0, 1, 1, 0], Some(0)), "{finished:?}");
    assert!((0..5).all(|number| place.is_active(&format!("legacy-{number}"))));
    assert!(finished.stderr.contains("5 imported") && !finished.stderr.contains('\x1b'), "{}", finished.stderr);
    place.service.json(&["token", "revoke", "legacy-1"]);
    let from_input = place.service.run_with(&["import", "tokens", "-", "--format", "json"], &text);
    assert_eq!(counts(&from_input.json()), [14, 0, 4, 1, 1, 1, 0]);
    place.service.json(&["revoke", "--user", "alice"]);
    let (summary, _) = place.import(&["tokens", &file]);
    assert_eq!(counts(&summary), [14, 0, 0, 5, 1, 1, 0], "{summary}");
    assert!((0..5).all(|number| !place.is_active(&format!("legacy-{number}"))), "nothing came back");
}

#[test]
fn hostile_lines_are_told_by_number_and_member_and_never_by_value() {
    let place = Place::new();
    let secret = "secret-of-somebody";
    let with = |name: &str, value: Value| {
        let mut line = token(secret);
        line[name] = value;
        line.to_string()
    };
    let lines: Vec<(Option<&str>, Vec<u8>)> = vec![
        (None, secret.as_bytes().to_vec()),
        (None, format!("[\"{secret}\"]").into_bytes()),
        (None, b"\xff\xfe".to_vec()),
        (None, format!("{{\"token\":\"{secret}\"}},{{}}").into_bytes()),
        (None, format!("{{\"token\":\"{secret}\",\"token\":\"x\"}}").into_bytes()),
        (None, format!("{{\"token\":\"{}\"}}", secret.repeat(10_000)).into_bytes()),
        (None, "[".repeat(100_000).into_bytes()),
        (None, with(secret, json!(1)).into_bytes()),
        (None, b"]}],\"dry_run\":true}".to_vec()),
        (Some("exp"), with("exp", json!("tomorrow")).into_bytes()),
        (Some("exp"), with("exp", json!(now() + 20 * 365 * 86_400)).into_bytes()),
        (Some("client_id"), with("client_id", json!("nobody")).into_bytes()),
        (Some("token_use"), with("token_use", json!("refresh_token")).into_bytes()),
        (Some("token"), with("token", json!("sp ace d")).into_bytes()),
    ];
    let mut text = lines.iter().map(|(_, line)| line.clone()).collect::<Vec<_>>().join(&b'\n');
    text.extend(format!("\n{}", token("good-token")).into_bytes());
    let file = place.write("hostile.jsonl", &text);
    let errors = place.path("errors.jsonl");
    let (summary, finished) = place.import(&["tokens", "--errors", &errors, &file]);
    let refused = lines.len() as u64;
    assert_eq!((counts(&summary), finished.code), ([refused + 1, 1, 0, 0, 0, 0, refused], Some(1)), "{finished:?}");
    let told = place.read("errors.jsonl");
    for (place, (line, (member, _))) in told.lines().zip(&lines).enumerate() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!((&line["line"], line["member"].as_str()), (&json!(place + 1), *member), "{line}");
        assert!(!line["reason"].as_str().unwrap().is_empty());
    }
    assert_eq!(told.lines().count(), lines.len());
    // Without a file for them, they are told where the progress is.
    let (_, again) = place.import(&["tokens", &file]);
    assert!(again.stderr.contains("line 10: exp: invalid type: string, expected u64"), "{}", again.stderr);
    for text in [&told, &finished.stdout, &finished.stderr, &again.stdout, &again.stderr, &place.service.program.log()]
    {
        assert!(!text.contains(secret) && !text.contains("good-token"), "{text}");
    }
    assert!(place.is_active("good-token") && !place.is_active(secret));
    let many = place.write("many.jsonl", "not JSON\n".repeat(5000));
    let (summary, finished) = place.import(&["tokens", &many]);
    assert_eq!(summary["refused"], 5000);
    assert!(finished.stderr.lines().count() < 110, "what is told is bounded");
}

#[test]
fn calls_that_cannot_be_meant_are_refused() {
    let place = Place::new();
    let file = place.write("tokens.jsonl", format!("{}\n", token("legacy-token")));
    let missing = place.path("missing.jsonl");
    for arguments in [
        &["tokens"][..],
        &["tokens", &missing],
        &["tokens", "--batch-size", "0", &file],
        &["tokens", "--batch-size", "1001", &file],
        &["tokens", "--parallel", "17", &file],
        &["tokens", "--dry-run", "--resume", &missing, &file],
        &["tokens", "--errors", "/nowhere/at/all", &file],
        &["clients", "--from", "elsewhere", &file],
        &["users", &file],
    ] {
        let (_, finished) = place.import(arguments);
        assert_eq!(finished.code, Some(2), "{arguments:?}: {finished:?}");
    }
    let refused = place.service.program.client("application");
    let environment: Vec<(&str, &str)> =
        place.service.environment.iter().map(|(name, value)| (*name, &**value)).collect();
    let environment = [&environment[..2], &[("ITD_CLIENT_ID", refused.0), ("ITD_CLIENT_SECRET", refused.1)]].concat();
    let finished = crate::support::program::run(&["import", "tokens", &file], &environment);
    assert_eq!(finished.code, Some(1));
    assert!(finished.stderr.contains("403") && !finished.stderr.contains("legacy-token"), "{}", finished.stderr);
}

#[test]
fn an_import_that_was_killed_goes_on_where_it_was() {
    const LINES: usize = 20_000;
    let place = Place::new();
    let text = joined(&(0..LINES).map(|number| token(&format!("legacy-{number:05}"))).collect::<Vec<_>>(), "\n");
    let file = place.write("tokens.jsonl", &text);
    let checkpoint = place.path("checkpoint");
    let mut command = Command::new(env!("CARGO_BIN_EXE_introspectd"));
    let environment = place.service.environment.iter().map(|(name, value)| (*name, &**value));
    command.args(["import", "tokens", "--batch-size", "100", "--resume", &checkpoint, &file]).envs(environment);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while !PathBuf::from(&checkpoint).exists() {
        assert!(begun.elapsed() < Duration::from_mins(1) && child.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let noted: Value = serde_json::from_str(&place.read("checkpoint")).unwrap();
    let done = noted["lines"].as_u64().unwrap();
    assert!((100..LINES as u64).contains(&done), "it was killed in the middle: {noted}");
    assert!(!place.read("checkpoint").contains("legacy"), "{noted}");
    // Revoked meanwhile: neither what was sent already nor what is sent again brings it back.
    place.service.json(&["token", "revoke", "legacy-00000"]);
    let (summary, finished) = place.import(&["tokens", "--resume", &checkpoint, &file]);
    let [lines, imported, unchanged, revoked, .., refused] = counts(&summary);
    assert_eq!((lines, imported + unchanged, revoked, refused), (LINES as u64, LINES as u64, 0, 0), "{finished:?}");
    assert!(unchanged <= 500, "what was under way, and no more, was sent again: {unchanged}");
    assert!(!place.is_active("legacy-00000"));
    for number in [1, 99, 100, 101, LINES / 2, LINES - 1] {
        assert!(place.is_active(&format!("legacy-{number:05}")), "{number}");
    }
    let (again, _) = place.import(&["tokens", "--resume", &checkpoint, &file]);
    assert_eq!(counts(&again), counts(&summary), "nothing is left to do");
    // Another file is not taken for the rest of this one.
    let other = place.write("other.jsonl", text.replacen("alice", "mallo", 1));
    let (_, finished) = place.import(&["tokens", "--resume", &checkpoint, &other]);
    assert_eq!(finished.code, Some(2), "{finished:?}");
    let (_, finished) = place.import(&["clients", "--resume", &checkpoint, &file]);
    assert_eq!(finished.code, Some(2), "{finished:?}");
    place.write("checkpoint", "{}");
    assert_eq!(place.import(&["tokens", "--resume", &checkpoint, &file]).1.code, Some(2));
}

/// A way to a server on which the answers to the first requests get lost.
fn losing_answers(server: SocketAddr, lost: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for (number, near) in listener.incoming().enumerate() {
            let (Ok(mut near), Ok(mut far)) = (near, TcpStream::connect(server)) else { return };
            let (mut asks, mut asked) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut asks, &mut asked));
            std::thread::spawn(move || {
                let mut answer = [0; 4096];
                while let Ok(length @ 1..) = far.read(&mut answer) {
                    if number < lost || near.write_all(&answer[..length]).is_err() {
                        break;
                    }
                }
                let _ = (near.shutdown(std::net::Shutdown::Both), far.shutdown(std::net::Shutdown::Both));
            });
        }
    });
    address
}

#[test]
fn an_answer_that_is_lost_is_asked_for_again() {
    let mut place = Place::new();
    let server: SocketAddr = place.service.program.text("/admin").strip_prefix("http://").unwrap().parse().unwrap();
    place.lose_answers(server, 3);
    let file = place.write("tokens.jsonl", joined(&[token("legacy-1"), token("legacy-2")], "\n"));
    let (summary, finished) = place.import(&["tokens", &file]);
    assert_eq!((counts(&summary), finished.code), ([2, 0, 2, 0, 0, 0, 0], Some(0)), "{finished:?}");
    assert!(place.is_active("legacy-1") && place.is_active("legacy-2"));
    // Of a client that has its secret nothing is lost either; a secret that was made is, and that is said.
    place.lose_answers(server, 1);
    let file = place.write("clients.jsonl", "{\"client_id\":\"known\",\"client_secret\":\"its-own-secret\"}\n");
    let (summary, finished) = place.import(&["clients", &file]);
    assert_eq!((counts(&summary), finished.code), ([1, 0, 1, 0, 0, 0, 0], Some(0)), "{finished:?}");
    place.lose_answers(server, 1);
    let file = place.write("made.jsonl", "{\"client_id\":\"made\"}\n");
    let secrets = place.path("secrets.jsonl");
    let (_, finished) = place.import(&["clients", "--secrets", &secrets, &file]);
    assert_eq!(finished.code, Some(1));
    assert!(finished.stderr.contains("not known whether made was created"), "{}", finished.stderr);
    let (summary, _) = place.import(&["clients", "--secrets", &secrets, &file]);
    assert_eq!(counts(&summary)[2], 1, "it is there");
    assert_eq!(place.read("secrets.jsonl"), "");
    // Nobody there at all: it gives up, and says so.
    place.service.environment[1] = ("ITD_ADMIN_URL", "http://127.0.0.1:9".to_owned());
    let (_, finished) = place.import(&["tokens", &place.path("made.jsonl")]);
    assert_eq!(finished.code, Some(1));
    assert!(finished.stderr.contains("cannot reach"), "{}", finished.stderr);
}

/// Whatever is in a file, the import takes no more memory than for another.
#[test]
fn memory_is_bounded_whatever_is_in_the_file() {
    let place = Place::new();
    let mut text = vec![b'['; 64 << 20];
    text.push(b'\n');
    text.extend(b"{}\n".repeat(100_000));
    let file = place.write("hostile.jsonl", &text);
    let mut command = Command::new("bash");
    // The whole address space, which has room for threads and the program itself.
    let program = env!("CARGO_BIN_EXE_introspectd");
    command.args(["-c", "ulimit -v 400000; exec \"$@\"", "bash", program, "import", "tokens", "--dry-run", &file]);
    command.envs(place.service.environment.iter().map(|(name, value)| (*name, &**value)));
    let output = command.stdin(Stdio::null()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("line 1: longer than 128 KiB") && told.contains("100001 lines were refused"), "{told}");
}

/// What `hydra list oauth2-clients --format json` prints: the members are those of Hydra's `OAuth2Client`.
fn hydra_list() -> Value {
    let usual = json!({
        "allowed_cors_origins": [], "audience": [], "client_name": "", "client_secret_expires_at": 0, "client_uri": "",
        "contacts": [], "created_at": "2024-05-01T10:00:00Z", "jwks": {}, "logo_uri": "", "metadata": {}, "owner": "",
        "policy_uri": "", "redirect_uris": null, "response_types": ["code"], "scope": "offline_access offline openid",
        "subject_type": "public", "token_endpoint_auth_method": "client_secret_basic",
        "token_endpoint_auth_signing_alg": "", "tos_uri": "", "updated_at": "2024-05-01T10:00:00Z",
        "userinfo_signed_response_alg": "none", "skip_consent": false, "request_object_signing_alg": "",
        "client_credentials_grant_access_token_lifespan": null, "refresh_token_grant_refresh_token_lifespan": null
    });
    let client = |members: Value| {
        let mut client = usual.clone();
        for (name, value) in members.as_object().unwrap() {
            client[name] = value.clone();
        }
        client
    };
    json!({
        "items": [
            client(json!({
                "client_id": "3f1c8a52-6c2e-4c5a-9a3e-0d6a1b8f7e11", "client_name": "Web shop",
                "grant_types": ["authorization_code", "refresh_token"], "audience": ["https://api.example.com"],
                "redirect_uris": ["https://shop.example.com/callback"]
            })),
            client(json!({
                "client_id": "batch", "grant_types": ["client_credentials"], "token_endpoint_auth_method":
                "client_secret_post", "client_credentials_grant_access_token_lifespan": "2h0m0s"
            })),
            client(json!({
                "client_id": "phone", "grant_types": ["authorization_code"], "token_endpoint_auth_method": "none"
            })),
            client(json!({
                "client_id": "signer", "grant_types": ["client_credentials"], "token_endpoint_auth_method":
                "private_key_jwt", "token_endpoint_auth_signing_alg": "EdDSA", "jwks": {"keys": [{
                    "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "use": "sig"
                }]}
            })),
            client(json!({
                "client_id": "fetcher", "grant_types": ["client_credentials"], "token_endpoint_auth_method":
                "private_key_jwt", "jwks_uri": "https://fetcher.example.com/jwks.json"
            })),
            client(json!({
                "client_id": "hashed", "client_secret": "$pbkdf2-sha256$i=25000,l=32$c2FsdA$aGFzaA"
            })),
        ],
        "is_last_page": true, "next_page_token": ""
    })
}

#[test]
fn clients_come_over_from_the_list_that_hydra_prints() {
    use std::os::unix::fs::PermissionsExt as _;

    let place = Place::new();
    let file = place.write("hydra.json", format!("{:#}", hydra_list()));
    let (summary, finished) = place.import(&["clients", "--from", "hydra", "--dry-run", &file]);
    assert_eq!((counts(&summary), finished.code), ([6, 4, 0, 0, 0, 0, 2], Some(1)), "{finished:?}");
    assert!(finished.stderr.contains("line 5: jwks_uri:"), "{}", finished.stderr);
    assert!(finished.stderr.contains("line 6: client_secret: is a hash"), "{}", finished.stderr);
    let (summary, finished) = place.import(&["clients", "--from", "hydra", &file]);
    assert_eq!(counts(&summary)[1], 2, "who has a secret needs a place for it: {finished:?}");
    let secrets = place.path("secrets.jsonl");
    // Made by somebody for whom everybody may read it.
    fs::write(&secrets, "").unwrap();
    fs::set_permissions(&secrets, fs::Permissions::from_mode(0o644)).unwrap();
    let (summary, finished) = place.import(&["clients", "--from", "hydra", "--secrets", &secrets, &file]);
    assert_eq!(counts(&summary), [6, 2, 2, 0, 0, 0, 2], "{finished:?}");
    assert_eq!(fs::metadata(&secrets).unwrap().permissions().mode() & 0o777, 0o600);
    let made: Vec<Value> =
        place.read("secrets.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut ids: Vec<&str> = made.iter().map(|line| line["client_id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["3f1c8a52-6c2e-4c5a-9a3e-0d6a1b8f7e11", "batch"]);
    for line in &made {
        let secret = line["client_secret"].as_str().unwrap();
        for text in [&finished.stdout, &finished.stderr, &place.service.program.log()] {
            assert!(!text.contains(secret), "{text}");
        }
    }
    let shop = place.service.json(&["client", "get", ids[0]]);
    assert_eq!((&shop["client_name"], &shop["grant_types"]), (&json!("Web shop"), &json!(["refresh_token"])));
    assert_eq!((&shop["audiences"], &shop["rights"]), (&json!(["https://api.example.com"]), &json!([])));
    assert_eq!(place.service.json(&["client", "get", "batch"])["access_token_lifetime"], json!(7200));
    // The secret that was made works, and a token of this client can be taken over.
    let mut line = token("ory_at_of-the-shop");
    line["client_id"] = json!(ids[0]);
    let tokens = place.write("tokens.jsonl", format!("{line}\n"));
    assert_eq!(counts(&place.import(&["tokens", &tokens]).0)[1], 1);
    let (summary, _) = place.import(&["clients", "--from", "hydra", "--secrets", &secrets, &file]);
    assert_eq!(counts(&summary), [6, 0, 4, 0, 0, 0, 2], "once more: nothing is changed");
    assert_eq!(place.read("secrets.jsonl").lines().count(), 2, "and no secret is made anew");
    assert!(place.is_active("ory_at_of-the-shop"));
    for (text, code) in [("{\"items\": 1", 2), ("[", 2), ("7", 1), ("{\"items\":[1]}", 1), ("[]", 0), ("", 0)] {
        let file = place.write("broken.json", text);
        assert_eq!(place.import(&["clients", "--from", "hydra", &file]).1.code, Some(code), "{text}");
    }
}

#[test]
fn clients_are_imported_line_by_line_and_another_of_the_same_id_is_told() {
    let place = Place::new();
    let lines = [
        json!({
            "client_id": "one", "client_secret": "one-secret-of-old", "scope": "read write", "rights": ["introspect"]
        }),
        json!({"client_id": "two", "token_endpoint_auth_method": "none"}),
        json!({"client_name": "nameless"}),
        json!({"client_id": "bad", "client_secret": "short"}),
        json!({"client_id": "bad", "client_secret": "long-enough", "grant_types": ["password"]}),
        json!({"client_id": "bad\u{e9}", "client_secret": "long-enough"}),
        json!({"client_id": "bad", "client_secret": "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"}),
        json!({"client_id": "bad", "token_endpoint_auth_method": "none", "client_secret": "long-enough"}),
    ];
    let text = joined(&lines, "\n");
    let file = place.write("clients.jsonl", format!("{text}{{\"client_id\":\"a\",\"client_id\":\"b\"}}\n[]\nx\n"));
    let checkpoint = place.path("checkpoint");
    let (summary, finished) = place.import(&["clients", "--resume", &checkpoint, &file]);
    assert_eq!((counts(&summary), finished.code), ([11, 2, 0, 0, 0, 0, 9], Some(1)), "{finished:?}");
    for secret in ["one-secret-of-old", "long-enough", "$2a$"] {
        assert!(!finished.stderr.contains(secret) && !finished.stdout.contains(secret), "{finished:?}");
    }
    let as_one: [(&str, &str); 2] = [("ITD_CLIENT_ID", "one"), ("ITD_CLIENT_SECRET", "one-secret-of-old")];
    let environment: Vec<(&str, &str)> =
        place.service.environment[..2].iter().map(|(name, value)| (*name, &**value)).collect();
    let asked = crate::support::program::run(
        &["token", "introspect", "no-such-token", "--format", "json"],
        &[&environment[..], &as_one].concat(),
    );
    assert_eq!(asked.json(), json!({"active": false}), "it has its secret");
    let changed = place.write("changed.jsonl", text.replacen("read write", "read", 1));
    let (summary, finished) = place.import(&["clients", &changed]);
    assert_eq!(counts(&summary)[1..3], [0, 1], "{summary}");
    assert!(finished.stderr.contains("line 1: scope: a client of this id is there already"), "{}", finished.stderr);
    assert_eq!(place.service.json(&["client", "get", "one"])["scope"], json!("read write"), "it is as it was");
}
