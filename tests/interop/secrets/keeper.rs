//! Where a node keeps its data, and all that can be read there.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::JoinHandle;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use introspectd::token::keyring::{Key, KeyId, KeyRing};
use introspectd::token::sealing::Sealed;
use serde_json::{Value, json};

use super::{DIGEST_KEY, DIGEST_KEY_ID, ISSUER, OPERATOR, REDIS_PASSWORD};
use crate::process::{Node, PATIENCE, Redis};
use crate::scenario::Store;

/// Where the node keeps its data, and what can be read there.
pub(super) struct Keeper {
    pub(super) redis: Option<(Redis, JoinHandle<Vec<u8>>)>,
    folder: tempfile::TempDir,
}

impl Keeper {
    pub(super) fn new(store: Store) -> Self {
        let redis = matches!(store, Store::Redis).then(|| {
            let settings = ["--requirepass", REDIS_PASSWORD, "--appendonly", "yes", "--rdbcompression", "no"];
            let redis = Redis::start(&settings);
            let commands = watch(&redis);
            (redis, commands)
        });
        Self { redis, folder: tempfile::tempdir().unwrap() }
    }

    pub(super) fn start(&self, format: &str) -> Node {
        let declared = json!([{
            "client_id": OPERATOR.0, "client_secret": OPERATOR.1,
            "rights": ["introspect", "revoke", "issue", "admin"]
        }]);
        let keys = json!([{"id": DIGEST_KEY_ID, "secret": DIGEST_KEY}]).to_string();
        let data = self.folder.path().join("data").display().to_string();
        let clients = declared.to_string();
        let mut variables = vec![
            ("INTROSPECTD_CLIENTS", clients.as_str()),
            ("INTROSPECTD_ISSUER", ISSUER),
            ("INTROSPECTD_DRAIN__MIN", "0s"),
            ("INTROSPECTD_SIGNING__PUBLISH_AHEAD", "0s"),
            // So much goes wrong in a run that nothing would be looked at in the end.
            ("INTROSPECTD_AUTHENTICATION__FAILURES_PER_SOURCE", "100000"),
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
    pub(super) fn key(&self) -> String {
        match self.redis {
            Some(_) => DIGEST_KEY.to_owned(),
            None => fs::read_to_string(self.folder.path().join("data/digest.key")).unwrap().trim().to_owned(),
        }
    }

    /// All that is kept. With Redis: the keys and values as they are given out, and its files.
    pub(super) async fn content(&self) -> Vec<u8> {
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

impl Keeper {
    /// The signing keys that were made: what must not be found of each, with its `kid`. They are kept sealed under the
    /// digest key; `content` is what [`Keeper::content`] gave.
    pub(super) fn private_keys(&self, content: &[u8]) -> Vec<(String, Vec<u8>)> {
        const DOCUMENT: &[u8] = br#"{"keys":[{"kid":"#;
        let id = if self.redis.is_some() { DIGEST_KEY_ID } else { "00" };
        let key = Key::derive(KeyId::from_bytes(id.as_bytes()).unwrap(), self.key().as_bytes()).unwrap();
        let ring = KeyRing::new(key, vec![], false).unwrap();
        let mut parts = vec![];
        for at in (0..content.len()).filter(|&at| content[at..].starts_with(DOCUMENT)) {
            // What a file still holds of an older document may have been written over in part.
            let document = serde_json::Deserializer::from_slice(&content[at..]).into_iter::<Value>().next();
            let Some(Ok(document)) = document else { continue };
            for key in document["keys"].as_array().unwrap() {
                let text = |name: &str| key[name].as_str().unwrap();
                let sealed = Sealed {
                    key: KeyId::from_bytes(text("sealed_by").as_bytes()).unwrap(),
                    bytes: URL_SAFE_NO_PAD.decode(text("sealed")).unwrap(),
                };
                let context = format!("{} {}", text("use"), text("kid"));
                let pkcs8 = ring.open(context.as_bytes(), &sealed).unwrap();
                let name = format!("the private key {} for {}", text("kid"), text("alg"));
                parts.extend(secret_parts(&pkcs8).into_iter().map(|part| (name.clone(), part)));
                parts.push((name, pkcs8.to_vec()));
            }
        }
        parts.sort();
        parts.dedup();
        parts
    }
}

/// What of a PKCS #8 document nobody else may know: octets of a private key on a curve (RFC 5915, RFC 8410), and all
/// numbers of a key for RSA but the modulus, which comes first (RFC 8017 appendix A.1.2).
fn secret_parts(pkcs8: &[u8]) -> Vec<Vec<u8>> {
    fn read<'a>(mut der: &'a [u8], found: &mut Vec<(u8, &'a [u8])>) {
        while let [tag, first, rest @ ..] = der {
            let (length, rest) = match (first, rest) {
                (0..=127, rest) => (usize::from(*first), rest),
                (0x81, [length, rest @ ..]) => (usize::from(*length), rest),
                (0x82, [high, low, rest @ ..]) => (usize::from(u16::from_be_bytes([*high, *low])), rest),
                _ => return,
            };
            let Some((content, next)) = rest.split_at_checked(length) else { return };
            found.push((*tag, content));
            // A sequence, or a string of octets with another structure in it.
            if matches!(tag, 0x30 | 0x04) {
                read(content, found);
            }
            der = next;
        }
    }
    let mut found = vec![];
    read(pkcs8, &mut found);
    let octets = found.iter().filter(|(tag, content)| *tag == 0x04 && content.len() == 32);
    let numbers = found.iter().filter(|(tag, content)| *tag == 0x02 && content.len() >= 64).skip(1);
    octets.chain(numbers).map(|(_, content)| content.strip_prefix(&[0]).unwrap_or(content).to_vec()).collect()
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
