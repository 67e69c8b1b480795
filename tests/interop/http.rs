//! One HTTP request at a time, in the clear or over TLS: what the tests themselves say to a node, and what the Rust
//! client under test sends through.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// An error on the way, as libraries want theirs.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct HttpError(String);

fn fail(error: impl std::fmt::Display) -> HttpError {
    HttpError(error.to_string())
}

/// Sends a request to the absolute URI that it names, and reads the answer whole.
///
/// # Errors
/// Whatever happens between here and there.
pub(crate) async fn send(request: Request<Vec<u8>>, ca: Option<&str>) -> Result<Response<Vec<u8>>, HttpError> {
    let authority = request.uri().authority().ok_or_else(|| fail("an absolute URI is needed"))?.clone();
    let stream = TcpStream::connect(authority.as_str()).await.map_err(fail)?;
    if request.uri().scheme_str() == Some("https") {
        let ca = ca.ok_or_else(|| fail("https needs a certificate authority"))?;
        let name = ServerName::try_from(authority.host().to_owned()).map_err(fail)?;
        let stream = TlsConnector::from(trusting(ca)).connect(name, stream).await.map_err(fail)?;
        exchange(stream, request).await
    } else {
        exchange(stream, request).await
    }
}

fn trusting(ca: &str) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_root_certificates(roots).with_no_client_auth())
}

async fn exchange<S>(stream: S, mut request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, HttpError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(fail)?;
    let connection = tokio::spawn(connection);
    let uri = request.uri().clone();
    let host = uri.authority().map_or("", |authority| authority.as_str());
    let host = host.parse().map_err(fail)?;
    request.headers_mut().insert(http::header::HOST, host);
    *request.uri_mut() = uri.path_and_query().map_or("/", |path| path.as_str()).parse().map_err(fail)?;
    let answer = sender.send_request(request.map(|body| Full::new(Bytes::from(body)))).await.map_err(fail)?;
    let (head, body) = answer.into_parts();
    let body = body.collect().await.map_err(fail)?.to_bytes();
    connection.abort();
    Ok(Response::from_parts(head, body.to_vec()))
}
