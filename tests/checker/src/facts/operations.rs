//! Operations on one thing, all of one kind, and when they can have taken effect.

use crate::history::Moment;

/// One request that changes something: it takes effect between its two moments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Before this it has not taken effect.
    pub begin: Moment,
    /// After this it has; [`Moment::MAX`] when it was not answered with success.
    pub end: Moment,
    /// From this moment on a failover may have undone it, or, if it approves, a node that had not heard of it;
    /// [`Moment::MAX`] when none may.
    pub lost_from: Moment,
    /// Which event it is.
    pub event: usize,
}

impl Operation {
    /// Whether it was answered with success.
    pub fn is_answered(&self) -> bool {
        self.end != Moment::MAX
    }
}

/// Any number of them. Questions are answered in logarithmic time once they are [sorted](Operations::sort).
#[derive(Clone, Debug, Default)]
pub struct Operations {
    all: Vec<Operation>,
    /// In the order of their beginnings; with each the latest end of all up to it.
    begun: Vec<(Moment, Moment)>,
    /// Those that were answered, in the order of their ends; with each the one of all up to it that began last.
    answered: Vec<(Moment, Operation)>,
}

impl Operations {
    /// Adds one. Questions must not be asked before the next [`Operations::sort`].
    pub fn push(&mut self, operation: Operation) {
        self.all.push(operation);
    }

    /// Makes it ready for questions.
    pub fn sort(&mut self) {
        self.begun = self.all.iter().map(|operation| (operation.begin, operation.end)).collect();
        self.begun.sort_unstable();
        let mut latest = 0;
        for (_, end) in &mut self.begun {
            latest = latest.max(*end);
            *end = latest;
        }
        let answered = self.all.iter().filter(|operation| operation.is_answered());
        self.answered = answered.map(|operation| (operation.end, *operation)).collect();
        self.answered.sort_unstable_by_key(|(end, operation)| (*end, operation.event));
        let mut latest: Option<Operation> = None;
        for (_, operation) in &mut self.answered {
            let last = latest.filter(|last| last.begin > operation.begin).unwrap_or(*operation);
            latest = Some(last);
            *operation = last;
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Operation> {
        self.all.iter()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Until when those that had begun by `moment` can take effect: the latest of them.
    pub fn latest_end_begun_by(&self, moment: Moment) -> Option<Moment> {
        let count = self.begun.partition_point(|(begin, _)| *begin <= moment);
        Some(self.begun[count.checked_sub(1)?].1)
    }

    /// Of those that were answered before `moment`, the one that began last.
    pub fn last_answered_before(&self, moment: Moment) -> Option<Operation> {
        let count = self.answered.partition_point(|(end, _)| *end < moment);
        Some(self.answered[count.checked_sub(1)?].1)
    }

    /// The same without those that a failover may have undone by `seen`.
    pub fn last_kept_before(&self, moment: Moment, seen: Moment) -> Option<Operation> {
        let kept = self.all.iter().filter(|operation| operation.end < moment && operation.lost_from > seen);
        kept.max_by_key(|operation| operation.begin).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operations(spans: &[(Moment, Moment)]) -> Operations {
        let mut operations = Operations::default();
        for (event, &(begin, end)) in spans.iter().enumerate() {
            operations.push(Operation { begin, end, lost_from: Moment::MAX, event });
        }
        operations.sort();
        operations
    }

    #[test]
    fn questions_about_spans_that_overlap() {
        let operations = operations(&[(10, 100), (20, 30), (40, 50), (60, Moment::MAX)]);
        assert_eq!(operations.latest_end_begun_by(9), None);
        assert_eq!(operations.latest_end_begun_by(10), Some(100));
        assert_eq!(operations.latest_end_begun_by(59), Some(100));
        assert_eq!(operations.latest_end_begun_by(60), Some(Moment::MAX));
        assert_eq!(operations.last_answered_before(30), None);
        assert_eq!(operations.last_answered_before(31).unwrap().begin, 20);
        assert_eq!(operations.last_answered_before(51).unwrap().begin, 40);
        assert_eq!(operations.last_answered_before(Moment::MAX).unwrap().begin, 40, "the one from 10 began before it");
    }

    #[test]
    fn what_a_failover_may_have_undone_is_left_out() {
        let mut operations = Operations::default();
        operations.push(Operation { begin: 1, end: 2, lost_from: Moment::MAX, event: 0 });
        operations.push(Operation { begin: 3, end: 4, lost_from: 10, event: 1 });
        operations.sort();
        assert_eq!(operations.last_kept_before(9, 9).unwrap().event, 1);
        assert_eq!(operations.last_kept_before(9, 10).unwrap().event, 0);
        assert_eq!(operations.last_kept_before(2, 10), None);
    }
}
