//! The highest rate at which the 99th percentile stays within a bound.

use std::time::Duration;

use super::RunError;
use super::plan::Plan;
use super::sweep::{self, Step};

/// What is looked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Goal {
    /// What p99 must not exceed.
    pub(crate) bound: Duration,
    /// The lowest rate of interest.
    pub(crate) from: f64,
    /// The highest.
    pub(crate) to: f64,
    /// How closely it is to be found, as a share of the rate.
    pub(crate) precision: f64,
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Found {
    /// All steps, in their order.
    pub(crate) steps: Vec<Step>,
    /// The step with the highest rate that kept the promise.
    pub(crate) best: Option<usize>,
}

/// A search that has not ended by then does not.
pub(crate) const MOST_STEPS: u32 = 40;

/// Looks for it: doubles the rate until the promise is broken, and halves the distance from then on.
pub(crate) fn run(plan: &Plan, goal: &Goal, live: bool) -> Result<Found, RunError> {
    let mut found = Found { steps: Vec::new(), best: None };
    let mut bracket = Bracket { good: None, bad: None };
    while let Some(rate) = bracket.next(goal)
        && found.steps.len() < MOST_STEPS as usize
    {
        let step = sweep::run_at(plan, rate, live)?;
        let (kept, lied) = (step.keeps_up() && step.p99() <= goal.bound, step.record.wrong > 0);
        if live {
            let p99 = crate::number::microseconds(step.p99());
            eprintln!("{rate:.0}/s: p99 {p99:.0} us, {}", if kept { "kept" } else { "broken" });
        }
        if kept {
            found.best = Some(found.steps.len());
        }
        found.steps.push(step);
        bracket.tell(rate, kept);
        if lied {
            break;
        }
    }
    Ok(found)
}

/// Between which rates it lies.
#[derive(Debug)]
struct Bracket {
    good: Option<f64>,
    bad: Option<f64>,
}

impl Bracket {
    /// The rate to be tried next; `None` when it is known closely enough.
    fn next(&self, goal: &Goal) -> Option<f64> {
        match (self.good, self.bad) {
            (None, None) => Some(goal.from),
            // The lowest rate of interest was too high.
            (None, Some(_)) => None,
            (Some(good), None) => (good < goal.to).then(|| (2.0 * good).min(goal.to)),
            (Some(good), Some(bad)) => (bad > good * (1.0 + goal.precision)).then(|| f64::midpoint(good, bad).round()),
        }
        .filter(|rate| Some(*rate) != self.good && Some(*rate) != self.bad)
    }

    fn tell(&mut self, rate: f64, kept: bool) {
        let end = if kept { &mut self.good } else { &mut self.bad };
        *end = Some(rate);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(limit: f64) -> (Vec<f64>, Option<f64>) {
        let goal = Goal { bound: Duration::ZERO, from: 1000.0, to: 100_000.0, precision: 0.05 };
        let (mut bracket, mut tried) = (Bracket { good: None, bad: None }, Vec::new());
        while let Some(rate) = bracket.next(&goal) {
            tried.push(rate);
            bracket.tell(rate, rate <= limit);
            assert!(tried.len() < 40, "it does not end: {tried:?}");
        }
        (tried, bracket.good)
    }

    #[test]
    fn it_closes_in_on_the_limit_wherever_that_is() {
        for limit in [1000.0, 1001.0, 5333.0, 31_999.0, 32_000.0, 99_999.0] {
            let (tried, found) = search(limit);
            let found = found.unwrap();
            assert!(found <= limit && found * 1.05 >= limit.min(100_000.0) * 0.999, "{limit}: {tried:?}");
        }
        assert_eq!(search(500.0), (vec![1000.0], None));
        assert_eq!(search(1e9).1, Some(100_000.0));
    }
}
