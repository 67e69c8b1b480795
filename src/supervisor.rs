//! The service manager that started the process, as systemd: it is told when the service is ready, when it reads its
//! settings anew, when it ends, and that it still runs.
//!
//! Its protocol (`sd_notify(3)`) is datagrams of lines `NAME=value`, sent to the unix socket that `NOTIFY_SOCKET` names.
//! Where nobody listens, nothing is sent, and nothing else is different.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram as BlockingDatagram};
use std::process;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::net::UnixDatagram;
use tokio::time::{MissedTickBehavior, interval};

use crate::config::Environment;
use crate::http::health::Readiness;
use crate::shutdown::{Drain, Phase};
use crate::threads::Threads;

/// How often readiness is looked at until the service is ready: a start is not delayed by more than this.
const LOOK: Duration = Duration::from_millis(20);

/// The service manager, if there is one.
#[derive(Debug)]
pub struct Supervisor {
    socket: Option<UnixDatagram>,
    /// After how long without a sign of life it takes the process for dead.
    watchdog: Option<Duration>,
    said: AtomicU8,
}

/// What it was told last of the service's life: it must not hear that a service is ready which is ending.
const STARTING: u8 = 0;
const READY: u8 = 1;
const STOPPING: u8 = 2;

impl Supervisor {
    /// The one that the environment names. Has to be called within a tokio runtime. One that cannot be reached is named
    /// in the log, and the service runs without it.
    pub fn of(environment: &impl Environment) -> Self {
        let variables = environment.variables();
        let variable = |wanted: &str| variables.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
        let socket = variable("NOTIFY_SOCKET").and_then(|name| match connect(name) {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::warn!(socket = %name.display(), %error, "the service manager cannot be reached");
                None
            }
        });
        let number = |name| variable(name)?.to_str()?.parse::<u64>().ok();
        // Inherited from the manager of another process, it is not meant for this one.
        let is_ours = variable("WATCHDOG_PID").is_none() || number("WATCHDOG_PID") == Some(process::id().into());
        let watchdog = number("WATCHDOG_USEC").filter(|micros| is_ours && *micros > 0).map(Duration::from_micros);
        Self { watchdog: watchdog.filter(|_| socket.is_some()), socket, said: AtomicU8::new(STARTING) }
    }

    /// Tells it of the service's life for as long as the result is driven; it never ends.
    pub async fn follow(&self, drain: &Drain, readiness: &Readiness, threads: &Threads) {
        if self.socket.is_none() {
            return std::future::pending().await;
        }
        tokio::join!(self.tell_phases(drain, readiness), self.tell_that_it_runs(threads));
    }

    async fn tell_phases(&self, drain: &Drain, readiness: &Readiness) {
        tokio::select! {
            () = drain.reached(Phase::Draining) => {}
            () = self.wait_until_ready(readiness) => {
                self.said.store(READY, Ordering::Release);
                self.send("READY=1\nSTATUS=ready\n").await;
                drain.reached(Phase::Draining).await;
            }
        }
        self.said.store(STOPPING, Ordering::Release);
        self.send("STOPPING=1\nSTATUS=draining\n").await;
    }

    async fn wait_until_ready(&self, readiness: &Readiness) {
        let mut looks = interval(LOOK);
        let mut said = None;
        loop {
            looks.tick().await;
            let hindrance = readiness.hindrance();
            let Some(text) = hindrance else { return };
            // What a person sees who asks why it does not come up.
            if said != hindrance {
                said = hindrance;
                self.send(&format!("STATUS=not ready: {text}\n")).await;
            }
        }
    }

    /// A sign of life comes from the threads that answer requests: when one of them hangs that connections belong to, or
    /// all of those that share them, it does not come.
    async fn tell_that_it_runs(&self, threads: &Threads) {
        let Some(patience) = self.watchdog else { return std::future::pending().await };
        let mut ticks = interval(patience / 2);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            threads.turn().await;
            self.send("WATCHDOG=1\n").await;
        }
    }

    /// Tells it that settings are read anew while `work` runs, and afterwards that the service is ready again.
    pub async fn while_reloading<T>(&self, work: impl Future<Output = T>) -> T {
        if self.said.load(Ordering::Acquire) == READY {
            // It compares this with the moment at which it asked (`Type=notify-reload`).
            let now = clock_gettime(ClockId::Monotonic);
            let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
            self.send(&format!("RELOADING=1\nMONOTONIC_USEC={micros}\n")).await;
        }
        let result = work.await;
        if self.said.load(Ordering::Acquire) == READY {
            self.send("READY=1\n").await;
        }
        result
    }

    async fn send(&self, message: &str) {
        let Some(socket) = &self.socket else { return };
        if let Err(error) = socket.send(message.as_bytes()).await {
            tracing::warn!(%error, "the service manager cannot be told");
        }
    }
}

/// A path, or an abstract name behind `@`.
fn connect(name: &OsStr) -> io::Result<UnixDatagram> {
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = BlockingDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_nonblocking(true)?;
    UnixDatagram::from_std(socket)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::DrainConfig;

    struct Manager {
        socket: UnixDatagram,
        environment: BTreeMap<String, String>,
        _folder: tempfile::TempDir,
    }

    impl Manager {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("notify");
            let socket = UnixDatagram::bind(&path).unwrap();
            let environment = BTreeMap::from([("NOTIFY_SOCKET".to_owned(), path.to_str().unwrap().to_owned())]);
            Self { socket, environment, _folder: folder }
        }

        async fn hears(&self) -> String {
            let mut buffer = [0; 256];
            let length = tokio::time::timeout(Duration::from_secs(10), self.socket.recv(&mut buffer)).await;
            String::from_utf8(buffer[..length.expect("something is said").unwrap()].to_vec()).unwrap()
        }
    }

    fn drain() -> Drain {
        Drain::new(&DrainConfig { min: Duration::ZERO, max: Duration::ZERO })
    }

    #[tokio::test]
    async fn a_service_is_announced_when_it_is_ready_and_when_it_ends() {
        let manager = Manager::new();
        let supervisor = Supervisor::of(&manager.environment);
        let drain = drain();
        let (readiness, threads) = (Readiness::new(drain.clone(), false), Threads::default());
        let service = async {
            assert_eq!(manager.hears().await, "STATUS=not ready: store unavailable\n");
            supervisor.while_reloading(async {}).await;
            readiness.set_store(true);
            assert_eq!(manager.hears().await, "READY=1\nSTATUS=ready\n", "not by a reload");
            // A store that is away later on is no end of the service.
            readiness.set_store(false);
            supervisor.while_reloading(async {}).await;
            let reloading = manager.hears().await;
            let micros = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().trim_end();
            assert!(micros.parse::<u64>().unwrap() > 0);
            assert_eq!(manager.hears().await, "READY=1\n");
            drain.begin();
            assert_eq!(manager.hears().await, "STOPPING=1\nSTATUS=draining\n");
            supervisor.while_reloading(async {}).await;
            assert!(manager.socket.try_recv(&mut [0; 16]).is_err(), "it is not ready again");
        };
        tokio::select! {
            () = supervisor.follow(&drain, &readiness, &threads) => unreachable!("it never ends"),
            () = service => {}
        }
    }

    #[tokio::test]
    async fn a_start_that_is_broken_off_was_never_ready() {
        let manager = Manager::new();
        let supervisor = Supervisor::of(&manager.environment);
        let drain = drain();
        let (readiness, threads) = (Readiness::new(drain.clone(), false), Threads::default());
        drain.begin();
        let service = async {
            let first = manager.hears().await;
            let last = if first.starts_with("STATUS=not ready") { manager.hears().await } else { first };
            assert_eq!(last, "STOPPING=1\nSTATUS=draining\n");
        };
        tokio::select! {
            () = supervisor.follow(&drain, &readiness, &threads) => unreachable!("it never ends"),
            () = service => {}
        }
    }

    #[tokio::test]
    async fn signs_of_life_come_twice_as_often_as_they_must() {
        let mut manager = Manager::new();
        manager.environment.insert("WATCHDOG_USEC".into(), "20000".into());
        manager.environment.insert("WATCHDOG_PID".into(), process::id().to_string());
        let supervisor = Supervisor::of(&manager.environment);
        assert_eq!(supervisor.watchdog, Some(Duration::from_millis(20)));
        let drain = drain();
        let (readiness, threads) = (Readiness::new(drain.clone(), false), Threads::default());
        let service = async {
            let mut signs = 0;
            while signs < 3 {
                signs += u32::from(manager.hears().await == "WATCHDOG=1\n");
            }
            drain.begin();
            while manager.hears().await != "STOPPING=1\nSTATUS=draining\n" {}
            assert_eq!(manager.hears().await, "WATCHDOG=1\n", "and while it drains");
        };
        tokio::select! {
            () = supervisor.follow(&drain, &readiness, &threads) => unreachable!("it never ends"),
            () = service => {}
        }
    }

    #[tokio::test]
    async fn what_is_meant_for_others_or_cannot_be_read_is_left_alone() {
        let mut manager = Manager::new();
        for (id, micros) in [("1", "20000"), ("", "20000"), ("x", "20000"), (&process::id().to_string(), "0")] {
            manager.environment.insert("WATCHDOG_PID".into(), id.into());
            manager.environment.insert("WATCHDOG_USEC".into(), micros.into());
            assert_eq!(Supervisor::of(&manager.environment).watchdog, None, "{id} {micros}");
        }
        for (name, value) in [("NOTIFY_SOCKET", "/nowhere/notify"), ("NOTIFY_SOCKET", ""), ("PATH", "/bin")] {
            let environment =
                BTreeMap::from([(name.to_owned(), value.to_owned()), ("WATCHDOG_USEC".to_owned(), "20000".to_owned())]);
            let supervisor = Supervisor::of(&environment);
            assert!(supervisor.socket.is_none() && supervisor.watchdog.is_none(), "{name}={value}");
            assert_eq!(supervisor.while_reloading(async { 7 }).await, 7);
        }
    }

    #[tokio::test]
    async fn a_name_without_a_file_is_taken() {
        let name = format!("introspectd-test-{}", process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let listener = BlockingDatagram::bind_addr(&address).unwrap();
        let supervisor = Supervisor::of(&BTreeMap::from([("NOTIFY_SOCKET".to_owned(), format!("@{name}"))]));
        supervisor.send("STATUS=there\n").await;
        let mut buffer = [0; 32];
        let length = listener.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"STATUS=there\n");
    }
}
