//! `/livez` and `/readyz`: whether the process lives, and whether it should be sent requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::StatusCode;

use super::{Answer, respond};
use crate::shutdown::Drain;
use crate::store::condition::Finding;

/// Whether this node can do its work.
#[derive(Clone, Debug)]
pub struct Readiness {
    drain: Drain,
    store: Arc<AtomicBool>,
    findings: Arc<ArcSwap<Vec<Finding>>>,
    refuses_unsafe: bool,
}

impl Readiness {
    /// Ready while `drain` says that the node serves and the store has been found to answer.
    /// With `refuses_unsafe` not if a setting of the store's servers may lose a revocation.
    pub fn new(drain: Drain, refuses_unsafe: bool) -> Self {
        Self { drain, store: Arc::default(), findings: Arc::default(), refuses_unsafe }
    }

    /// Says whether the store answers.
    pub fn set_store(&self, answers: bool) {
        self.store.store(answers, Ordering::Release);
    }

    /// Says what is known of the settings of the store's servers.
    pub fn set_findings(&self, findings: Vec<Finding>) {
        self.findings.store(Arc::new(findings));
    }

    /// Whether the node has been told to end.
    pub fn is_draining(&self) -> bool {
        !self.drain.is_serving()
    }

    /// 200, or 503 with what is missing.
    pub fn answer(&self) -> Answer {
        self.tell(false)
    }

    /// The same with what is worth knowing of the store, for operators: it says what the store is.
    pub fn answer_in_detail(&self) -> Answer {
        self.tell(true)
    }

    /// Why this node should not be sent requests; `None` when it should.
    pub fn hindrance(&self) -> Option<&'static str> {
        if self.is_draining() {
            Some("draining")
        } else if !self.store.load(Ordering::Acquire) {
            Some("store unavailable")
        } else if self.refuses_unsafe && self.findings.load().iter().any(|finding| finding.is_unsafe) {
            Some("store unsafe")
        } else {
            None
        }
    }

    fn tell(&self, in_detail: bool) -> Answer {
        let hindrance = self.hindrance();
        let status = if hindrance.is_some() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
        let findings = self.findings.load();
        let mut body = serde_json::json!({"status": hindrance.unwrap_or("ready")});
        if in_detail && !findings.is_empty() {
            // What they mean stands in the log.
            let shown =
                findings.iter().map(|finding| serde_json::json!({"id": finding.id, "unsafe": finding.is_unsafe}));
            body["findings"] = shown.collect();
        }
        respond::json(status, Bytes::from(body.to_string()))
    }
}

/// 200: the process answers. It says nothing of the store, whose failure no restart of this process would mend.
pub fn live() -> Answer {
    respond::json(StatusCode::OK, Bytes::from_static(br#"{"status":"alive"}"#))
}
