//! Several runs at several rates: the latency-throughput curve, and where it bends.

use std::sync::Arc;
use std::time::Duration;

use super::plan::Plan;
use super::{RunError, run};
use crate::number::fraction;
use crate::record::Record;

/// One run of several.
#[derive(Debug)]
pub(crate) struct Step {
    /// What was done.
    pub(crate) plan: Arc<Plan>,
    /// What was seen.
    pub(crate) record: Record,
}

/// Does what the plan says at another rate.
pub(crate) fn run_at(plan: &Plan, rate: f64, live: bool) -> Result<Step, RunError> {
    let plan = Arc::new(plan.at_rate(rate));
    let record = run(&plan, live)?;
    Ok(Step { plan, record })
}

/// Does what the plan says at each of these rates. One wrong answer, and there are no further steps.
pub(crate) fn run_all(plan: &Plan, rates: &[f64], live: bool) -> Result<Vec<Step>, RunError> {
    let mut steps = Vec::new();
    for rate in rates {
        let step = run_at(plan, *rate, live)?;
        let lied = step.record.wrong > 0;
        steps.push(step);
        if lied {
            break;
        }
    }
    Ok(steps)
}

impl Step {
    /// Requests a second that were asked for.
    pub(crate) fn rate(&self) -> f64 {
        self.plan.rate().unwrap_or_default()
    }

    /// Requests a second that were answered.
    pub(crate) fn throughput(&self) -> f64 {
        fraction(self.record.completed) / self.plan.duration.as_secs_f64()
    }

    /// The latency from the intended start that one in a hundred exceeds.
    pub(crate) fn p99(&self) -> Duration {
        self.record.latency.quantile(0.99)
    }

    /// Whether it was answered at the rate at which it was asked, but for what is on its way at the end. How many were
    /// asked is counted, not supposed: a Poisson process has its moods.
    pub(crate) fn keeps_up(&self) -> bool {
        const ANSWERED: f64 = 0.98;
        let Record { completed, latency, unsent, .. } = &self.record;
        self.record.failed() == 0 && *unsent == 0 && fraction(*completed) >= ANSWERED * fraction(latency.len())
    }
}

/// Where a rising curve bends (Satopää et al., "Finding a Kneedle in a Haystack", 2011): the point that lies farthest
/// below the line from its first point to its last. `None` for a curve of less than three points, or one that does not
/// bend.
pub(crate) fn knee(points: &[(f64, f64)]) -> Option<usize> {
    /// Noise bends every line a little.
    const LEAST: f64 = 0.1;
    let (first, last) = (points.first()?, points.last()?);
    let (width, height) = (last.0 - first.0, last.1 - first.1);
    if points.len() < 3 || width <= 0.0 || height <= 0.0 {
        return None;
    }
    let below = |(x, y): &(f64, f64)| (x - first.0) / width - (y - first.1) / height;
    let (index, depth) = points.iter().map(below).enumerate().max_by(|(_, one), (_, other)| one.total_cmp(other))?;
    (depth > LEAST).then_some(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_knee_of_a_queue_is_where_it_is_known_to_be() {
        // An M/M/1 queue, 1 / (1 - load): between 0 and 0.9 the line is farthest above it where the slopes are the
        // same, which is at a load of 1 - sqrt(0.1).
        let points: Vec<(f64, f64)> =
            (0..=90).map(|load| f64::from(load) / 100.0).map(|load| (load, 1.0 / (1.0 - load))).collect();
        assert_eq!(knee(&points), Some(68));
    }

    #[test]
    fn a_line_has_no_knee() {
        assert_eq!(knee(&[]), None);
        assert_eq!(knee(&[(1.0, 1.0), (2.0, 5.0)]), None);
        assert_eq!(knee(&[(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)]), None);
        assert_eq!(knee(&[(1.0, 3.0), (2.0, 2.0), (3.0, 1.0)]), None);
    }
}
