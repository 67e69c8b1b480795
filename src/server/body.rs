//! The body of a request: bounded in size and time.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::progress::Progress;

/// The body of a request, from the wire or, for tests, from memory (`RequestBody::from`).
///
/// Its time is `http.body_timeout`, from the end of the head; the server keeps it. Dropped before its end, it makes an
/// HTTP/1 connection close after the answer, because what follows on the wire is then still this body.
#[derive(Debug)]
pub struct RequestBody {
    source: Source,
    /// None when the body ended, well or badly, or never was on the wire.
    progress: Option<Arc<Progress>>,
}

#[derive(Debug)]
enum Source {
    Wire(Incoming),
    Memory(Bytes),
}

/// Why a body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is, or announces to be, longer than allowed.
    #[error("the body is too long")]
    TooLarge,
    /// It did not come within `http.body_timeout`.
    #[error("the body took too long")]
    Timeout,
    /// The peer left, or broke the framing.
    #[error("the body is incomplete or malformed")]
    Broken,
}

impl BodyError {
    /// The status of the answer.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::Broken => StatusCode::BAD_REQUEST,
        }
    }
}

impl RequestBody {
    pub(super) fn from_wire(incoming: Incoming, progress: &Arc<Progress>) -> Self {
        let progress = (!incoming.is_end_stream()).then(|| Arc::clone(progress));
        Self { source: Source::Wire(incoming), progress }
    }

    /// No body at all.
    pub fn empty() -> Self {
        Self::from(Bytes::new())
    }

    /// The whole body, if it has at most `max_bytes` bytes. A body that announces more is refused unread, one that
    /// announces nothing as soon as it is too long.
    pub async fn read(&mut self, max_bytes: usize) -> Result<Bytes, BodyError> {
        if self.size_hint().lower() > max_bytes as u64 {
            return Err(BodyError::TooLarge);
        }
        let Some(first) = self.data().await? else { return Ok(Bytes::new()) };
        if first.len() > max_bytes {
            return Err(BodyError::TooLarge);
        }
        // Most bodies come in one piece, which is then not copied.
        let Some(second) = self.data().await? else { return Ok(first) };
        let mut whole = BytesMut::with_capacity(first.len() + second.len());
        whole.extend_from_slice(&first);
        let mut next = Some(second);
        while let Some(piece) = next {
            if whole.len() + piece.len() > max_bytes {
                return Err(BodyError::TooLarge);
            }
            whole.extend_from_slice(&piece);
            next = self.data().await?;
        }
        Ok(whole.freeze())
    }

    /// The next piece. Trailers are dropped: nothing we serve uses them.
    async fn data(&mut self) -> Result<Option<Bytes>, BodyError> {
        loop {
            if self.is_end_stream() {
                return Ok(None);
            }
            match std::future::poll_fn(|context| Pin::new(&mut *self).poll_frame(context)).await {
                None => return Ok(None),
                Some(Err(error)) => return Err(error),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(piece) if !piece.is_empty() => return Ok(Some(piece)),
                    _ => {}
                },
            }
        }
    }

    fn ended(&mut self) {
        if let Some(progress) = self.progress.take() {
            progress.body_came();
        }
    }

    fn left(&mut self) {
        if let Some(progress) = self.progress.take() {
            progress.leave_body();
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let body = &mut *self;
        let incoming = match &mut body.source {
            Source::Wire(incoming) => incoming,
            Source::Memory(bytes) if bytes.is_empty() => return Poll::Ready(None),
            Source::Memory(bytes) => return Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
        };
        let Poll::Ready(frame) = Pin::new(&mut *incoming).poll_frame(context) else {
            if body.progress.as_ref().is_some_and(|progress| progress.body_late()) {
                body.left();
                return Poll::Ready(Some(Err(BodyError::Timeout)));
            }
            return Poll::Pending;
        };
        match frame {
            Some(Ok(frame)) => {
                if incoming.is_end_stream() {
                    body.ended();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            None => {
                body.ended();
                Poll::Ready(None)
            }
            Some(Err(_)) => {
                body.left();
                Poll::Ready(Some(Err(BodyError::Broken)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Wire(incoming) => incoming.is_end_stream(),
            Source::Memory(bytes) => bytes.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Wire(incoming) => incoming.size_hint(),
            Source::Memory(bytes) => SizeHint::with_exact(bytes.len() as u64),
        }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if self.progress.is_none() {
            return;
        }
        // hyper has often read a small body already when the handler decides without it, as for a 401: what has come
        // is looked at, so that such a connection lives on.
        let mut context = Context::from_waker(Waker::noop());
        while self.progress.is_some() {
            let Poll::Ready(Some(Ok(_))) = Pin::new(&mut *self).poll_frame(&mut context) else { break };
        }
        self.left();
    }
}

impl<B: Into<Bytes>> From<B> for RequestBody {
    fn from(bytes: B) -> Self {
        Self { source: Source::Memory(bytes.into()), progress: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_of_exactly_the_limit_is_accepted() {
        assert_eq!(RequestBody::from("12345").read(5).await.as_deref(), Ok(&b"12345"[..]));
        assert_eq!(RequestBody::from("123456").read(5).await, Err(BodyError::TooLarge));
        assert_eq!(RequestBody::empty().read(0).await.as_deref(), Ok(&b""[..]));
    }
}
