//! Histories made by a model that is right are always accepted, whatever overlaps; where nothing overlaps, every single
//! answer that is changed is caught.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod model;

use std::time::{Duration, Instant};

use checker::history::event::{Answer, Introspect, Issue};
use checker::history::{Event, History};
use checker::verdict::Invariant;
use proptest::prelude::*;

use model::{Request, Shape};

fn accepted(history: &History) -> Result<(), TestCaseError> {
    let verdict = checker::judge(history).unwrap();
    prop_assert!(verdict.holds(), "{:#?}\n{:#?}", verdict.violations, history.events);
    Ok(())
}

fn requests() -> impl Strategy<Value = Vec<Request>> {
    prop::collection::vec(model::request(), 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn what_a_right_model_answers_is_accepted(requests in requests()) {
        accepted(&model::play(&requests, Shape::Overlapping))?;
        accepted(&model::play(&requests, Shape::OneByOne))?;
    }

    #[test]
    fn one_answer_that_is_changed_is_caught(requests in requests(), which: prop::sample::Index, refuse: bool) {
        let mut history = model::play(&requests, Shape::OneByOne);
        let mut reads: Vec<_> = history.events.iter_mut().filter_map(|event| match event {
            Event::Introspect(read) => Some(read),
            _ => None,
        }).collect();
        prop_assume!(!reads.is_empty());
        let read = which.get_mut(&mut reads);
        read.answer = match (refuse, read.answer) {
            (true, _) => Answer::Unavailable,
            (false, Answer::Active) => Answer::Inactive,
            (false, _) => Answer::Active,
        };
        let changed = read.clone();
        let verdict = checker::judge(&history).unwrap();
        prop_assert_eq!(verdict.broken.values().sum::<u64>(), 1, "{:?} {:#?}", changed, history.events);
        let violation = &verdict.violations[0];
        let right = match changed.answer {
            Answer::Active => [Invariant::Revoked, Invariant::Bulk, Invariant::Life].contains(&violation.invariant),
            Answer::Inactive => [Invariant::Guess, Invariant::Bulk].contains(&violation.invariant),
            Answer::Unavailable | Answer::None => violation.invariant == Invariant::Guess,
        };
        prop_assert!(right, "{:?} {:?}", changed, violation);
        let shown = violation.events.iter().any(|event| history.events[*event] == Event::Introspect(changed.clone()));
        prop_assert!(shown, "the answer is among the events that show it");
    }

    #[test]
    fn the_order_of_the_lines_means_nothing(requests in requests()) {
        let mut history = model::play(&requests, Shape::Overlapping);
        history.events.reverse();
        accepted(&history)?;
    }
}

/// A million events, among them many of one token and many tokens of one client, in a few seconds.
#[test]
fn long_histories_are_judged_quickly() {
    const TOKENS: u64 = 1_000;
    let mut history = model::play(&[], Shape::OneByOne);
    let token = |number: u64| format!("t{number}");
    for number in 0..TOKENS {
        let (begin, end, token) = (number * 2, number * 2 + 1, token(number));
        let (client, grant) = (format!("c{}", number % 3), Some(format!("g{}", number / 4)));
        let expires = u64::MAX;
        history.events.push(Event::Issue(Issue { begin, end, token, client, grant, expires, ..Issue::default() }));
    }
    for number in 0..1_000_000 {
        let (begin, end) = (TOKENS * 2 + number * 2, TOKENS * 2 + number * 2 + 1);
        // Every other question is about the same token.
        let token = token(if number % 2 == 0 { 0 } else { number % TOKENS });
        let node = u16::try_from(number % 2).unwrap();
        history.events.push(Event::Introspect(Introspect { begin, end, node, token, answer: Answer::Active }));
    }
    let mut text = Vec::new();
    history.write(&mut text).unwrap();
    let begun = Instant::now();
    let history = History::read(text.as_slice()).unwrap();
    let verdict = checker::judge(&history).unwrap();
    assert!(verdict.holds());
    assert_eq!(verdict.counts.active, 1_000_000);
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}
