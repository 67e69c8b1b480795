//! Connections beside the hot path, for work whose replies are long: a pool, from which each is taken by one call
//! alone.
//!
//! Replies come in order, so a page of a thousand clients on a shared connection would hold up every introspection that
//! was asked after it.

use std::time::Duration;

use deadpool_redis::{Manager, Pool, PoolError, Runtime};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, Pipeline, Value};
use tokio::time::{Instant, timeout, timeout_at};

use super::dial::Address;
use super::endpoint::Endpoint;
use super::fault::Fault;

/// The pool.
pub(super) struct Administration {
    /// None when the library refuses the address, which it has taken in the configuration.
    pool: Option<Pool>,
    connect_timeout: Duration,
    response_timeout: Duration,
}

/// A connection taken from the pool, and the moment by which the call must be over.
pub(super) struct Visit {
    connection: deadpool_redis::Connection,
    deadline: Instant,
}

impl Administration {
    /// Those to one server; none is opened yet.
    pub(super) fn new(endpoint: &Endpoint, address: &Address) -> Self {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(endpoint.connect_timeout()))
            .set_response_timeout(Some(endpoint.response_timeout()));
        let pool = Manager::new_with_config(endpoint.info(address), config)
            .ok()
            .and_then(|manager| Pool::builder(manager).max_size(CONNECTIONS).runtime(Runtime::Tokio1).build().ok());
        let (connect_timeout, response_timeout) = (endpoint.connect_timeout(), endpoint.response_timeout());
        Self { pool, connect_timeout, response_timeout }
    }

    /// Takes a connection: opened if need be, and then bounded by the connect timeout rather than the response timeout,
    /// within which a new one could never be had on a slow network.
    pub(super) async fn visit(&self) -> Result<Visit, Fault> {
        let pool = self.pool.as_ref().ok_or_else(|| Fault::refused("the Redis client library refused the address"))?;
        let connection = timeout(self.connect_timeout, pool.get()).await;
        let connection = connection.map_err(|_| Fault::silence())?.map_err(|error| match error {
            PoolError::Backend(error) => Fault::of_client(&error),
            PoolError::Closed => Fault::closed(),
            _ => Fault::silence(),
        })?;
        Ok(Visit { connection, deadline: Instant::now() + self.response_timeout })
    }

    /// Lets go of all connections; those taken, when they come back.
    pub(super) fn close(&self) {
        if let Some(pool) = &self.pool {
            pool.close();
        }
    }
}

impl Visit {
    /// Several commands in one round trip; their replies in order. One error is an error of all.
    pub(super) async fn pipeline(&mut self, commands: impl IntoIterator<Item = Cmd>) -> Result<Vec<Value>, Fault> {
        let mut pipeline = Pipeline::new();
        for command in commands {
            pipeline.add_command(command);
        }
        let connection: &mut MultiplexedConnection = &mut self.connection;
        let replies = timeout_at(self.deadline, connection.send_packed_commands(&pipeline, 0, pipeline.len())).await;
        let replies = replies.map_err(|_| Fault::silence())?.map_err(|error| Fault::of_client(&error))?;
        replies
            .into_iter()
            .map(|reply| match reply {
                Value::ServerError(error) => Err(Fault::of_server(&error)),
                reply => Ok(reply),
            })
            .collect()
    }
}

/// Operators' requests that read at the same time; more wait for their turn.
const CONNECTIONS: usize = 2;
