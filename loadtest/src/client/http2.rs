//! One connection of HTTP/2 (RFC 9113), shared by its streams.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, Request, Uri};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use super::target::Target;
use super::{Fault, body, head};

/// A connection that is opened when it is needed, and again when it has broken.
pub(crate) struct Http2 {
    target: Target,
    uri: Uri,
    headers: HeaderMap,
    sender: RefCell<Option<SendRequest<Bytes>>>,
    opening: Mutex<()>,
}

impl Http2 {
    /// Connects, so that the first request does not have to.
    pub(crate) async fn open(target: &Target) -> Result<Rc<Self>, Fault> {
        let uri =
            Uri::builder().scheme("http").authority(target.authority.as_str()).path_and_query(target.path.as_str());
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(target.content_type));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(authorization) = &target.authorization {
            let mut value = HeaderValue::try_from(authorization.as_str()).map_err(|_| Fault::Header)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let connection = Self {
            target: target.clone(),
            uri: uri.build().map_err(|_| Fault::Header)?,
            headers,
            sender: RefCell::new(Some(connect(target).await?)),
            opening: Mutex::new(()),
        };
        Ok(Rc::new(connection))
    }

    /// Asks with a form, on a stream of its own; the status and the body. The second value says whether the connection
    /// had to be opened again.
    pub(crate) async fn ask(&self, form: &[u8]) -> (Result<(u16, Bytes), Fault>, bool) {
        let (sender, opened) = match self.sender().await {
            Ok(usable) => usable,
            Err(fault) => return (Err(fault), true),
        };
        let answer = self.exchange(sender, form).await;
        if answer.is_err() {
            self.sender.replace(None);
        }
        (answer, opened)
    }

    async fn sender(&self) -> Result<(SendRequest<Bytes>, bool), Fault> {
        let current = || self.sender.borrow().clone();
        if let Some(sender) = current()
            && let Ok(ready) = sender.ready().await
        {
            return Ok((ready, false));
        }
        let _opening = self.opening.lock().await;
        // While this stream waited, another may have opened it.
        if let Some(sender) = current()
            && let Ok(ready) = sender.ready().await
        {
            return Ok((ready, false));
        }
        let sender = connect(&self.target).await?;
        self.sender.replace(Some(sender.clone()));
        sender.ready().await.map(|ready| (ready, true)).map_err(|_| Fault::Closed)
    }

    async fn exchange(&self, mut sender: SendRequest<Bytes>, form: &[u8]) -> Result<(u16, Bytes), Fault> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        request.uri_mut().clone_from(&self.uri);
        request.headers_mut().clone_from(&self.headers);
        let (response, mut stream) = sender.send_request(request, false).map_err(|error| fault(&error))?;
        stream.send_data(self.target.body(form), true).map_err(|error| fault(&error))?;
        let response = response.await.map_err(|error| fault(&error))?;
        let status = response.status().as_u16();
        let mut incoming = response.into_body();
        let mut body = BytesMut::new();
        while let Some(part) = incoming.data().await {
            let part = part.map_err(|error| fault(&error))?;
            if body.len() + part.len() > body::MAX_BODY_BYTES {
                return Err(Fault::BodyTooLarge);
            }
            incoming.flow_control().release_capacity(part.len()).map_err(|error| fault(&error))?;
            body.extend_from_slice(&part);
        }
        Ok((status, body.freeze()))
    }
}

async fn connect(target: &Target) -> Result<SendRequest<Bytes>, Fault> {
    let opened = async {
        let stream = TcpStream::connect((target.host.as_str(), target.port)).await?;
        stream.set_nodelay(true)?;
        Ok::<_, std::io::Error>(stream)
    };
    let stream = opened.await.map_err(|_| Fault::Connect)?;
    let mut builder = h2::client::Builder::new();
    let longest = u32::try_from(head::MAX_HEAD_BYTES).expect("a few thousand bytes");
    builder.enable_push(false).max_header_list_size(longest);
    let (sender, connection) = builder.handshake(stream).await.map_err(|_| Fault::Connect)?;
    // Its fault, if it has one, is also the fault of the requests that wait for it.
    tokio::task::spawn_local(async move { drop(connection.await) });
    Ok(sender)
}

fn fault(error: &h2::Error) -> Fault {
    if error.is_io() || error.is_go_away() { Fault::Closed } else { Fault::Transport }
}
