//! Listening sockets: how they are opened, how connections are accepted, and how they end.

use std::fmt;
use std::fs::{self, File, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::connection::{self, Accepted, Service};
use super::tls::TlsHandle;
use super::{ConnectionMemory, Handler, Peer};
use crate::shutdown::Phase;
use crate::threads::Threads;

/// How many connections the kernel may hold for us. tokio's own 128 overflows in a moment's reconnect of a fleet; the
/// kernel takes the lesser of this and `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// The mode of a socket file: its owner and group may connect.
const SOCKET_FILE_MODE: u32 = 0o660;

/// How long to wait when the machine has no file descriptor or memory for another connection.
const EXHAUSTION_PAUSE: Duration = Duration::from_millis(100);
/// How often to say so.
const EXHAUSTION_LOG_INTERVAL: Duration = Duration::from_secs(1);

/// An open socket with what its connections need to know.
pub(super) struct Listener {
    pub(super) name: &'static str,
    pub(super) socket: ListeningSocket,
    pub(super) tls: Option<TlsHandle>,
}

/// A socket that connections can be accepted from.
#[derive(Debug)]
pub(super) enum ListeningSocket {
    Tcp(TcpListener),
    Unix {
        listener: UnixListener,
        /// For its end.
        _file: SocketFile,
    },
}

impl ListeningSocket {
    /// Listens on `address`.
    pub(super) fn tcp(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // A restarted service may listen again while connections of the old one are in TIME_WAIT.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into()).map(Self::Tcp)
    }

    /// Listens on the socket file at `path`, which takes the place of a dead process's.
    pub(super) fn unix(path: &Path) -> io::Result<Self> {
        remove_stale(path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        // Before bind, so that the file never has a wider mode; after it, because the process's umask narrowed it.
        let permissions = Permissions::from_mode(SOCKET_FILE_MODE);
        let descriptor = File::from(OwnedFd::from(socket));
        descriptor.set_permissions(permissions.clone())?;
        let socket = Socket::from(OwnedFd::from(descriptor));
        socket.bind(&SockAddr::unix(path)?)?;
        let file = SocketFile::new(path)?;
        fs::set_permissions(path, permissions)?;
        socket.listen(BACKLOG)?;
        Ok(Self::Unix { listener: UnixListener::from_std(OwnedFd::from(socket).into())?, _file: file })
    }

    /// The address, or none for a socket file.
    pub(super) fn address(&self) -> io::Result<Option<SocketAddr>> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Some),
            Self::Unix { .. } => Ok(None),
        }
    }

    async fn accept(&self) -> io::Result<(Accepted, Option<SocketAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (socket, address) = listener.accept().await?;
                // Answers are single writes, which Nagle's algorithm could only delay. A failure means that the peer
                // has gone, which reading will tell.
                let _ = socket.set_nodelay(true);
                Ok((Accepted::Tcp(socket), Some(address)))
            }
            Self::Unix { listener, .. } => Ok((Accepted::Unix(listener.accept().await?.0), None)),
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Listener").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Listener {
    /// Accepts and serves until [`Phase::Closing`], then waits for the connections until [`Phase::Ending`].
    ///
    /// Returns how many were cut off. Dropped, it closes the socket and all its connections.
    pub(super) async fn run<H: Handler>(
        self,
        service: Arc<Service<H>>,
        permits: Arc<Semaphore>,
        threads: Threads,
    ) -> usize {
        let mut connections = JoinSet::new();
        self.accept_until_closing(&service, &permits, &threads, &mut connections).await;
        // The socket closes, and its file goes, before the connections end: a successor may already take over.
        drop(self);

        let mut ending = pin!(service.drain.reached(Phase::Ending));
        loop {
            tokio::select! {
                biased;
                ended = connections.join_next() => match ended {
                    Some(ended) => note_panic(ended),
                    None => return 0,
                },
                () = &mut ending => {
                    let left = connections.len();
                    connections.shutdown().await;
                    return left;
                }
            }
        }
    }

    async fn accept_until_closing<H: Handler>(
        &self,
        service: &Arc<Service<H>>,
        permits: &Arc<Semaphore>,
        threads: &Threads,
        connections: &mut JoinSet<()>,
    ) {
        let mut closing = pin!(service.drain.reached(Phase::Closing));
        let mut last_log: Option<Instant> = None;
        loop {
            tokio::select! {
                biased;
                () = &mut closing => return,
                Some(ended) = connections.join_next() => note_panic(ended),
                next = self.accept_with_permit(permits) => match next {
                    Ok((accepted, address, permit)) => {
                        let acceptor = self.tls.as_ref().map(TlsHandle::acceptor);
                        let encrypted = acceptor.is_some();
                        let memory = ConnectionMemory::default();
                        let peer = Peer { address, encrypted, listener: self.name, certificate: None, memory };
                        let service = Arc::clone(service);
                        match threads.seat() {
                            None => connections.spawn(async move {
                                connection::serve(service, accepted, acceptor, peer).await;
                                drop(permit);
                            }),
                            Some(seat) => {
                                let handle = seat.handle().clone();
                                let moved = async move {
                                    match accepted.moved_here() {
                                        Ok(accepted) => connection::serve(service, accepted, acceptor, peer).await,
                                        Err(error) => tracing::error!(%error, "cannot serve a connection"),
                                    }
                                    drop((permit, seat));
                                };
                                connections.spawn_on(moved, &handle)
                            }
                        };
                    }
                    Err(error) if concerns_one_connection(&error) => {}
                    Err(error) => {
                        service.statistics.count_accept_error();
                        if last_log.is_none_or(|last| last.elapsed() >= EXHAUSTION_LOG_INTERVAL) {
                            last_log = Some(Instant::now());
                            tracing::error!(listener = self.name, %error, "cannot accept connections, trying again");
                        }
                        sleep(EXHAUSTION_PAUSE).await;
                    }
                },
            }
        }
    }

    /// The permit comes first: a connection beyond the limit stays in the kernel's queue, where it costs us nothing and
    /// is not lost.
    async fn accept_with_permit(
        &self,
        permits: &Arc<Semaphore>,
    ) -> io::Result<(Accepted, Option<SocketAddr>, OwnedSemaphorePermit)> {
        let permit = Arc::clone(permits).acquire_owned().await.expect("the semaphore is never closed");
        let (accepted, address) = self.socket.accept().await?;
        Ok((accepted, address, permit))
    }
}

/// Whether a failed accept says something about one connection only, which is then gone, so that the next may be
/// accepted at once. Anything else (no file descriptors, no memory, or what we do not know) would fail again at once.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::HostUnreachable
            | ErrorKind::Interrupted
            | ErrorKind::NetworkDown
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NotConnected
            | ErrorKind::PermissionDenied
            | ErrorKind::TimedOut
    )
}

/// A connection's task has its own net for the handler's panics; this is about ours.
fn note_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection ended by a panic");
    }
}

/// A socket file of ours, removed in the end unless another process has replaced it.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    fn new(path: &Path) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        Ok(Self { path: path.to_path_buf(), device: metadata.dev(), inode: metadata.ino() })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| metadata.dev() == self.device && metadata.ino() == self.inode);
        if ours {
            // It may stay behind: the next start replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Makes way for a socket file: removes one that nobody listens on, and nothing else.
fn remove_stale(path: &Path) -> io::Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !metadata.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the file exists and is not a socket"));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens on this socket")),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exhaustion_is_told_from_a_lost_connection() {
        const ECONNABORTED: i32 = 103;
        const EMFILE: i32 = 24;
        const ENFILE: i32 = 23;
        const ENOMEM: i32 = 12;
        assert!(concerns_one_connection(&io::Error::from_raw_os_error(ECONNABORTED)));
        for exhausted in [EMFILE, ENFILE, ENOMEM] {
            assert!(!concerns_one_connection(&io::Error::from_raw_os_error(exhausted)));
        }
    }
}
