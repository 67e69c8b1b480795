//! Servers that say what a test tells them to, over streams in memory and in a time that does not pass by itself.

mod cluster;
mod sentinel;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::time::{Instant, sleep, timeout};

use super::{Directory, View};
use crate::client::secret::Secret;
use crate::config::{Config, RedisConfig, RedisTopology, Sources, StoreConfig};
use crate::store::redis::dial::{Address, Dial, Dialling, Stream};
use crate::store::redis::endpoint::Endpoint;
use crate::store::redis::fault::Fault;

/// What a server does with a question.
#[derive(Clone, Debug)]
enum Says {
    /// It answers this, as bytes of RESP3.
    This(String),
    /// It answers this, a while later; what is asked after it waits too.
    Late(Duration, String),
    /// It never answers.
    Nothing,
}

type Behaviour = Arc<dyn Fn(&[String]) -> Says + Send + Sync>;

/// The servers that there are. Those that are not there refuse connections.
#[derive(Clone, Default)]
struct World {
    servers: Arc<Mutex<BTreeMap<Address, Behaviour>>>,
    /// To whom a connection was ever asked for.
    dialled: Arc<Mutex<BTreeSet<Address>>>,
}

impl std::fmt::Debug for World {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("World")
    }
}

impl World {
    /// From now on this server does so, on connections that are open too.
    fn set(&self, address: &Address, behaviour: impl Fn(&[String]) -> Says + Send + Sync + 'static) {
        self.servers.lock().unwrap().insert(address.clone(), Arc::new(behaviour));
    }

    fn behaviour(&self, address: &Address) -> Option<Behaviour> {
        self.servers.lock().unwrap().get(address).cloned()
    }

    fn directory(&self, topology: RedisTopology, addresses: &[Address]) -> Directory {
        let names: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        let url = ("redis.url".to_owned(), format!("redis://{}", names[0]));
        let digest = ("keys.digest".to_owned(), r#"[{"id": "t1", "secret": "the digest key of the tests, 32 bytes"}]"#);
        let overrides = vec![url, (digest.0, digest.1.to_owned())];
        let config = Config::load(&Sources { files: vec![], environment: BTreeMap::new(), overrides }).unwrap();
        let StoreConfig::Redis(config) = config.store else { panic!("redis.url is set") };
        let config = RedisConfig {
            topology,
            nodes: names[1..].to_vec(),
            sentinel_service: "service".to_owned(),
            sentinel_password: (topology == RedisTopology::Sentinel).then(|| Secret::new("hunter2")),
            connect_timeout: PATIENCE / 2,
            ..*config
        };
        let (endpoint, addresses) = Endpoint::new(&config, Arc::new(self.clone())).ok().unwrap();
        Directory::new(&config, &endpoint, addresses, 7)
    }
}

impl Dial for World {
    fn dial<'a>(&'a self, address: &'a Address, _limit: Duration) -> Dialling<'a> {
        Box::pin(async move {
            self.dialled.lock().unwrap().insert(address.clone());
            self.behaviour(address).ok_or(io::ErrorKind::ConnectionRefused)?;
            let (near, far) = tokio::io::duplex(64 * 1024);
            tokio::spawn(serve(self.clone(), address.clone(), far));
            let stream: Box<dyn Stream> = Box::new(near);
            Ok(stream)
        })
    }
}

/// Serves one connection until its end, or until the server is gone.
async fn serve(world: World, address: Address, mut stream: DuplexStream) {
    let (mut unread, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        while let Some(words) = next_command(&mut unread) {
            let Some(behaviour) = world.behaviour(&address) else { return };
            let greeting = match words[0].as_str() {
                "HELLO" => Some("%2\r\n+proto\r\n:3\r\n+version\r\n+7.0.15\r\n".to_owned()),
                "CLIENT" | "AUTH" => Some("+OK\r\n".to_owned()),
                _ => None,
            };
            match greeting.map_or_else(|| behaviour(&words), Says::This) {
                Says::This(reply) => drop(stream.write_all(reply.as_bytes()).await),
                Says::Late(pause, reply) => {
                    sleep(pause).await;
                    drop(stream.write_all(reply.as_bytes()).await);
                }
                Says::Nothing => {}
            }
        }
        match stream.read(&mut buffer).await {
            Ok(length) if length > 0 => unread.extend_from_slice(&buffer[..length]),
            _ => return,
        }
    }
}

/// Takes one command off the front, if it is there as a whole.
fn next_command(unread: &mut Vec<u8>) -> Option<Vec<String>> {
    let mut at = 0;
    let line = |at: &mut usize| {
        let length = unread[*at..].windows(2).position(|two| two == b"\r\n")?;
        let number = str::from_utf8(&unread[*at + 1..*at + length]).unwrap().parse::<usize>().unwrap();
        *at += length + 2;
        Some(number)
    };
    let count = line(&mut at)?;
    let mut words = Vec::new();
    for _ in 0..count {
        let length = line(&mut at)?;
        words.push(String::from_utf8(unread.get(at..at + length)?.to_vec()).unwrap());
        at += length + 2;
    }
    (at <= unread.len()).then(|| unread.drain(..at))?;
    Some(words)
}

/// How long a look may take here.
const PATIENCE: Duration = Duration::from_secs(1);

/// Looks once; what comes back comes in time.
async fn look(directory: &mut Directory) -> Result<View, Fault> {
    let deadline = Instant::now() + PATIENCE;
    timeout(PATIENCE + Duration::from_millis(1), directory.look(deadline)).await.expect("the deadline is kept")
}

/// Looks until that succeeds.
async fn good_look(directory: &mut Directory) -> View {
    for _ in 0..10 {
        if let Ok(view) = look(directory).await {
            return view;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("no look was good")
}

fn text(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

fn list(items: impl IntoIterator<Item = String>) -> String {
    let items: Vec<_> = items.into_iter().collect();
    format!("*{}\r\n{}", items.len(), items.concat())
}
