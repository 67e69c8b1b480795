//! Issues and revokes tokens while others read them, over introspectd's admin API, and moves the truth along.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::{JoinSet, LocalSet};
use tokio::time::{sleep_until, timeout};

use crate::client::http1::Http1;
use crate::random::Random;
use crate::record::Changed;
use crate::schedule::arrivals::{Arrivals, Shape};
use crate::schedule::{Schedule, Span};
use crate::workload::Kind;
use crate::workload::file::Changes;
use crate::workload::population::Population;
use crate::workload::seeding::Issuer;

/// What is to be changed, how often, and where.
#[derive(Debug)]
pub(crate) struct ChangePlan {
    /// Who issues and revokes.
    pub(crate) issuer: Issuer,
    /// How often.
    pub(crate) changes: Changes,
    /// Decides which.
    pub(crate) seed: u64,
}

/// How many changes are on their way at once, of each of both.
const AT_ONCE: usize = 4;
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// A revoked token is asked for at least so long before another takes its place.
const REST: Duration = Duration::from_secs(1);
/// How often a token that is still live is looked for.
const TRIES: usize = 64;

/// Changes for as long as the span lasts.
pub(crate) fn work(plan: &Arc<ChangePlan>, population: &Arc<Population>, span: Span) -> io::Result<Changed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let changer = std::rc::Rc::new(Changer {
        plan: Arc::clone(plan),
        population: Arc::clone(population),
        random: RefCell::new(Random::new(plan.seed, 2 << 32)),
        revoked: RefCell::default(),
        changed: RefCell::default(),
    });
    let open = |rate: f64| {
        let arrivals = Arrivals::new(Shape::Constant { rate }, 0, 0, 1);
        (rate > 0.0).then(|| std::rc::Rc::new(Schedule::new(span, Some(arrivals))))
    };
    let revocations = open(plan.changes.revocations_per_second);
    let issues = open(plan.changes.issues_per_second);
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        let mut tasks = JoinSet::new();
        for _ in 0..AT_ONCE {
            for (schedule, revokes) in [(&revocations, true), (&issues, false)] {
                if let Some(schedule) = schedule {
                    let (changer, schedule) = (std::rc::Rc::clone(&changer), std::rc::Rc::clone(schedule));
                    tasks.spawn_local(async move { changer.work(&schedule, revokes).await });
                }
            }
        }
        while tasks.join_next().await.is_some() {}
    });
    let changed = *changer.changed.borrow();
    Ok(changed)
}

struct Changer {
    plan: Arc<ChangePlan>,
    population: Arc<Population>,
    random: RefCell<Random>,
    /// Hot ranks whose tokens were revoked, and when.
    revoked: RefCell<VecDeque<(usize, Instant)>>,
    changed: RefCell<Changed>,
}

impl Changer {
    async fn work(&self, schedule: &Schedule, revokes: bool) {
        let mut connection = None;
        while let Some(intended) = schedule.take() {
            sleep_until(intended.into()).await;
            let changed = timeout(PATIENCE, async {
                if revokes { self.revoke(&mut connection).await } else { self.issue(&mut connection).await }
            });
            if changed.await.ok().flatten().is_none() {
                self.changed.borrow_mut().failed += 1;
                connection = None;
            }
        }
    }

    async fn revoke(&self, connection: &mut Option<Http1>) -> Option<()> {
        let live = || {
            let (rank, number) = self.population.any_hot(&mut self.random.borrow_mut())?;
            self.population.get(number).truth.begin_revocation().then_some((rank, number))
        };
        // All of them may be revoked already, where more are revoked than issued.
        let Some((rank, number)) = (0..TRIES).find_map(|_| live()) else { return Some(()) };
        let entry = self.population.get(number);
        let token = entry.token.as_deref().expect("hot tokens of a changing population are kept");
        self.plan.issuer.revoke(connection, token).await.ok()?;
        entry.truth.end_revocation();
        self.revoked.borrow_mut().push_back((rank, Instant::now()));
        self.changed.borrow_mut().revoked += 1;
        Some(())
    }

    async fn issue(&self, connection: &mut Option<Http1>) -> Option<()> {
        let rank = {
            let mut revoked = self.revoked.borrow_mut();
            match revoked.front() {
                Some((_, since)) if since.elapsed() >= REST => revoked.pop_front().map(|(rank, _)| rank),
                _ => self.population.any_hot(&mut self.random.borrow_mut()).map(|(rank, _)| rank),
            }
        };
        let subject = format!("load-new-{}", self.random.borrow_mut().text(12));
        let known = self.plan.issuer.issue(connection, Kind::ActiveHot, subject).await.ok()?;
        self.changed.borrow_mut().issued += u64::from(self.population.replace(rank?, known));
        Some(())
    }
}
