//! The search: secrets in every form in which they could be written down.

use std::collections::HashMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;

use super::{DIGEST_KEY, IMPORTED, IMPORTED_TOKEN, REDIS_PASSWORD, WRONG};

/// What must not be found: each secret with a name that may be printed.
#[derive(Default)]
pub(super) struct Secrets {
    /// Texts.
    pub(super) texts: Vec<(String, String)>,
    /// What is not a text, as private keys are.
    pub(super) bytes: Vec<(String, Vec<u8>)>,
}

impl Secrets {
    pub(super) fn add(&mut self, name: &str, secret: &str) {
        if !self.texts.iter().any(|(_, known)| known == secret) {
            self.texts.push((name.to_owned(), secret.to_owned()));
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
    let percent = escaped(|text, byte| write!(text, "%{byte:02X}").unwrap());
    let inside = |quoted: &str| quoted[1..quoted.len() - 1].to_owned();
    let form = introspectd::form::encode(secret);
    let forms = [
        ("plain", secret.to_owned()),
        ("in JSON", inside(&json!(secret).to_string())),
        ("as Rust prints it", inside(&format!("{secret:?}"))),
        ("in a form", form.clone()),
        ("in a form, in small letters", form.to_lowercase()),
        ("in a URL", form.replace('+', "%20")),
        ("escaped throughout", percent.clone()),
        ("escaped throughout, in small letters", percent.to_lowercase()),
    ];
    let mut forms: Vec<(&'static str, Vec<u8>)> = forms.into_iter().map(|(name, text)| (name, text.into())).collect();
    forms.extend(forms_of_bytes(bytes));
    if let Some(random) = random_part(secret) {
        let raw = URL_SAFE_NO_PAD.decode(random).unwrap();
        forms.push(("the random part", random.into()));
        forms.push(("the random part in hexadecimal", hexadecimal(&raw).into()));
        forms.push(("the random part as bytes", raw));
    }
    forms
}

/// The same of what is not a text.
fn forms_of_bytes(bytes: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let lower = hexadecimal(bytes);
    let mut forms = vec![
        ("as bytes", bytes.to_vec()),
        ("in hexadecimal, in capitals", lower.to_uppercase().into()),
        ("in hexadecimal", lower.into()),
    ];
    // In the middle of something longer, base64 looks different by what is before it: three cases.
    for before in 0..3 {
        let text = STANDARD.encode([&vec![0; before], bytes].concat());
        // Characters that hold bits of the neighbours are left out.
        let kept = text[(before * 8).div_ceil(6)..(before + bytes.len()) * 8 / 6].to_owned();
        forms.push(("in base64url", kept.replace('+', "-").replace('/', "_").into()));
        forms.push(("in base64", kept.into()));
    }
    forms
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// What of a token made here nobody can guess. A refresh token begins with the id of its grant, which is no secret; of
/// the 24 random bytes behind it, these characters hold all but the first two. Of a signed text it is the signature:
/// what was signed may be said elsewhere.
fn random_part(token: &str) -> Option<&str> {
    if token.starts_with("itd_at_") {
        Some(&token[9..52])
    } else if token.starts_with("eyJ") {
        token.rsplit('.').next()
    } else {
        token.starts_with("itd_rt_").then(|| &token[33..63])
    }
}

/// Finds any form of any secret in one pass: by its first bytes, then by all.
pub(super) struct Search(HashMap<[u8; Self::KEY], Vec<Needle>>);

struct Needle {
    what: String,
    bytes: Vec<u8>,
}

impl Search {
    const KEY: usize = 8;

    pub(super) fn of(secrets: &Secrets) -> Self {
        let mut needles: HashMap<[u8; Self::KEY], Vec<Needle>> = HashMap::new();
        let texts = secrets.texts.iter().map(|(name, secret)| (name, forms(secret)));
        let others = secrets.bytes.iter().map(|(name, secret)| (name, forms_of_bytes(secret)));
        for (name, forms) in texts.chain(others) {
            for (form, bytes) in forms {
                let key = *bytes.first_chunk().expect("a secret of the tests is not this short");
                needles.entry(key).or_default().push(Needle { what: format!("{name}, {form}"), bytes });
            }
        }
        Self(needles)
    }

    /// What of it is in there.
    pub(super) fn find(&self, hay: &[u8]) -> Vec<&str> {
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
    let signed = format!("eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.{}", URL_SAFE_NO_PAD.encode([0x5A; 64]));
    for secret in [IMPORTED.1, IMPORTED_TOKEN, WRONG, DIGEST_KEY, REDIS_PASSWORD, &token, &signed] {
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
    let key: Vec<u8> = (0..32).map(|byte| byte * 7).collect();
    let search = Search::of(&Secrets { texts: vec![], bytes: vec![("it".to_owned(), key.clone())] });
    for (form, bytes) in forms_of_bytes(&key) {
        let found = search.find(&[b"before ".as_slice(), &bytes].concat()).join(" ");
        assert!(found.contains(form), "{form}: {found}");
    }
}
