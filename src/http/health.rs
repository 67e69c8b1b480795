//! `/livez` and `/readyz`: whether the process lives, and whether it should be sent requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::StatusCode;

use super::{Answer, respond};
use crate::shutdown::Drain;

/// Whether this node can do its work.
#[derive(Clone, Debug)]
pub struct Readiness {
    drain: Drain,
    store: Arc<AtomicBool>,
}

impl Readiness {
    /// Ready while `drain` says that the node serves and the store has been found to answer.
    pub fn new(drain: Drain) -> Self {
        Self { drain, store: Arc::new(AtomicBool::new(false)) }
    }

    /// Says whether the store answers.
    pub fn set_store(&self, answers: bool) {
        self.store.store(answers, Ordering::Release);
    }

    /// Whether the node has been told to end.
    pub fn is_draining(&self) -> bool {
        !self.drain.is_serving()
    }

    /// 200, or 503 with what is missing.
    pub fn answer(&self) -> Answer {
        let (status, body): (_, &'static [u8]) = if self.is_draining() {
            (StatusCode::SERVICE_UNAVAILABLE, br#"{"status":"draining"}"#)
        } else if self.store.load(Ordering::Acquire) {
            (StatusCode::OK, br#"{"status":"ready"}"#)
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, br#"{"status":"store unavailable"}"#)
        };
        respond::json(status, Bytes::from_static(body))
    }
}

/// 200: the process answers. It says nothing of the store, whose failure no restart of this process would mend.
pub fn live() -> Answer {
    respond::json(StatusCode::OK, Bytes::from_static(br#"{"status":"alive"}"#))
}
