//! Requests that go wrong: secrets where they do not belong.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::signer::Signer;
use super::{AUDIENCE, As, FORM, JSON, OPERATOR, Run, WRONG};
use crate::process::PATIENCE;

impl Run {
    /// Requests of callers that are confused: secrets where they do not belong.
    pub(super) async fn go_wrong(&self, id: &str, secret: &str, token: &str, misplaced: &[String; 2]) {
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
    pub(super) async fn go_wrong_as_operator(&self, id: &str, secret: &str, token: &str) {
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
    pub(super) async fn break_the_protocol(&self, secret: &str, token: &str) {
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

    /// Assertions, proofs and signed tokens where something else belongs.
    pub(super) async fn go_wrong_with_signed_texts(&self, client: &Value, signer: &Signer) {
        let stranger = Signer::new();
        // Each has a client of its own: after too many failures, nothing is looked at any more.
        let cases: [fn(&Case<'_>) -> String; 9] = [
            |case| case.stranger.assertion(case.run, case.id),
            |case| case.signer.assertion(case.run, "nobody"),
            |case| format!("{}&{}", case.signer.assertion(case.run, case.id), case.assertion),
            |case| format!("{}&client_id={}&client_secret={WRONG}", case.assertion, case.id),
            |case| format!("{}x", case.assertion),
            |case| format!("client_assertion={}", case.text),
            |case| format!("client_assertion_type={}&client_assertion={}", case.text, case.token),
            |case| format!("client_id={}&client_secret={}", case.id, case.text),
            |case| format!("client_id={}&client_secret={}", case.id, case.token),
        ];
        for form in cases {
            let client = self.make("/admin/clients", client).await;
            let id = client["client_id"].as_str().unwrap();
            let grant = self.make("/admin/tokens", &json!({"client_id": id, "aud": AUDIENCE})).await;
            let token = grant["access_token"].as_str().unwrap();
            let assertion = signer.assertion(self, id);
            let text = assertion.rsplit('=').next().unwrap();
            let case = Case { run: self, signer, stranger: &stranger, id, token, assertion: &assertion, text };
            for path in ["/token", "/introspect", "/revoke"] {
                let form = format!("grant_type=client_credentials&token={token}&{}", form(&case));
                let (status, answer) = self.public(path, As::Nobody, &form).await;
                assert!(matches!(status, 400 | 401), "{path}: {answer}");
            }
            let proof = signer.proof(self);
            let url = format!("{}/token", self.node.public());
            for headers in [
                &[("dpop", token)][..],
                &[("dpop", text)],
                &[("dpop", proof.as_str()), ("dpop", proof.as_str())],
                &[("dpop", &proof[..proof.len() - 9])],
                &[("client-cert", token)],
            ] {
                let form = format!("grant_type=client_credentials&{}", signer.assertion(self, id));
                self.ask_with(headers, "POST", &url, As::Nobody, FORM, form).await;
            }
            for value in ["Bearer", "DPoP", "Basic"].map(|scheme| format!("{scheme} {token}")) {
                self.public("/introspect", As::Raw(&value), &format!("token={token}")).await;
            }
            for shown in [text, &proof, token] {
                let form = format!("token={shown}&{}", signer.assertion(self, id));
                self.public("/introspect", As::Nobody, &form).await;
            }
        }
    }

    /// Signed texts of all kinds where an operator names keys and tokens.
    pub(super) async fn go_wrong_with_keys(&self, signer: &Signer) {
        for shown in [signer.proof(self), signer.assertion(self, "nobody").rsplit('=').next().unwrap().to_owned()] {
            for (method, path) in [("GET", ""), ("DELETE", ""), ("POST", "/retire")] {
                let (status, _) = self.operate(method, &format!("/admin/keys/{shown}{path}"), "").await;
                assert!(matches!(status, 404 | 405), "{method} {path}: {status}");
            }
            let key = json!({"kty": "EC", "crv": "P-256", "x": shown, "y": shown, "d": shown});
            for (path, body) in [
                ("/admin/keys/rotate", json!({"algorithm": shown})),
                ("/admin/keys/rotate", json!({"use": shown})),
                ("/admin/clients", json!({"token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [key]}})),
                ("/admin/clients", json!({"jwks_uri": shown})),
                ("/admin/clients", json!({"token_endpoint_auth_signing_alg": shown})),
                ("/admin/clients", json!({"tls_client_auth_san_ip": shown})),
            ] {
                assert_eq!(self.operate("POST", path, &body.to_string()).await.0, 400, "{path} {body}");
            }
            for member in ["token", "jti", "grant_id"] {
                for action in ["revoke", "approve"] {
                    self.operate("POST", &format!("/admin/tokens/{action}"), &json!({member: shown}).to_string()).await;
                }
            }
        }
    }
}

/// What there is to put into a form.
struct Case<'a> {
    run: &'a Run,
    signer: &'a Signer,
    stranger: &'a Signer,
    id: &'a str,
    token: &'a str,
    assertion: &'a str,
    text: &'a str,
}
