//! A network between a node and its Redis that can hold back what was sent: as a partition does, and a queue on the
//! way.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Hands on every byte both ways, but for what it was told to hold. Ended when it is dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    held: Arc<Mutex<Option<Held>>>,
    _connections: JoinSet<()>,
}

/// What is to be held, or is.
struct Held {
    /// What all stands in it: the first write with these in it is held, and whatever comes after it on its connection.
    marks: Vec<Vec<u8>>,
    /// Whether nothing else may stand there.
    /// Whether it must begin with the mark.
    first: bool,
    is_there: watch::Sender<bool>,
    released: watch::Receiver<bool>,
}

/// One write on its way, held until it is released.
pub(crate) struct Hold {
    is_there: watch::Receiver<bool>,
    released: watch::Sender<bool>,
}

impl Hold {
    /// Waits until something is held.
    pub(crate) async fn is_there(&mut self) {
        tokio::time::timeout(super::PATIENCE, self.is_there.wait_for(|there| *there)).await.unwrap().unwrap();
    }

    /// Lets it go on.
    pub(crate) fn release(self) {
        self.released.send_replace(true);
    }
}

impl Proxy {
    /// A proxy in front of the server at this port.
    pub(crate) async fn start(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, held) = (listener.local_addr().unwrap(), Arc::<Mutex<Option<Held>>>::default());
        let mut connections = JoinSet::new();
        connections.spawn({
            let held = Arc::clone(&held);
            async move {
                let mut ways = JoinSet::new();
                while let Ok((near, _)) = listener.accept().await {
                    let Ok(far) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
                    near.set_nodelay(true).unwrap();
                    far.set_nodelay(true).unwrap();
                    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
                    ways.spawn(hand_on(near_read, far_write, Some(Arc::clone(&held))));
                    ways.spawn(hand_on(far_read, near_write, None));
                }
            }
        });
        Self { address, held, _connections: connections }
    }

    /// The URL of the server behind it.
    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Holds the next write to the server in which all of these stand.
    pub(crate) fn hold(&self, marks: &[&str]) -> Hold {
        self.hold_what(marks, false)
    }

    /// Holds the next write to the server that begins with this.
    pub(crate) fn hold_beginning(&self, write: &str) -> Hold {
        self.hold_what(&[write], true)
    }

    fn hold_what(&self, marks: &[&str], first: bool) -> Hold {
        let ((is_there, seen), (release, released)) = (watch::channel(false), watch::channel(false));
        let marks = marks.iter().map(|mark| mark.as_bytes().to_vec()).collect();
        *self.held.lock().unwrap() = Some(Held { marks, first, is_there, released });
        Hold { is_there: seen, released: release }
    }
}

/// To the server everything that came is delivered, also when the node has closed its end meanwhile.
async fn hand_on(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, held: Option<Arc<Mutex<Option<Held>>>>) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        let bytes = &buffer[..read];
        let holding = held.as_ref().and_then(|held| {
            let contains = |mark: &Vec<u8>| bytes.windows(mark.len()).any(|window| window == mark);
            let is_it = |held: &mut Held| {
                if held.first { bytes.starts_with(&held.marks[0]) } else { held.marks.iter().all(contains) }
            };
            held.lock().unwrap().take_if(is_it)
        });
        if let Some(mut holding) = holding {
            holding.is_there.send_replace(true);
            // An error means that whoever held it is gone.
            let _ = holding.released.wait_for(|released| *released).await;
        }
        if read == 0 || to.write_all(bytes).await.is_err() {
            return;
        }
    }
}
