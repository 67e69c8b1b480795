//! Everything that a run needs, checked.

use std::sync::Arc;
use std::time::Duration;

use super::changes::ChangePlan;
use crate::client::target::Target;
use crate::schedule::arrivals::Shape;
use crate::workload::file::{Authentication, Protocol};
use crate::workload::population::Population;

/// What is to be done.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Where the server is.
    pub(crate) target: Arc<Target>,
    /// What is asked.
    pub(crate) population: Arc<Population>,
    /// What changes meanwhile.
    pub(crate) changes: Option<Arc<ChangePlan>>,
    /// How requests are put on the wire.
    pub(crate) protocol: Protocol,
    /// How the caller proves who it is.
    pub(crate) authentication: Authentication,
    /// How requests arrive; `None` in a closed loop.
    pub(crate) shape: Option<Shape>,
    /// Decides all that is left to chance.
    pub(crate) seed: u64,
    /// How many connections.
    pub(crate) connections: u16,
    /// How many requests at once on each; 1 but with HTTP/2.
    pub(crate) streams: u16,
    /// After how many requests a connection is closed and another one opened.
    pub(crate) churn: Option<u32>,
    /// How many threads; never more than connections.
    pub(crate) threads: u16,
    /// How long to measure.
    pub(crate) duration: Duration,
    /// How long to ask before that.
    pub(crate) warmup: Duration,
    /// How long a window is.
    pub(crate) window: Duration,
    /// How long one answer may take.
    pub(crate) timeout: Duration,
    /// How much lag of its own the generator may have.
    pub(crate) lag_bound: Duration,
}

impl Plan {
    /// The same at another rate, evenly or as a Poisson process as before.
    pub(crate) fn at_rate(&self, rate: f64) -> Self {
        let shape = match self.shape {
            Some(Shape::Poisson { .. }) => Shape::Poisson { rate },
            _ => Shape::Constant { rate },
        };
        Self { shape: Some(shape), ..self.clone() }
    }

    /// The requests a second that it asks for, on average; `None` in a closed loop.
    pub(crate) fn rate(&self) -> Option<f64> {
        self.shape.map(|shape| match shape {
            Shape::Constant { rate } | Shape::Poisson { rate } => rate,
            Shape::Burst { base, peak, every, length } => {
                let share = length.as_secs_f64() / every.as_secs_f64();
                base * (1.0 - share) + peak * share
            }
        })
    }
}
