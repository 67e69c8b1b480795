//! One connection of HTTP/1.1, one request at a time.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::head::{self, Framing};
use super::target::Target;
use super::{Fault, body};

/// A connection that is kept.
pub(crate) struct Http1 {
    stream: TcpStream,
    request: Vec<u8>,
    received: Vec<u8>,
    chunks: Vec<u8>,
}

/// An answer, as long as nothing else is asked.
pub(crate) struct Answer<'a> {
    /// The status.
    pub(crate) status: u16,
    /// The body.
    pub(crate) body: &'a [u8],
    /// Whether the connection takes another request.
    pub(crate) keeps_alive: bool,
}

/// Room for an answer, so that one read takes all of it.
const USUAL_BYTES: usize = 4096;
/// What may come before an answer: interim ones (RFC 9110 section 15.2).
const MAX_INTERIM: usize = 4;

impl Http1 {
    /// Connects.
    pub(crate) async fn open(target: &Target) -> io::Result<Self> {
        let stream = TcpStream::connect((target.host.as_str(), target.port)).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, request: Vec::new(), received: Vec::with_capacity(USUAL_BYTES), chunks: Vec::new() })
    }

    /// Whether it can carry another request: the server may have closed it, or said something unasked. Costs nothing
    /// while nothing has come.
    pub(crate) fn is_usable(&self) -> bool {
        let mut byte = [0];
        matches!(self.stream.try_read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Asks with a form. After an error, and after the last request, the connection is of no more use.
    pub(crate) async fn ask(&mut self, target: &Target, form: &[u8], last: bool) -> Result<Answer<'_>, Fault> {
        target.write(&mut self.request, form, last);
        self.exchange().await
    }

    /// Asks with another method, at another path.
    pub(crate) async fn call(
        &mut self,
        target: &Target,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> Result<Answer<'_>, Fault> {
        target.write_to(&mut self.request, method, path, body);
        self.exchange().await
    }

    /// Lets the server close the connection first, beside what goes on. Who closes first keeps the port for a minute,
    /// and a client has few of them for many connections.
    pub(crate) fn retire(mut self) {
        /// A server that does not close is not waited for any longer.
        const PATIENCE: Duration = Duration::from_secs(1);
        tokio::task::spawn_local(async move {
            self.received.clear();
            // Whatever comes instead of the end does not matter any more.
            drop(tokio::time::timeout(PATIENCE, self.more()).await);
        });
    }

    async fn exchange(&mut self) -> Result<Answer<'_>, Fault> {
        self.stream.write_all(&self.request).await.map_err(|error| fault(&error))?;
        self.received.clear();
        let mut interim = 0;
        let head = loop {
            match head::read(&self.received)? {
                Some(head) if head.status >= 200 => break head,
                Some(_) if interim == MAX_INTERIM => return Err(Fault::Header),
                Some(head) => {
                    interim += 1;
                    self.received.drain(..head.length);
                }
                None => {
                    self.more().await?;
                }
            }
        };
        let begin = head.length;
        let end = match head.framing {
            Framing::Length(length) if length > body::MAX_BODY_BYTES => return Err(Fault::BodyTooLarge),
            Framing::Length(length) => {
                while self.received.len() < begin + length {
                    self.more().await?;
                }
                begin + length
            }
            Framing::Chunked => loop {
                if let Some(taken) = body::read_chunks(&self.received[begin..], &mut self.chunks)? {
                    break begin + taken;
                }
                // Chunks of one byte each are a few times as long as what is in them.
                if self.received.len() - begin > 8 * body::MAX_BODY_BYTES {
                    return Err(Fault::BodyTooLarge);
                }
                self.more().await?;
            },
            Framing::UntilClosed => loop {
                match self.more().await {
                    Ok(()) if self.received.len() - begin > body::MAX_BODY_BYTES => return Err(Fault::BodyTooLarge),
                    Ok(()) => {}
                    Err(Fault::Closed) => break self.received.len(),
                    Err(fault) => return Err(fault),
                }
            },
        };
        if self.received.len() > end {
            return Err(Fault::Unasked);
        }
        let body = if head.framing == Framing::Chunked { &self.chunks } else { &self.received[begin..end] };
        Ok(Answer { status: head.status, body, keeps_alive: head.keeps_alive })
    }

    async fn more(&mut self) -> Result<(), Fault> {
        if self.received.len() == self.received.capacity() {
            self.received.reserve(USUAL_BYTES);
        }
        match self.stream.read_buf(&mut self.received).await {
            Ok(0) => Err(Fault::Closed),
            Ok(_) => Ok(()),
            Err(error) => Err(fault(&error)),
        }
    }
}

fn fault(error: &io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => Fault::Closed,
        _ => Fault::Transport,
    }
}
