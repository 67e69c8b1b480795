//! One connection to one server, and what is said over it: commands in a row, one round trip, a deadline.

use std::pin::Pin;
use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, PushInfo, Value};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::fault::Fault;

/// Is told of what the server says unasked, and of the end of the connection: in the order in which it comes, before
/// any reply that comes after it. Must not block.
pub(super) type Listener = Arc<dyn Fn(PushInfo) + Send + Sync>;

/// Moves the bytes of a connection; ends when it is lost or nobody can send through it any more.
pub(super) type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection of one owner. Dropping it closes the connection.
pub(super) struct Link {
    line: Line,
    /// A set of one, because dropping it ends the task, and with it the connection.
    driver: JoinSet<()>,
}

/// What commands are sent through: any number of owners at once.
#[derive(Clone)]
pub(super) struct Line {
    connection: MultiplexedConnection,
}

impl Link {
    pub(super) fn new(connection: MultiplexedConnection, driver: Driver) -> Self {
        let mut tasks = JoinSet::new();
        tasks.spawn(driver);
        Self { line: Line { connection }, driver: tasks }
    }

    /// For others to send through it as well, for as long as this link lives.
    pub(super) fn line(&self) -> Line {
        self.line.clone()
    }

    /// Returns when the connection is lost.
    pub(super) async fn lost(&mut self) -> Fault {
        self.driver.join_next().await;
        Fault::unavailable("the connection to Redis was lost")
    }

    /// As [`Line::pipeline`].
    pub(super) async fn pipeline(
        &mut self,
        commands: impl IntoIterator<Item = Cmd>,
        deadline: Instant,
    ) -> Result<Vec<Value>, Fault> {
        self.line.pipeline(commands, deadline).await
    }
}

impl Line {
    /// Several commands in one round trip; their replies in order, errors of the server among them.
    pub(super) async fn pipeline(
        &mut self,
        commands: impl IntoIterator<Item = Cmd>,
        deadline: Instant,
    ) -> Result<Vec<Value>, Fault> {
        let mut pipeline = Pipeline::new();
        for command in commands {
            pipeline.add_command(command);
        }
        let length = pipeline.len();
        let replies = timeout_at(deadline, self.connection.send_packed_commands(&pipeline, 0, length)).await;
        let replies = replies.map_err(|_| Fault::silence())?.map_err(|error| Fault::of_client(&error))?;
        if replies.len() == length { Ok(replies) } else { Err(Fault::unexpected_reply()) }
    }

    /// Has the listener of the connection told of what is published in a channel.
    pub(super) async fn subscribe(&mut self, channel: &str, deadline: Instant) -> Result<(), Fault> {
        let subscribed = timeout_at(deadline, self.connection.subscribe(channel)).await;
        subscribed.map_err(|_| Fault::silence())?.map_err(|error| Fault::of_client(&error))
    }

    /// One command; an error of the server is a fault.
    pub(super) async fn command(&mut self, command: Cmd, deadline: Instant) -> Result<Value, Fault> {
        let reply = self.pipeline([command], deadline).await?.pop().ok_or_else(Fault::unexpected_reply)?;
        accept(reply)
    }
}

/// Turns an error that Redis answered into a fault.
pub(super) fn accept(reply: Value) -> Result<Value, Fault> {
    match reply {
        Value::ServerError(error) => Err(Fault::of_server(&error)),
        reply => Ok(reply),
    }
}
