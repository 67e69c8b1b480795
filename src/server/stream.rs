//! The bytes of a connection: which transport carries them, a look at the first ones, and a close that loses none.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

use super::progress::{Progress, Stage};
use super::statistics::Protocol;

/// What a client with prior knowledge of HTTP/2 sends first (RFC 9113 section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Enough for the head of a usual request, so that looking at the first bytes costs no second read.
const FIRST_READ_BYTES: usize = 1024;

/// How much a peer that we have stopped listening to may still send before it is cut off.
const LINGER_BYTES: usize = 256 * 1024;

/// One of the transports. An enum and not a type parameter: hyper's state machines exist once instead of three times.
#[derive(Debug)]
pub(super) enum Transport {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Unix(UnixStream),
}

macro_rules! delegate {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Transport::Tcp($stream) => $call,
            Transport::Tls($stream) => $call,
            Transport::Unix($stream) => $call,
        }
    };
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => Pin::new(stream).poll_read(context, buffer))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        delegate!(self, stream => Pin::new(stream).poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => Pin::new(stream).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => Pin::new(stream).poll_shutdown(context))
    }
}

/// A transport whose first bytes have been looked at, and are read again.
#[derive(Debug)]
pub(super) struct Stream {
    transport: Transport,
    /// Bytes already read, not yet handed on.
    first: Bytes,
    progress: Arc<Progress>,
    shut: bool,
    discarded: usize,
}

impl Stream {
    /// Finds out what the peer speaks, or `None` if it left without a word. Has no time limit of its own. Later reports
    /// to `progress` when bytes come in and when the connection ends.
    pub(super) async fn identify(
        mut transport: Transport,
        progress: Arc<Progress>,
    ) -> io::Result<Option<(Protocol, Self)>> {
        let mut first = BytesMut::with_capacity(FIRST_READ_BYTES);
        let protocol = loop {
            if transport.read_buf(&mut first).await? == 0 {
                if first.is_empty() {
                    return Ok(None);
                }
                break Protocol::Http1;
            }
            let length = first.len().min(PREFACE.len());
            if first[..length] != PREFACE[..length] {
                break Protocol::Http1;
            }
            if length == PREFACE.len() {
                break Protocol::Http2;
            }
        };
        let stream = Self { transport, first: first.freeze(), progress, shut: false, discarded: 0 };
        Ok(Some((protocol, stream)))
    }

    /// Reads what the peer still sends, until it closes too.
    ///
    /// Closing a socket with unread bytes makes the kernel send a reset, which may destroy the answer before the peer
    /// has read it (RFC 9112 section 9.6). Only worthwhile if there are such bytes.
    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut space = [0_u8; 8192];
        while self.discarded < LINGER_BYTES {
            let mut buffer = ReadBuf::new(&mut space);
            match Pin::new(&mut self.transport).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => self.discarded += buffer.filled().len(),
                Poll::Pending if self.discarded > 0 || self.progress.leaves_unread() => return Poll::Pending,
                _ => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if self.first.has_remaining() {
            let length = self.first.len().min(buffer.remaining());
            buffer.put_slice(&self.first[..length]);
            self.first.advance(length);
            if self.first.is_empty() {
                // Gives the memory back, which an empty slice of it would hold on to.
                self.first = Bytes::new();
            }
        } else {
            ready!(Pin::new(&mut self.transport).poll_read(context, buffer))?;
        }
        if buffer.filled().len() > before {
            self.progress.bytes_came();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.progress.stage() == Stage::Head {
            // A head that made no request: hyper refused it, and more of it may be under way.
            self.progress.leave_unread();
        }
        self.progress.farewell();
        if !self.shut {
            ready!(Pin::new(&mut self.transport).poll_shutdown(context))?;
            self.shut = true;
        }
        self.poll_linger(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    async fn identify(pieces: &[&[u8]]) -> Option<(Protocol, Vec<u8>)> {
        let (mut near, far) = UnixStream::pair().unwrap();
        let reader = tokio::spawn(Stream::identify(Transport::Unix(far), Arc::new(Progress::new(Stage::Head))));
        for piece in pieces {
            near.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        near.shutdown().await.unwrap();
        let (protocol, mut stream) = reader.await.unwrap().unwrap()?;
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        Some((protocol, all))
    }

    #[tokio::test]
    async fn the_preface_of_http2_is_recognised_and_read_again() {
        let whole = identify(&[PREFACE, b"frames"]).await.unwrap();
        assert_eq!(whole, (Protocol::Http2, [PREFACE.as_slice(), b"frames"].concat()));
        let pieces = identify(&[b"P", b"RI * HTTP/2.0\r\n\r\nSM\r\n", b"\r\n"]).await.unwrap();
        assert_eq!(pieces, (Protocol::Http2, PREFACE.to_vec()));
    }

    #[tokio::test]
    async fn anything_else_is_left_to_http1() {
        for head in [b"GET / HTTP/1.1\r\n\r\n".as_slice(), b"P", b"POST", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX"] {
            assert_eq!(identify(&[head]).await, Some((Protocol::Http1, head.to_vec())));
        }
        assert_eq!(identify(&[]).await, None);
    }
}
