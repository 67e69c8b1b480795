//! A Redis server of the test's own, and a connection to it.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, FromRedisValue, Pipeline, Value};
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout_at};

use crate::store::redis::durability::Conversation;
use crate::store::redis::fault::Fault;
use crate::store::redis::incarnation::Incarnation;

/// How long anything may take on a busy machine.
pub(in crate::store::redis) const PATIENCE: Duration = Duration::from_secs(10);

/// A server that keeps nothing on disk; ended with the test.
pub(in crate::store::redis) struct Server {
    child: Child,
    folder: TempDir,
    port: u16,
}

/// A connection.
#[derive(Clone)]
pub(in crate::store::redis) struct Talk(MultiplexedConnection);

impl Conversation for Talk {
    async fn pipeline(&mut self, commands: Vec<Cmd>, deadline: Instant) -> Result<Vec<Value>, Fault> {
        let mut pipeline = Pipeline::new();
        for command in commands {
            pipeline.add_command(command);
        }
        let length = pipeline.len();
        let replies = timeout_at(deadline, self.0.send_packed_commands(&pipeline, 0, length)).await;
        replies.map_err(|_| Fault::silence())?.map_err(|error| Fault::of_client(&error))
    }
}

impl Talk {
    /// The incarnation of the server.
    pub(in crate::store::redis) async fn incarnation(&mut self) -> Incarnation {
        let mut replies = self.pipeline(Incarnation::ask().into(), soon()).await.unwrap();
        let replication = replies.pop().unwrap();
        Incarnation::read(replies.pop().unwrap(), replication).unwrap()
    }

    /// One command, the reply of which is no error.
    pub(in crate::store::redis) async fn command<T: FromRedisValue>(&mut self, words: &[&str]) -> T {
        let mut command = Cmd::new();
        command.arg(words);
        let reply = self.pipeline(vec![command], soon()).await.unwrap().pop().unwrap();
        redis::from_redis_value(reply.extract_error().unwrap()).unwrap()
    }

    /// Writes a value that expires at a moment, in milliseconds, or never.
    pub(in crate::store::redis) async fn set(&mut self, key: &str, value: &[u8], expires_at: Option<u64>) {
        let mut command = redis::cmd("SET");
        command.arg(key).arg(value);
        if let Some(expires_at) = expires_at {
            command.arg("PXAT").arg(expires_at);
        }
        let reply = self.pipeline(vec![command], soon()).await.unwrap().pop().unwrap();
        reply.extract_error().unwrap();
    }
}

impl Server {
    pub(in crate::store::redis) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub(in crate::store::redis) async fn start_with(arguments: &[&str]) -> Self {
        // Somebody else may take the port before the server does; then another one is tried.
        for _ in 0..10 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let folder = tempfile::tempdir().unwrap();
            let mut command = Command::new("redis-server");
            command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--logfile", "redis.log"]);
            command.args(["--port", &port.to_string(), "--repl-diskless-sync-delay", "0"]);
            command.arg("--dir").arg(folder.path()).arg("--unixsocket").arg(folder.path().join("s"));
            let child = command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
            let mut child = child.expect("these tests need a Redis server: apt-get install redis-server");
            let socket = folder.path().join("s");
            let until = Instant::now() + PATIENCE;
            while Instant::now() < until && child.try_wait().unwrap().is_none() {
                if socket.exists() && try_talk(socket.clone()).await.is_ok() {
                    return Self { child, folder, port };
                }
                sleep(Duration::from_millis(10)).await;
            }
            let _ = child.kill();
            child.wait().unwrap();
        }
        panic!("redis-server does not start");
    }

    /// A connection.
    pub(in crate::store::redis) async fn talk(&self) -> Talk {
        try_talk(self.folder.path().join("s")).await.unwrap()
    }

    /// Where others reach it.
    pub(in crate::store::redis) fn port(&self) -> u16 {
        self.port
    }

    /// A server that follows this one, and has everything that this one has.
    pub(in crate::store::redis) async fn replica(&self) -> Self {
        let port = self.port.to_string();
        let replica = Self::start_with(&["--replicaof", "127.0.0.1", &port]).await;
        let mut talk = replica.talk().await;
        eventually(async || {
            let info: String = talk.command(&["INFO", "replication"]).await;
            info.contains("master_link_status:up")
        })
        .await;
        replica
    }

    /// Stops the process where it is, or lets it go on.
    pub(in crate::store::redis) fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn try_talk(socket: PathBuf) -> redis::RedisResult<Talk> {
    let client = redis::Client::open(format!("unix://{}?protocol=resp3", socket.display())).unwrap();
    // Deadlines are ours: the library's is too short for a busy machine.
    let config = AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(Some(PATIENCE));
    let mut talk = Talk(client.get_multiplexed_async_connection_with_config(&config).await?);
    let reply = talk.pipeline(vec![redis::cmd("PING")], soon()).await;
    match reply.map(|replies| replies.into_iter().next()) {
        Ok(Some(Value::SimpleString(_) | Value::Okay)) => Ok(talk),
        _ => Err(redis::RedisError::from((redis::ErrorKind::Io, "not up"))),
    }
}

/// A deadline that is only missed when something hangs.
pub(in crate::store::redis) fn soon() -> Instant {
    Instant::now() + PATIENCE
}

/// Waits until something is so.
pub(in crate::store::redis) async fn eventually(mut is_so: impl AsyncFnMut() -> bool) {
    let until = soon();
    while !is_so().await {
        assert!(Instant::now() < until, "it never came to it");
        sleep(Duration::from_millis(5)).await;
    }
}
