//! The network between one node and its Redis, which can be cut, slowed down, or stop carrying one way.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// How one direction fares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Way {
    /// Everything arrives.
    #[default]
    Open,
    /// Everything arrives this much later.
    Slow(Duration),
    /// Nothing arrives until it is open again; then all of it does.
    Stalled,
    /// What is sent is lost, and the connection with it once it is open again.
    Lost,
}

/// How both directions fare, and connections as such.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Weather {
    pub(crate) to_redis: Way,
    pub(crate) to_node: Way,
    /// Connections end, and no others are let through.
    pub(crate) is_cut: bool,
}

/// A proxy in front of a Redis. Ended when it is dropped.
pub(crate) struct Network {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    _connections: JoinSet<()>,
}

impl Network {
    /// One that carries everything to the server at this port.
    pub(crate) async fn start(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (weather, seen) = watch::channel(Weather::default());
        let mut connections = JoinSet::new();
        connections.spawn(async move {
            let mut ways = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                if seen.borrow().is_cut {
                    continue;
                }
                let Ok(far) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
                near.set_nodelay(true).unwrap();
                far.set_nodelay(true).unwrap();
                ways.spawn(carry(near, far, seen.clone()));
                while ways.try_join_next().is_some() {}
            }
        });
        Self { address, weather, _connections: connections }
    }

    /// The URL of the server behind it.
    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Changes the weather.
    pub(crate) fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// Everything arrives again.
    pub(crate) fn clear(&self) {
        self.set(Weather::default());
    }
}

/// Both directions of one connection, until either ends.
async fn carry(near: TcpStream, far: TcpStream, weather: watch::Receiver<Weather>) {
    let mut cut = weather.clone();
    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
    tokio::select! {
        () = hand_on(near_read, far_write, weather.clone(), |weather| weather.to_redis) => {}
        () = hand_on(far_read, near_write, weather, |weather| weather.to_node) => {}
        _ = cut.wait_for(|weather| weather.is_cut) => {}
    }
}

async fn hand_on(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut weather: watch::Receiver<Weather>,
    way: impl Fn(&Weather) -> Way,
) {
    let mut buffer = vec![0; 64 * 1024];
    let mut has_lost = false;
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        if read == 0 {
            return;
        }
        let mut now = way(&weather.borrow());
        if now == Way::Stalled {
            let Ok(open) = weather.wait_for(|weather| way(weather) != Way::Stalled).await else { return };
            now = way(&open);
        }
        match now {
            Way::Lost => {
                has_lost = true;
                continue;
            }
            Way::Slow(delay) => sleep(delay).await,
            Way::Open | Way::Stalled => {}
        }
        // After a gap nothing that follows can be made sense of.
        if has_lost || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
