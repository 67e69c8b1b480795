//! Bytes and connections: everything between a socket and a complete request. Knows hyper, and nothing of OAuth.
//!
//! ```text
//! listener --permit--> connection --first bytes--> hyper --> exchange --> Handler::handle
//!    |                  (tls)          (stream)                 |
//!    accept errors                                              +-- head: Host, target, codings, Expect
//!                                                               +-- progress: the time each stage may take
//! ```
//!
//! HTTP/1 and HTTP/2 are served on every listener: by ALPN over TLS, by the client's preface in cleartext. One timer
//! for each connection keeps all of its time limits ([`HttpConfig`]). A panic of the handler costs one request.
//!
//! Answers that the server gives in the handler's place come from [`Handler::refuse`]. What hyper refuses while it
//! parses a head (syntax, `Content-Length`, size) has a status and no body, and closes the connection.

mod body;
mod certificate;
mod connection;
mod exchange;
mod head;
mod listener;
mod memory;
mod progress;
mod refusal;
mod statistics;
mod stream;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

pub use self::body::{BodyError, RequestBody};
pub use self::certificate::PeerCertificate;
pub use self::head::MAX_TARGET_BYTES;
pub use self::memory::ConnectionMemory;
pub use self::refusal::Refusal;
pub use self::statistics::{Protocol, ServerStatistics};
pub use self::tls::{Prepared, TlsError, TlsHandle};

use self::connection::Service;
use self::listener::{Listener, ListeningSocket};
use crate::config::{HttpConfig, ListenerConfig};
use crate::shutdown::{Drain, Outcome};
use crate::threads::Threads;

/// What answers requests.
///
/// The future of an answer is dropped when the peer leaves or `http.request_timeout` is over. Work that must be
/// finished once begun has to be spawned.
pub trait Handler: Clone + Send + Sync + 'static {
    /// Answers a request whose head is sound: one valid host, a known transfer coding, no unknown expectation. Methods,
    /// paths, repeated `Authorization` or `Content-Type` lines and the body are the handler's.
    fn handle(
        &self,
        request: &mut Request<RequestBody>,
        peer: &Peer,
    ) -> impl Future<Output = Response<Full<Bytes>>> + Send;

    /// The answer in place of one by [`Handler::handle`]. The server sets its status to [`Refusal::status`].
    fn refuse(&self, refusal: Refusal) -> Response<Full<Bytes>>;
}

/// Who is at the other end of a connection.
#[derive(Debug)]
pub struct Peer {
    /// Its address; none for a unix socket.
    pub address: Option<SocketAddr>,
    /// Whether the connection is encrypted by us.
    pub encrypted: bool,
    /// The name of the listener that accepted it, as given to [`Server::bind`].
    pub listener: &'static str,
    /// The certificate that it presented to us, if it was asked for one and has one.
    pub certificate: Option<Arc<PeerCertificate>>,
    /// What the handler wants to know again.
    pub memory: ConnectionMemory,
}

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The name, as given to [`Server::bind`].
    pub listener: &'static str,
    /// The address, with the port that was taken for port 0.
    pub address: SocketAddr,
    /// Whether it speaks TLS.
    pub encrypted: bool,
    /// The socket file beside it.
    pub unix: Option<PathBuf>,
}

/// A listener that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address is taken, not ours, or not allowed.
    #[error("the {listener} listener cannot listen on {address}: {source}")]
    Address {
        /// The listener's name.
        listener: &'static str,
        /// The address asked for.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// The socket file is in use, cannot be made, or something else is in its place.
    #[error("the {listener} listener cannot listen on {}: {source}", path.display())]
    Unix {
        /// The listener's name.
        listener: &'static str,
        /// The path asked for.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A certificate or key file cannot be used.
    #[error("the {listener} listener: {source}")]
    Tls {
        /// The listener's name.
        listener: &'static str,
        /// Which file, and what is wrong with it.
        source: TlsError,
    },
}

/// A server whose sockets are open and which does not accept yet. Connections wait in the kernel's queues.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<Listener>,
    bound: Vec<Bound>,
    http: HttpConfig,
    statistics: Arc<ServerStatistics>,
}

impl Server {
    /// Opens all sockets and reads the certificates. Has to be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// The first listener that cannot be opened; those before it are closed again.
    pub fn bind(listeners: &[(&'static str, &ListenerConfig)], http: &HttpConfig) -> Result<Self, BindError> {
        let mut server = Self {
            listeners: Vec::new(),
            bound: Vec::new(),
            http: http.clone(),
            statistics: Arc::new(ServerStatistics::default()),
        };
        for (name, config) in listeners {
            server.open(name, config)?;
        }
        Ok(server)
    }

    /// Where the listeners listen, in the order given to [`Server::bind`].
    pub fn bound(&self) -> &[Bound] {
        &self.bound
    }

    /// The certificates of the listeners that have one.
    pub fn certificates(&self) -> Vec<(&'static str, TlsHandle)> {
        let handles = self.listeners.iter().filter_map(|listener| Some((listener.name, listener.tls.clone()?)));
        handles.collect()
    }

    /// The counters, to be read at any time.
    pub fn statistics(&self) -> Arc<ServerStatistics> {
        Arc::clone(&self.statistics)
    }

    /// Serves on `threads` until `drain` has come to its end, moving it through its phases once it has begun.
    ///
    /// Returns as soon as no connection is left after `drain.min`, at the latest after `drain.max`. Dropped, it closes
    /// all sockets and connections at once.
    pub async fn serve<H: Handler>(self, handler: H, drain: &Drain, threads: &Threads) -> Outcome {
        let permits = Arc::new(Semaphore::new(self.http.max_connections.min(Semaphore::MAX_PERMITS)));
        let service = Arc::new(Service::new(handler, &self.http, drain.clone(), self.statistics));
        let mut running = JoinSet::new();
        for listener in self.listeners {
            running.spawn(listener.run(Arc::clone(&service), Arc::clone(&permits), threads.clone()));
        }

        let mut conductor = pin!(drain.conduct());
        let mut conducting = true;
        let mut cut_off = 0;
        loop {
            tokio::select! {
                biased;
                ended = running.join_next() => match ended {
                    Some(Ok(connections)) => cut_off += connections,
                    Some(Err(error)) => {
                        // Half a service is worse than none: what supervises the process starts it anew.
                        tracing::error!(%error, "a listener ended unexpectedly, shutting down");
                        if drain.is_serving() {
                            drain.begin();
                        }
                    }
                    None if cut_off == 0 => return Outcome::Clean,
                    None => return Outcome::Forced { connections: cut_off },
                },
                () = &mut conductor, if conducting => conducting = false,
            }
        }
    }

    fn open(&mut self, name: &'static str, config: &ListenerConfig) -> Result<(), BindError> {
        let tls = match &config.tls {
            Some(files) => Some(TlsHandle::open(files).map_err(|source| BindError::Tls { listener: name, source })?),
            None => None,
        };
        let encrypted = tls.is_some();
        let address = config.address;
        let (socket, address) = ListeningSocket::tcp(address)
            .and_then(|socket| Ok((socket.address()?.unwrap_or(address), socket)))
            .map(|(address, socket)| (socket, address))
            .map_err(|source| BindError::Address { listener: name, address, source })?;
        self.listeners.push(Listener { name, socket, tls });
        if let Some(path) = &config.unix {
            let socket = ListeningSocket::unix(path).map_err(|source| BindError::Unix {
                listener: name,
                path: path.clone(),
                source,
            })?;
            self.listeners.push(Listener { name, socket, tls: None });
        }
        self.bound.push(Bound { listener: name, address, encrypted, unix: config.unix.clone() });
        Ok(())
    }
}
