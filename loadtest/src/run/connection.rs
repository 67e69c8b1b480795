//! One connection, whatever it speaks: asks, and has the answer judged.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::plan::Plan;
use crate::client::Fault;
use crate::client::http1::Http1;
use crate::client::http2::Http2;
use crate::record::{Record, Verdict};
use crate::truth::answer::Judge;
use crate::workload::file::Protocol;
use crate::workload::population::Entry;

/// What asks.
pub(crate) enum Connection {
    /// With a connection of its own.
    Own {
        /// Where it is, if there is one.
        open: Option<Http1>,
        /// How many requests it has carried.
        carried: u32,
    },
    /// With streams of one that others use, too.
    Shared(Rc<Http2>),
}

/// After a connection could not be opened: a server that is away must not be run over when it comes back.
const RECONNECT_PAUSE: Duration = Duration::from_millis(50);
/// RFC 7662 section 2.2: what an answer has.
const OK: u16 = 200;

impl Connection {
    /// Connects. The result is as many askers as can ask at once.
    pub(crate) async fn open(plan: &Plan) -> io::Result<Vec<Self>> {
        match plan.protocol {
            Protocol::Http1 => Ok(vec![Self::Own { open: Some(Http1::open(&plan.target).await?), carried: 0 }]),
            Protocol::Http2 => {
                let shared = Http2::open(&plan.target).await.map_err(|fault| io::Error::other(format!("{fault:?}")))?;
                Ok((0..plan.streams).map(|_| Self::Shared(Rc::clone(&shared))).collect())
            }
        }
    }

    /// Asks for a token, and says what became of it.
    pub(crate) async fn ask(
        &mut self,
        plan: &Plan,
        number: usize,
        record: &RefCell<Record>,
        judge: &RefCell<Judge>,
    ) -> Verdict {
        let entry = plan.population.get(number);
        match self {
            Self::Own { open, carried } => {
                let mut connection = match open.take() {
                    Some(connection) if connection.is_usable() => connection,
                    closed => {
                        if closed.is_some() {
                            record.borrow_mut().reconnects += 1;
                        }
                        *carried = 0;
                        match connect(plan, record).await {
                            Ok(connection) => connection,
                            Err(verdict) => return verdict,
                        }
                    }
                };
                *carried += 1;
                let last = plan.churn.is_some_and(|most| *carried >= most);
                let before = entry.truth.before();
                let (verdict, keeps) = match connection.ask(&plan.target, &entry.form, last).await {
                    Err(fault) => (Verdict::Broken(fault), false),
                    Ok(answer) if answer.status != OK => (Verdict::Refused(answer.status), answer.keeps_alive),
                    Ok(answer) => {
                        let expected = entry.truth.expected(before);
                        let subject = entry.subject.as_deref();
                        let right = judge.borrow_mut().is_true(number, subject, answer.body, expected);
                        (if right { Verdict::Right } else { Verdict::Wrong }, answer.keeps_alive)
                    }
                };
                if last {
                    connection.retire();
                } else if keeps {
                    *open = Some(connection);
                } else if verdict == Verdict::Right || matches!(verdict, Verdict::Refused(_)) {
                    record.borrow_mut().reconnects += 1;
                }
                verdict
            }
            Self::Shared(connection) => ask_shared(connection, entry, number, record, judge).await,
        }
    }
}

async fn connect(plan: &Plan, record: &RefCell<Record>) -> Result<Http1, Verdict> {
    let begin = Instant::now();
    let Ok(connection) = Http1::open(&plan.target).await else {
        tokio::time::sleep(RECONNECT_PAUSE).await;
        return Err(Verdict::Broken(Fault::Connect));
    };
    record.borrow_mut().connect.add(begin.elapsed());
    Ok(connection)
}

async fn ask_shared(
    connection: &Http2,
    entry: &Entry,
    number: usize,
    record: &RefCell<Record>,
    judge: &RefCell<Judge>,
) -> Verdict {
    let before = entry.truth.before();
    let (answer, opened) = connection.ask(&entry.form).await;
    record.borrow_mut().reconnects += u64::from(opened);
    match answer {
        Err(fault) => {
            if fault == Fault::Connect {
                tokio::time::sleep(RECONNECT_PAUSE).await;
            }
            Verdict::Broken(fault)
        }
        Ok((OK, body)) => {
            let expected = entry.truth.expected(before);
            let right = judge.borrow_mut().is_true(number, entry.subject.as_deref(), &body, expected);
            if right { Verdict::Right } else { Verdict::Wrong }
        }
        Ok((status, _)) => Verdict::Refused(status),
    }
}
