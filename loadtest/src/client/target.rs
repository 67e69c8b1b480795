//! Where requests go, and what is the same in all of them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Uri;

use super::form::encode;
use crate::workload::file::Authentication;

/// An endpoint, and how the caller proves who it is to it.
#[derive(Clone)]
pub(crate) struct Target {
    /// Host name or address.
    pub(crate) host: String,
    /// Port.
    pub(crate) port: u16,
    /// Host and port as they stand in the `Host` header.
    pub(crate) authority: String,
    /// Path and query, as they stand in the request line.
    pub(crate) path: String,
    /// The `Content-Type` of all requests.
    pub(crate) content_type: &'static str,
    /// The `Authorization` header, where there is one.
    pub(crate) authorization: Option<String>,
    /// What each form ends with.
    tail: String,
    /// The head up to the value of `Content-Length`.
    head: Vec<u8>,
    /// The same for the last request on a connection.
    last_head: Vec<u8>,
}

/// The secret half of what proves the caller. Never printed.
#[derive(Clone)]
pub(crate) enum Credentials {
    /// A client and its secret.
    Secret {
        /// The client.
        client_id: String,
        /// Its secret.
        secret: String,
    },
    /// A token of the caller's own.
    Bearer(String),
}

/// What forms are.
pub(crate) const FORM: &str = "application/x-www-form-urlencoded";
/// What the admin API takes.
pub(crate) const JSON: &str = "application/json";

impl Target {
    /// An introspection endpoint. What is wrong is said without the credentials.
    pub(crate) fn new(url: &Uri, method: Authentication, credentials: &Credentials) -> Result<Self, String> {
        let mut tail = String::new();
        let authorization = match (method, credentials) {
            (Authentication::ClientSecretBasic, Credentials::Secret { client_id, secret }) => {
                Some(basic(client_id, secret))
            }
            (Authentication::ClientSecretPost, Credentials::Secret { client_id, secret }) => {
                tail = format!("&client_id={}&client_secret={}", encode(client_id), encode(secret));
                None
            }
            (Authentication::Bearer, Credentials::Bearer(token)) => Some(format!("Bearer {token}")),
            (Authentication::Bearer, _) => return Err("bearer authentication needs --bearer-token-file".to_owned()),
            (_, Credentials::Bearer(_)) => return Err("a Bearer token needs --authentication bearer".to_owned()),
        };
        Self::build(url, FORM, authorization, tail)
    }

    /// An endpoint of the admin API.
    pub(crate) fn admin(url: &Uri, client_id: &str, secret: &str) -> Result<Self, String> {
        Self::build(url, JSON, Some(basic(client_id, secret)), String::new())
    }

    fn build(
        url: &Uri,
        content_type: &'static str,
        authorization: Option<String>,
        tail: String,
    ) -> Result<Self, String> {
        if url.scheme_str() != Some("http") {
            return Err("must begin with http://".to_owned());
        }
        let authority = url.authority().ok_or("names no host")?;
        if authority.as_str().contains('@') {
            return Err("credentials go into --client-id and --client-secret-file".to_owned());
        }
        if authorization.as_deref().is_some_and(|value| !value.bytes().all(|byte| (b' '..=b'~').contains(&byte))) {
            return Err("the credentials cannot be sent in a header".to_owned());
        }
        let mut target = Self {
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(80),
            authority: authority.to_string(),
            path: url.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
            content_type,
            authorization,
            tail,
            head: Vec::new(),
            last_head: Vec::new(),
        };
        target.head = target.head("POST", &target.path, "");
        target.last_head = target.head("POST", &target.path, "Connection: close\r\n");
        Ok(target)
    }

    /// Writes a request for a form over whatever is in `buffer`. Of the last on a connection it says so (RFC 9112
    /// section 9.6).
    pub(crate) fn write(&self, buffer: &mut Vec<u8>, form: &[u8], last: bool) {
        write_after(if last { &self.last_head } else { &self.head }, buffer, form, self.tail.as_bytes());
    }

    /// Writes a request of another method and path of the same server.
    pub(crate) fn write_to(&self, buffer: &mut Vec<u8>, method: &str, path: &str, body: &[u8]) {
        write_after(&self.head(method, path, ""), buffer, body, b"");
    }

    /// The whole form.
    pub(crate) fn body(&self, form: &[u8]) -> bytes::Bytes {
        [form, self.tail.as_bytes()].concat().into()
    }

    fn head(&self, method: &str, path: &str, more: &str) -> Vec<u8> {
        let authorization =
            self.authorization.as_ref().map_or_else(String::new, |value| format!("Authorization: {value}\r\n"));
        let Self { authority, content_type, .. } = self;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {authority}\r\n{authorization}Content-Type: {content_type}\r\n\
             Accept: application/json\r\n{more}Content-Length: "
        );
        head.into_bytes()
    }
}

fn write_after(head: &[u8], buffer: &mut Vec<u8>, body: &[u8], tail: &[u8]) {
    use std::io::Write as _;
    buffer.clear();
    buffer.extend_from_slice(head);
    write!(buffer, "{}", body.len() + tail.len()).expect("writing into memory cannot fail");
    buffer.extend_from_slice(b"\r\n\r\n");
    buffer.extend_from_slice(body);
    buffer.extend_from_slice(tail);
}

/// RFC 6749 section 2.3.1: form-encoded, then joined.
fn basic(client_id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{}:{}", encode(client_id), encode(secret))))
}

impl std::fmt::Debug for Target {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Target")
            .field("authority", &self.authority)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Credentials(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> Credentials {
        Credentials::Secret { client_id: "a b".to_owned(), secret: "c:d".to_owned() }
    }

    fn target(url: &str, method: Authentication, credentials: &Credentials) -> Result<Target, String> {
        Target::new(&url.parse().unwrap(), method, credentials)
    }

    fn written(target: &Target) -> String {
        let mut buffer = b"what was there".to_vec();
        target.write(&mut buffer, b"token=x", false);
        String::from_utf8(buffer).unwrap()
    }

    #[test]
    fn rfc6749_2_3_1_basic_credentials_are_form_encoded() {
        let target = target("http://[::1]:8080/introspect", Authentication::ClientSecretBasic, &pair()).unwrap();
        assert_eq!((target.host.as_str(), target.port, target.path.as_str()), ("::1", 8080, "/introspect"));
        assert_eq!(
            written(&target),
            format!(
                "POST /introspect HTTP/1.1\r\nHost: [::1]:8080\r\nAuthorization: Basic {}\r\n\
                 Content-Type: application/x-www-form-urlencoded\r\nAccept: application/json\r\n\
                 Content-Length: 7\r\n\r\ntoken=x",
                STANDARD.encode("a+b:c%3Ad")
            )
        );
        assert!(!format!("{target:?}").contains("Basic"));
        let mut last = Vec::new();
        target.write(&mut last, b"token=x", true);
        assert!(String::from_utf8(last).unwrap().contains("\r\nConnection: close\r\nContent-Length: 7\r\n"));
    }

    #[test]
    fn the_other_methods() {
        let post = target("http://a", Authentication::ClientSecretPost, &pair()).unwrap();
        let text = written(&post);
        assert!(text.ends_with("Content-Length: 41\r\n\r\ntoken=x&client_id=a+b&client_secret=c%3Ad"), "{text}");
        assert!(!text.contains("Authorization") && text.starts_with("POST / HTTP/1.1"));
        let bearer = target("http://a/b", Authentication::Bearer, &Credentials::Bearer("abc".to_owned())).unwrap();
        assert!(written(&bearer).contains("Authorization: Bearer abc\r\n"));
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        for url in ["https://127.0.0.1/introspect", "/introspect", "http://user:secret@127.0.0.1/introspect"] {
            assert!(target(url, Authentication::ClientSecretBasic, &pair()).is_err(), "{url}");
        }
        let split = Credentials::Bearer("a\r\nb".to_owned());
        assert!(target("http://a", Authentication::Bearer, &split).is_err());
        assert!(target("http://a", Authentication::Bearer, &pair()).is_err());
        assert!(target("http://a", Authentication::ClientSecretBasic, &Credentials::Bearer(String::new())).is_err());
    }
}
