//! What is said of an import: a line now and then while it runs, each line that was refused, and the sum.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Failure;
use super::checkpoint::Checkpoint;
use super::lines::Position;

/// What became of one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Taken over.
    Imported,
    /// There already, and as it was.
    Unchanged,
    /// Revoked, and stays so.
    Revoked,
    /// Its end has passed.
    Expired,
    /// It says itself that it is not active.
    Inactive,
    /// Not taken over: the member at fault if it is one, and the reason.
    Refused { member: Option<String>, reason: String },
}

/// How many lines ended in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Counts {
    pub(super) imported: u64,
    pub(super) unchanged: u64,
    pub(super) revoked: u64,
    pub(super) expired: u64,
    pub(super) inactive: u64,
    pub(super) refused: u64,
}

/// How often progress is told, on a terminal and elsewhere.
const ON_TERMINAL: Duration = Duration::from_millis(200);
const ELSEWHERE: Duration = Duration::from_secs(5);

/// How many refused lines are told on standard error.
const MOST_TOLD: u64 = 100;

/// Collects and tells.
pub(super) struct Report {
    counts: Counts,
    errors: Option<BufWriter<File>>,
    told: u64,
    dry_run: bool,
    is_terminal: bool,
    begun: Instant,
    last: Instant,
    lines: u64,
    lines_before: u64,
}

impl Report {
    /// A report that goes on from what is known of an earlier run.
    pub(super) fn new(errors: Option<&Path>, known: Option<&Checkpoint>, dry_run: bool) -> Result<Self, Failure> {
        let open = |path: &Path| {
            let mut options = OpenOptions::new();
            options.create(true).write(true);
            let file = if known.is_some() { options.append(true) } else { options.truncate(true) }.open(path);
            file.map(BufWriter::new)
                .map_err(|error| Failure::Usage(format!("cannot write {}: {error}", path.display())))
        };
        let now = Instant::now();
        let lines = known.map_or(0, |known| known.position.lines);
        Ok(Self {
            counts: known.map_or_else(Counts::default, |known| known.counts),
            errors: errors.map(open).transpose()?,
            told: 0,
            dry_run,
            is_terminal: io::stderr().is_terminal(),
            begun: now,
            last: now,
            lines,
            lines_before: lines,
        })
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// Takes in what became of a line.
    pub(super) fn line(&mut self, number: u64, outcome: Outcome) -> Result<(), Failure> {
        let counts = &mut self.counts;
        let (member, reason) = match outcome {
            Outcome::Imported => return count(&mut counts.imported),
            Outcome::Unchanged => return count(&mut counts.unchanged),
            Outcome::Revoked => return count(&mut counts.revoked),
            Outcome::Expired => return count(&mut counts.expired),
            Outcome::Inactive => return count(&mut counts.inactive),
            Outcome::Refused { member, reason } => (member, reason),
        };
        counts.refused += 1;
        if let Some(errors) = &mut self.errors {
            let entry = json!({"line": number, "member": member, "reason": reason});
            return writeln!(errors, "{entry}").map_err(|error| Failure::failed(format!("errors: {error}")));
        }
        self.told += 1;
        if self.told <= MOST_TOLD {
            let member = member.map(|member| format!("{member}: ")).unwrap_or_default();
            self.clear();
            // A terminal acts on control characters, and part of this may have been chosen by others.
            let text: String = format!("line {number}: {member}{reason}").chars().map(shown).collect();
            eprintln!("{text}");
        } else if self.told == MOST_TOLD + 1 {
            self.clear();
            eprintln!("further refused lines are counted only: --errors FILE has them all");
        }
        Ok(())
    }

    /// Sees that what was said of the lines so far is written, and tells how far it came.
    pub(super) fn flush(&mut self, end: &Position) -> Result<(), Failure> {
        if let Some(errors) = &mut self.errors {
            errors.flush().map_err(|error| Failure::failed(format!("errors: {error}")))?;
        }
        self.lines = end.lines;
        let interval = if self.is_terminal { ON_TERMINAL } else { ELSEWHERE };
        if self.last.elapsed() >= interval {
            self.last = Instant::now();
            self.progress();
        }
        Ok(())
    }

    /// The last word of progress.
    pub(super) fn finish(&mut self) {
        self.progress();
        if self.is_terminal {
            eprintln!();
        }
    }

    /// Says how far it came before something ended it.
    pub(super) fn interrupted(&mut self) {
        self.finish();
    }

    /// What became of all lines.
    pub(super) fn summary(&self) -> Value {
        let mut summary = json!(self.counts);
        summary["lines"] = json!(self.lines);
        if self.dry_run {
            summary["dry_run"] = json!(true);
        }
        summary
    }

    fn progress(&self) {
        let Counts { imported, unchanged, revoked, expired, inactive, refused } = self.counts;
        let seconds = self.begun.elapsed().as_secs_f64().max(0.001);
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        let rate = (self.lines - self.lines_before) as f64 / seconds;
        let verb = if self.dry_run { "to import" } else { "imported" };
        let passed = expired + inactive;
        let text = format!(
            "{} lines, {rate:.0}/s: {imported} {verb}, {unchanged} unchanged, {revoked} revoked, {passed} expired, \
             {refused} refused",
            self.lines
        );
        if self.is_terminal {
            eprint!("\r\x1b[K{text}");
        } else {
            eprintln!("{text}");
        }
    }

    fn clear(&self) {
        if self.is_terminal {
            eprint!("\r\x1b[K");
        }
    }
}

fn shown(character: char) -> char {
    if character.is_control() { '?' } else { character }
}

#[expect(clippy::unnecessary_wraps, reason = "the value that its callers return")]
fn count(counter: &mut u64) -> Result<(), Failure> {
    *counter += 1;
    Ok(())
}
