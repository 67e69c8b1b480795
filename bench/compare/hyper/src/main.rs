//! A floor for the comparison: hyper on one thread, which reads the body of each request and answers a constant.
//!
//! What introspectd costs beyond this is introspection; what this costs beyond nginx is the library.

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};

/// The answer to every request.
#[derive(Clone, Debug)]
struct Constant {
    headers: HeaderMap,
    body: Bytes,
}

/// `introspectd-compare-hyper ADDRESS FILE`, where the file holds `{"headers": {...}, "body": "..."}`.
fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(file), None) = (arguments.next(), arguments.next(), arguments.next()) else {
        return Err("usage: introspectd-compare-hyper ADDRESS FILE".into());
    };
    let address: SocketAddr = address.parse()?;
    let constant = Constant::parse(&std::fs::read(file)?)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(address, constant))
}

async fn serve(address: SocketAddr, constant: Constant) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(converse(stream, constant.clone()));
    }
}

/// Until the peer is done. How it ended is of no interest: the load tool counts what went wrong.
async fn converse(stream: TcpStream, constant: Constant) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request: Request<Incoming>| answer(request, &constant));
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: Request<Incoming>, constant: &Constant) -> Result<Response<Full<Bytes>>, Infallible> {
    // A body that breaks off breaks the connection, too; there is nobody left to be told.
    let _ = request.into_body().collect().await;
    let mut response = Response::new(Full::new(constant.body.clone()));
    response.headers_mut().clone_from(&constant.headers);
    Ok(response)
}

impl Constant {
    fn parse(text: &[u8]) -> Result<Self, Box<dyn Error>> {
        let value: Value = serde_json::from_slice(text)?;
        let mut headers = HeaderMap::new();
        for (name, value) in value["headers"].as_object().ok_or("the file has no headers")? {
            let value = value.as_str().ok_or("a header is no text")?;
            headers.insert(HeaderName::try_from(name)?, HeaderValue::try_from(value)?);
        }
        let body = value["body"].as_str().ok_or("the file has no body")?.to_owned().into();
        Ok(Self { headers, body })
    }
}
