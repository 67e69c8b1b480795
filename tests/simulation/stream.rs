//! What the product gets in the place of a socket.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::network::{Address, ConnectionId, End, Parcel, Way};
use crate::world::SharedWorld;

/// A node's side of a connection.
#[derive(Debug)]
pub(crate) struct Stream {
    world: SharedWorld,
    id: ConnectionId,
}

impl Stream {
    /// Opens a connection. Ends when the other side has answered, and never while the way there or back is cut.
    pub(crate) async fn open(world: SharedWorld, node: usize, address: &Address) -> io::Result<Self> {
        let id = world.lock().dial(node, address);
        let id = id.ok_or_else(|| io::Error::from(io::ErrorKind::HostUnreachable))?;
        let stream = Self { world, id };
        std::future::poll_fn(|context| stream.poll_opened(context)).await?;
        Ok(stream)
    }

    fn poll_opened(&self, context: &Context<'_>) -> Poll<io::Result<()>> {
        let mut world = self.world.lock();
        let Some(connection) = world.network.connections.get_mut(&self.id) else { return Poll::Ready(Err(reset())) };
        match connection.end {
            Some(End::Refused) => Poll::Ready(Err(io::ErrorKind::ConnectionRefused.into())),
            Some(_) => Poll::Ready(Err(reset())),
            None if connection.opened => Poll::Ready(Ok(())),
            None => {
                connection.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut world = self.world.lock();
        let Some(connection) = world.network.connections.get_mut(&self.id) else { return Poll::Ready(Err(reset())) };
        let count = connection.arrived.len().min(buffer.remaining());
        if count > 0 {
            let bytes: Vec<_> = connection.arrived.drain(..count).collect();
            buffer.put_slice(&bytes);
            return Poll::Ready(Ok(()));
        }
        match connection.end {
            Some(End::Closed) => Poll::Ready(Ok(())),
            Some(End::Reset | End::Refused) => Poll::Ready(Err(reset())),
            None => {
                connection.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut world = self.world.lock();
        match world.network.connections.get(&self.id).map(|connection| connection.end) {
            Some(None) => {
                world.send(self.id, Way::ToServer, Parcel::Bytes(bytes.to_vec()));
                Poll::Ready(Ok(bytes.len()))
            }
            _ => Poll::Ready(Err(reset())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.world.lock().send(self.id, Way::ToServer, Parcel::Closed);
    }
}

fn reset() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}
