//! The HTTP client behind the verbs: one request, one connection.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::Failure;
use crate::auth::credentials::BasicPair;
use crate::client::secret::Secret;

/// Where the service is, and who asks.
#[derive(Debug, Args)]
pub struct Caller {
    /// Where the public listener is.
    #[arg(long, env = "ITD_PUBLIC_URL", default_value = "http://127.0.0.1:8080", global = true)]
    public_url: Uri,
    /// Where the admin listener is.
    #[arg(long, env = "ITD_ADMIN_URL", default_value = "http://127.0.0.1:8081", global = true)]
    admin_url: Uri,
    /// The client that asks.
    #[arg(long, env = "ITD_CLIENT_ID", global = true)]
    client_id: Option<String>,
    /// A file with its secret. Without it, the secret is taken from the environment variable `ITD_CLIENT_SECRET`; never
    /// from the command line, which others can read.
    #[arg(long, env = "ITD_CLIENT_SECRET_FILE", global = true)]
    client_secret_file: Option<PathBuf>,
    /// The certificates, as PEM, of the authorities that an https URL's certificate must come from.
    #[arg(long, env = "ITD_CA_FILE", global = true)]
    ca_file: Option<PathBuf>,
}

/// Which listener to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// The admin listener.
    Admin,
    /// The public listener.
    Public,
}

/// What to send.
#[derive(Debug)]
pub enum Content {
    /// Nothing.
    None,
    /// A form: names and values.
    Form(Vec<(&'static str, String)>),
    /// JSON.
    Json(Value),
    /// JSON that is written already.
    JsonText(String),
}

/// What the service answered, whether well or not.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The body; `Null` for an empty one, and where it is no JSON.
    pub value: Value,
}

impl Reply {
    /// The body of a success.
    ///
    /// # Errors
    /// When it is none: its code and description.
    pub fn into_success(self) -> Result<Value, Failure> {
        if self.status.is_success() {
            return Ok(self.value);
        }
        if self.value.is_null() {
            return Err(Failure::failed(format!("{}, and no JSON behind it", self.status)));
        }
        let text = |name: &str| self.value[name].as_str().unwrap_or_default().to_owned();
        Err(Failure::failed(format!("{}: {} ({})", self.status, text("error_description"), text("error"))))
    }
}

const TIMEOUT: Duration = Duration::from_secs(10);
const MAX_ANSWER_BYTES: usize = 16 << 20;

impl Caller {
    /// Asks the service, as the client, and returns what it answered; `Null` for an empty answer.
    ///
    /// # Errors
    /// When it cannot be asked, or answers with an error: its code and description.
    pub async fn ask(
        &self,
        listener: Listener,
        method: Method,
        path: &str,
        content: Content,
    ) -> Result<Value, Failure> {
        self.exchange(listener, method, path, content).await?.into_success()
    }

    /// The same, for callers to whom an error may be an answer.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn exchange(
        &self,
        listener: Listener,
        method: Method,
        path: &str,
        content: Content,
    ) -> Result<Reply, Failure> {
        let id = self.client_id.as_deref().ok_or_else(|| {
            Failure::Usage("no client to ask as: give --client-id or ITD_CLIENT_ID, and its secret".to_owned())
        })?;
        let authorization = format!("Basic {}", BasicPair::encode(id, self.secret()?.expose()));
        let base = if listener == Listener::Admin { &self.admin_url } else { &self.public_url };
        let (status, body) = self.send(base, method, path, content, Some(authorization)).await?;
        if !body.is_empty() && status.is_success() {
            let value = serde_json::from_slice(&body);
            return value
                .map(|value| Reply { status, value })
                .map_err(|_| Failure::failed(format!("{status}, and no JSON behind it")));
        }
        Ok(Reply { status, value: serde_json::from_slice(&body).unwrap_or_default() })
    }

    /// Asks without saying who asks; the status and the body.
    ///
    /// # Errors
    /// When the service cannot be asked.
    pub async fn get(&self, listener: Listener, path: &str) -> Result<(StatusCode, Bytes), Failure> {
        let base = if listener == Listener::Admin { &self.admin_url } else { &self.public_url };
        self.send(base, Method::GET, path, Content::None, None).await
    }

    fn secret(&self) -> Result<Secret, Failure> {
        if let Some(file) = &self.client_secret_file {
            let text = std::fs::read_to_string(file)
                .map_err(|error| Failure::Usage(format!("cannot read {}: {error}", file.display())))?;
            return Ok(Secret::new(text.trim_end_matches(['\r', '\n'])));
        }
        std::env::var("ITD_CLIENT_SECRET")
            .map(Secret::new)
            .map_err(|_| Failure::Usage("no secret: give --client-secret-file or set ITD_CLIENT_SECRET".to_owned()))
    }

    async fn send(
        &self,
        base: &Uri,
        method: Method,
        path: &str,
        content: Content,
        authorization: Option<String>,
    ) -> Result<(StatusCode, Bytes), Failure> {
        let host = base.host().ok_or_else(|| Failure::Usage(format!("{base} names no host")))?.to_owned();
        let encrypted = match base.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(Failure::Usage(format!("{base} must begin with http:// or https://"))),
        };
        let authority = base.authority().map(ToString::to_string).unwrap_or_default();
        let (kind, body) = match content {
            Content::None => (None, String::new()),
            Content::Form(pairs) => {
                let pairs: Vec<String> =
                    pairs.iter().map(|(name, value)| format!("{name}={}", crate::form::encode(value))).collect();
                (Some("application/x-www-form-urlencoded"), pairs.join("&"))
            }
            Content::Json(value) => (Some("application/json"), value.to_string()),
            Content::JsonText(text) => (Some("application/json"), text),
        };
        let mut request = Request::builder().method(method).uri(path).header(HOST, authority);
        if let Some(kind) = kind {
            request = request.header(CONTENT_TYPE, kind);
        }
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = request.body(Full::new(Bytes::from(body))).map_err(Failure::failed)?;
        let port = base.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
        let bare_host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let encryption = if encrypted { Some(tokio_rustls::TlsConnector::from(Arc::new(self.tls()?))) } else { None };
        let exchange = async {
            let stream = TcpStream::connect((bare_host.as_str(), port))
                .await
                .map_err(|error| Failure::failed(format!("cannot reach {base}: {error}")))?;
            if let Some(connector) = encryption {
                let name = ServerName::try_from(bare_host.clone()).map_err(Failure::failed)?;
                let stream = connector
                    .connect(name, stream)
                    .await
                    .map_err(|error| Failure::failed(format!("cannot reach {base}: {error}")))?;
                exchange(stream, request).await
            } else {
                exchange(stream, request).await
            }
        };
        tokio::time::timeout(TIMEOUT, exchange)
            .await
            .map_err(|_| Failure::failed(format!("{base} did not answer within {} s", TIMEOUT.as_secs())))?
    }

    fn tls(&self) -> Result<rustls::ClientConfig, Failure> {
        let file = self.ca_file.as_ref().ok_or_else(|| {
            Failure::Usage("an https URL needs --ca-file: the authorities to be trusted, as PEM".to_owned())
        })?;
        let unusable = |error: &dyn std::fmt::Display| Failure::Usage(format!("{}: {error}", file.display()));
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(file).map_err(|error| unusable(&error))? {
            let certificate = certificate.map_err(|error| unusable(&error))?;
            roots.add(certificate).map_err(|error| unusable(&error))?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        Ok(rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(Failure::failed)?
            .with_root_certificates(roots)
            .with_no_client_auth())
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), Failure> {
    let broken = |error: hyper::Error| Failure::failed(format!("the connection broke: {error}"));
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let driver = tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(broken)?;
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await.map_err(Failure::failed)?.to_bytes();
    drop(sender);
    driver.abort();
    Ok((head.status, body))
}
