//! What every client library meets: a node over TLS with clients and tokens of all kinds in it, described in one JSON
//! object that the library's program reads.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Request;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http::send;
use crate::process::{Node, PATIENCE, Redis};

/// The store under the node.
#[derive(Clone, Copy)]
pub(crate) enum Store {
    Embedded,
    Redis,
}

/// The ways in which a secret can be sent.
const WAYS: [&str; 2] = ["basic", "post"];
const AUDIENCE: &str = "https://api.example.com";
const OTHER_AUDIENCE: &str = "urn:example:orders";
/// What certificates of clients say.
const CERTIFICATE_NAME: &str = "app.example.com";

/// A node with everything in it. Ended when it is dropped.
pub(crate) struct Scenario {
    /// What the clients are told.
    pub(crate) description: Value,
    /// The certificate of the authority that signed the node's, in PEM.
    pub(crate) ca: String,
    folder: TempDir,
    _node: Node,
    _redis: Option<Redis>,
}

impl Scenario {
    /// Starts a node and fills it.
    pub(crate) async fn start(store: Store) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let ca = issue_certificates(&folder);
        let redis = matches!(store, Store::Redis).then(|| Redis::start(&[]));
        let url = redis.as_ref().map(|redis| format!("redis://127.0.0.1:{}", redis.port()));
        let mut arguments = vec!["--dev"];
        arguments.extend(url.iter().flat_map(|url| ["--redis", url]));
        let node = Node::start(
            &arguments,
            &[
                ("INTROSPECTD_PUBLIC__TLS_CERTIFICATE_FILE", &path("server.pem")),
                ("INTROSPECTD_PUBLIC__TLS_KEY_FILE", &path("server.key")),
                ("INTROSPECTD_PUBLIC__TLS_CLIENT_CERTIFICATES", "optional"),
                ("INTROSPECTD_AUTHENTICATION__CLIENT_CA_FILE", &path("ca.pem")),
                // A rotation takes effect at once: the programs look on.
                ("INTROSPECTD_SIGNING__PUBLISH_AHEAD", "0s"),
            ],
        );
        let operator = Operator::of(&node);
        let mut description = operator.fill().await;
        description["issuer"] = json!(node.public());
        description["ca_file"] = json!(path("ca.pem"));
        // Programs that make keys register them by themselves.
        description["admin"] = json!({"url": node.admin(), "authorization": operator.authorization});
        let certificate =
            |name: &str| json!({"certificate": path(&format!("{name}.pem")), "key": path(&format!("{name}.key"))});
        description["certificates"] = json!({
            "signed": certificate("signed"),
            "self_signed": certificate("self_signed"),
            "strange": certificate("strange"),
            "name": CERTIFICATE_NAME,
        });
        std::fs::write(folder.path().join("scenario.json"), description.to_string()).unwrap();
        Self { description, ca, folder, _node: node, _redis: redis }
    }

    /// The file that holds the description.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("scenario.json")
    }

    /// The authority's certificate as a file.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }
}

/// An authority, a certificate from it for this machine, and certificates of clients: one of the authority, one that
/// signed itself, and one of another authority that says the same of itself.
pub(crate) fn issue_certificates(folder: &TempDir) -> String {
    let write = |name: &str, pem: String| std::fs::write(folder.path().join(name), pem).unwrap();
    let authority = |name: &str| {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Named otherwise than the certificate, which else looks as if it had signed itself.
        authority.distinguished_name.push(DnType::CommonName, name);
        CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap()
    };
    let issuer = authority("the authority of a test");
    let key = KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    write("ca.pem", issuer.pem());
    write("server.pem", leaf.pem());
    write("server.key", key.serialize_pem());

    let strange = authority("another authority");
    for (name, signer) in [("signed", Some(&issuer)), ("self_signed", None), ("strange", Some(&strange))] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![CERTIFICATE_NAME.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = signer.map_or_else(|| params.self_signed(&key), |signer| params.signed_by(&key, signer));
        write(&format!("{name}.pem"), certificate.unwrap().pem());
        write(&format!("{name}.key"), key.serialize_pem());
    }
    issuer.pem()
}

/// Who fills the node, through its admin listener.
struct Operator {
    admin: String,
    authorization: String,
    seeds: Value,
}

impl Operator {
    fn of(node: &Node) -> Self {
        let operator = &node.line["clients"]["operator"];
        let text = |name: &str| operator[name].as_str().unwrap();
        let pair = format!("{}:{}", text("client_id"), text("client_secret"));
        let authorization = format!("Basic {}", STANDARD.encode(pair));
        Self { admin: node.admin().to_owned(), authorization, seeds: node.line.clone() }
    }

    async fn create(&self, path: &str, body: &Value) -> Value {
        let request = Request::post(format!("{}{path}", self.admin))
            .header("authorization", &self.authorization)
            .header("content-type", "application/json")
            .body(body.to_string().into())
            .unwrap();
        let answer = tokio::time::timeout(PATIENCE, send(request, None)).await.unwrap().unwrap();
        let text = String::from_utf8_lossy(answer.body()).into_owned();
        assert_eq!(answer.status(), 201, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    async fn client(&self, metadata: Value) -> Value {
        let made = self.create("/admin/clients", &metadata).await;
        json!({"id": made["client_id"], "secret": made["client_secret"]})
    }

    async fn token(&self, owner: &Value, members: Value) -> Value {
        let mut body = json!({"client_id": owner["id"], "sub": "alice", "username": "alice@example.com"});
        for (name, value) in members.as_object().unwrap() {
            body[name] = value.clone();
        }
        self.create("/admin/tokens", &body).await
    }

    async fn fill(&self) -> Value {
        let resource_server = json!({"rights": ["introspect"], "audiences": [AUDIENCE]});
        let application = json!({
            "rights": ["introspect"], "audiences": [AUDIENCE], "scope": "read write",
            "grant_types": ["client_credentials"]
        });
        let owner = self
            .client(json!({
                "rights": ["introspect"], "audiences": [AUDIENCE], "scope": "read write",
                "grant_types": ["client_credentials", "refresh_token"]
            }))
            .await;
        let usual = json!({"scope": "read write", "aud": AUDIENCE});
        let with = |members: Value| {
            let mut all = usual.clone();
            all.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
            all
        };
        let public = self
            .client(json!({
                "token_endpoint_auth_method": "none", "scope": "read write", "grant_types": ["refresh_token"]
            }))
            .await;
        let of_public = self.token(&public, with(json!({}))).await["access_token"].clone();
        let access = async |members: Value| self.token(&owner, members).await["access_token"].clone();
        let (mut grants, mut rotations) = (json!({}), json!({}));
        for (way, who) in [(WAYS[0], &owner), (WAYS[1], &owner), ("none", &public)] {
            let grant = async || self.token(who, with(json!({"refresh": true}))).await;
            grants[way] = grant().await;
            rotations[way] = json!([grant().await, grant().await]);
        }
        json!({
            "audience": AUDIENCE,
            "other_audience": OTHER_AUDIENCE,
            "resource_server": self.client(resource_server.clone()).await,
            // Knows its secret, and has no right to ask.
            "stranger": self.client(json!({"audiences": [AUDIENCE]})).await,
            // Has tokens for which no scope is said.
            "without_scope": self.client(json!({
                "rights": ["introspect"], "audiences": [AUDIENCE], "grant_types": ["client_credentials"]
            })).await,
            "public": public,
            "owner": owner,
            "applications": self.applications(&application).await,
            "grants": grants,
            // To be refreshed: one until a spent token is used again, the other until it is revoked.
            "rotations": rotations,
            "tokens": {
                "active": access(with(json!({}))).await,
                "several_audiences": access(with(json!({"aud": [AUDIENCE, OTHER_AUDIENCE]}))).await,
                "no_scope": access(json!({"aud": AUDIENCE})).await,
                "imported": access(with(json!({"token": "made-elsewhere.1~+/=="}))).await,
                "expired": self.seeds["tokens"]["expired"],
                "revoked": self.seeds["tokens"]["revoked"],
                "of_public": of_public,
                // Ends in the middle of the run: the programs wait for it.
                "ending": access(with(json!({"expires_in": 3}))).await,
            },
            "unknown": [
                "not-a-token", "itd_at_", "with space + plus % percent \u{e9}",
                "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.",
            ],
        })
    }

    /// Applications whose identifiers and secrets need encoding, some of them more than others.
    ///
    /// `raw` says whether a library can log in that does not encode them in a Basic header: the first colon then ends
    /// the identifier, whatever was meant.
    async fn applications(&self, metadata: &Value) -> Vec<Value> {
        let mut applications = vec![];
        let made = self.client(metadata.clone()).await;
        applications.push(json!({"id": made["id"], "secret": made["secret"], "raw": true}));
        for (id, secret, raw) in [
            ("rs-1.a_b~c", "s-e.c_r~t-._~", true),
            ("1PpG/Q 1", "z/tZ9VwFZqApmIQ+ZH1I5pLk/uB4ud:X2/8bL+wfFTt1rFw=", true),
            ("app %+/= -._~", "s %+:/= -._~ secret", true),
            // Decodes to something else when it is not meant to be decoded.
            ("app%2Bplus", "100%25 of a%20secret%3A+", true),
            ("urn:example:app", "se:cr:et:value", false),
            ("%:%", "%+:/=%+:/=", false),
        ] {
            let mut metadata = metadata.clone();
            metadata["client_id"] = json!(id);
            metadata["client_secret"] = json!(secret);
            let made = self.client(metadata).await;
            assert_eq!(made, json!({"id": id, "secret": secret}));
            applications.push(json!({"id": id, "secret": secret, "raw": raw}));
        }
        applications
    }
}
