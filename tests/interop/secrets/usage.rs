//! A node in use as it is meant to be.

use serde_json::{Value, json};

use super::signer::Signer;
use super::{AUDIENCE, As, FORM, IMPORTED, IMPORTED_TOKEN, Run};

impl Run {
    pub(super) async fn use_it(&self) {
        let generated = self
            .make(
                "/admin/clients",
                &json!({
                    "client_name": "generated", "rights": ["introspect", "revoke"], "audiences": [AUDIENCE],
                    "scope": "read write", "grant_types": ["client_credentials", "refresh_token"]
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

        self.refresh(&generated, &issued).await;
        self.use_signed_texts().await;

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

    /// Refresh tokens and their successors, until a spent one is used again.
    async fn refresh(&self, owner: &Value, issued: &Value) {
        let owner = As::Client(owner["client_id"].as_str().unwrap(), owner["client_secret"].as_str().unwrap());
        let grant = self.make("/admin/tokens", issued).await;
        let text = |answer: &Value| answer["refresh_token"].as_str().unwrap().to_owned();
        let first = text(&grant);
        let mut current = first.clone();
        for _ in 0..3 {
            let form = format!("grant_type=refresh_token&refresh_token={current}");
            let (status, answer) = self.public("/token", owner, &form).await;
            assert_eq!(status, 200, "{answer}");
            current = text(&serde_json::from_str(&answer).unwrap());
        }
        for spent in [first, current] {
            let form = format!("grant_type=refresh_token&refresh_token={spent}");
            assert_eq!(self.public("/token", owner, &form).await.0, 400);
        }
    }

    /// Whatever is signed, here and there: assertions, proofs, access tokens of all algorithms, answers; and the keys.
    async fn use_signed_texts(&self) {
        let signer = Signer::new();
        let client = json!({
            "token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [signer.jwk()]}, "scope": "read write",
            "rights": ["introspect"], "audiences": [AUDIENCE], "grant_types": ["client_credentials"],
            "access_token_format": "jwt"
        });
        for (at, algorithm) in ["ES256", "EdDSA", "RS256", "PS256"].into_iter().enumerate() {
            let mut client = client.clone();
            client["access_token_signing_alg"] = json!(algorithm);
            // A key for RSA takes its time.
            client["introspection_signed_response_alg"] = json!(["ES256", "EdDSA"][at % 2]);
            let client = self.make("/admin/clients", &client).await;
            let id = client["client_id"].as_str().unwrap();
            self.live_by_assertions(&signer, id).await;
            let make = json!({"client_id": id, "sub": "alice", "aud": AUDIENCE, "refresh": true});
            let token = self.make("/admin/tokens", &make).await["access_token"].as_str().unwrap().to_owned();
            self.make("/admin/keys/rotate", &json!({"algorithm": algorithm})).await;
            self.make("/admin/tokens/revoke", &json!({"token": token})).await;
        }
        self.go_wrong_with_signed_texts(&client, &signer).await;
        self.go_wrong_with_keys(&signer).await;
        let keys = self.operate("GET", "/admin/keys", "").await.1;
        self.ask("GET", &format!("{}/jwks.json", self.node.public()), As::Nobody, FORM, String::new()).await;
        let keys: Value = serde_json::from_str(&keys).unwrap();
        let kid = |at: usize| keys["keys"][at]["kid"].as_str().unwrap();
        assert_eq!(self.operate("POST", &format!("/admin/keys/{}/retire", kid(0)), "").await.0, 200);
    }

    async fn live_by_assertions(&self, signer: &Signer, id: &str) {
        let proof = signer.proof(self);
        let url = format!("{}/token", self.node.public());
        let assertion = signer.assertion(self, id);
        let form = format!("grant_type=client_credentials&{assertion}");
        let headers = [("dpop", proof.as_str())];
        let (status, bound) = self.ask_with(&headers, "POST", &url, As::Nobody, FORM, form.clone()).await;
        assert!(status == 200 && bound.contains("DPoP"), "{bound}");
        // Both were used now.
        assert_eq!(self.ask_with(&headers, "POST", &url, As::Nobody, FORM, form).await.0, 401);
        let form = format!("grant_type=client_credentials&{}", signer.assertion(self, id));
        assert_eq!(self.ask_with(&headers, "POST", &url, As::Nobody, FORM, form).await.0, 400);
        let form = format!("grant_type=client_credentials&{}", signer.assertion(self, id));
        let (status, made) = self.public("/token", As::Nobody, &form).await;
        assert_eq!(status, 200, "{made}");
        let made: Value = serde_json::from_str(&made).unwrap();
        let token = made["access_token"].as_str().unwrap();
        for path in ["/introspect", "/revoke", "/introspect"] {
            let form = format!("token={token}&{}", signer.assertion(self, id));
            let (status, answer) = self.public(path, As::Nobody, &form).await;
            assert!(status == 200 && (path == "/revoke") != answer.starts_with("eyJ"), "{path}: {status} {answer}");
        }
    }
}
