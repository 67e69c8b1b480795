//! The thread that writes the audit log.
//!
//! A line that could not be written is kept and tried again, so a full disk loses nothing until the queue is full.
//! Then the lines that come are lost, and are counted; that they have numbers shows where. What was handed to the
//! operating system is not forced to the disk: a crash of the process loses nothing of it, one of the machine may.

use std::collections::VecDeque;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::event::Event;
use crate::telemetry::metrics::{AuditResult, Metrics};

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// At the end of this file, which is made when it is not there.
    File(PathBuf),
    /// Standard output.
    Output,
}

/// How long a line that could not be written waits for the next attempt.
const PAUSE: Duration = Duration::from_secs(1);

/// For how long a write may take before it counts as failed: whoever reads a pipe may have stopped to.
const STALL: Duration = Duration::from_secs(2);

/// How long the end of the process waits for the last lines.
const PATIENCE: Duration = Duration::from_secs(5);

/// Takes lines, and has them written.
pub struct Writer {
    shared: Arc<Shared>,
    refuses: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    /// Something has changed in the queue.
    changed: Condvar,
    capacity: usize,
    stall: Duration,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<String>,
    /// Lines that the thread has taken out and not written yet.
    in_hand: usize,
    /// Room that is promised to acts which are being done.
    promised: usize,
    /// The number of the last line; those that were lost have one too.
    number: u64,
    /// How many were lost since the log of the service last said so.
    lost: u64,
    failing: bool,
    /// Since when the operating system has a write of which nothing is heard.
    writing: Option<Instant>,
    reopen: bool,
    closing: bool,
    ended: bool,
}

impl Queue {
    fn held(&self) -> usize {
        self.lines.len() + self.in_hand
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Whoever panicked with it left it whole: no change of it takes two steps that can panic.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The queue, after a look at the thread: it cannot say by itself that it is stuck in a write.
    fn watched_queue(&self) -> MutexGuard<'_, Queue> {
        let mut queue = self.queue();
        let is_stuck = queue.writing.is_some_and(|since| since.elapsed() >= self.stall);
        if is_stuck && !queue.failing {
            queue.failing = true;
            self.metrics.audit_failing.set(true);
            drop(queue);
            tracing::error!("the audit log cannot be written: its reader does not read, or its disk does not answer");
            queue = self.queue();
        }
        queue
    }
}

impl Writer {
    /// Opens the place and starts the thread. At most `capacity` lines wait; with `refuses`, room is promised only
    /// while lines can be written.
    ///
    /// # Errors
    /// Those of opening the file and of starting the thread.
    pub fn start(place: Place, capacity: usize, refuses: bool, metrics: Arc<Metrics>) -> io::Result<Self> {
        let sink = open(&place)?;
        Self::over(sink, move || open(&place), capacity, refuses, STALL, metrics)
    }

    fn over(
        sink: Box<dyn Write + Send>,
        reopen: impl Fn() -> io::Result<Box<dyn Write + Send>> + Send + 'static,
        capacity: usize,
        refuses: bool,
        stall: Duration,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared { queue: Mutex::default(), changed: Condvar::new(), capacity, stall, metrics });
        let hand = Hand { shared: Arc::clone(&shared), sink, reopen, text: Vec::new(), written: 0, lines: 0 };
        std::thread::Builder::new().name("audit".into()).spawn(move || hand.run())?;
        Ok(Self { shared, refuses })
    }

    pub(super) fn refuses(&self) -> bool {
        self.refuses
    }

    /// Promises room for one line; `false` when there is none, or lines cannot be written at the moment.
    pub(super) fn reserve(&self) -> bool {
        let mut queue = self.shared.watched_queue();
        let granted = !queue.failing && queue.held() + queue.promised < self.shared.capacity;
        queue.promised += usize::from(granted);
        granted
    }

    pub(super) fn give_back(&self) {
        self.shared.queue().promised -= 1;
    }

    pub(super) fn take(&self, event: Event) {
        let promised = event.promised;
        let rest = event.render();
        let mut queue = self.shared.watched_queue();
        queue.number += 1;
        let for_others = if promised { 0 } else { queue.promised };
        let mut first_lost = false;
        if queue.held() + for_others >= self.shared.capacity || queue.ended {
            queue.lost += 1;
            first_lost = queue.lost == 1;
            self.shared.metrics.audit_events.increment(AuditResult::Lost);
        } else {
            let line = format!("{{\"number\":{}{rest}\n", queue.number);
            queue.lines.push_back(line);
        }
        drop(queue);
        if first_lost {
            tracing::error!("lines of the audit log are being lost: too many wait to be written");
        }
        self.shared.changed.notify_all();
    }

    pub(super) fn reopen(&self) {
        self.shared.queue().reopen = true;
        self.shared.changed.notify_all();
    }

    pub(super) fn waiting(&self) -> usize {
        self.shared.watched_queue().held()
    }

    pub(super) fn close(&self) {
        let mut queue = self.shared.queue();
        queue.closing = true;
        self.shared.changed.notify_all();
        let waited = self.shared.changed.wait_timeout_while(queue, PATIENCE, |queue| !queue.ended);
        queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        if !queue.ended {
            queue.ended = true;
            let left = queue.held() as u64;
            self.shared.metrics.audit_events.add(AuditResult::Lost, left);
            tracing::error!(lines = left, "the last lines of the audit log could not be written in time, and are lost");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.queue().closing = true;
        self.shared.changed.notify_all();
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Writer").field("refuses", &self.refuses).finish_non_exhaustive()
    }
}

fn open(place: &Place) -> io::Result<Box<dyn Write + Send>> {
    Ok(match place {
        // Nobody else is to read who did what.
        Place::File(path) => Box::new(
            open_file(path).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?,
        ),
        Place::Output => Box::new(io::stdout()),
    })
}

fn open_file(path: &Path) -> io::Result<File> {
    // Opening one waits for a reader, however long there is none.
    if path.metadata().is_ok_and(|found| found.file_type().is_fifo()) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is a named pipe; give its reader the standard output",
        ));
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// What the thread has in its hand.
struct Hand<R> {
    shared: Arc<Shared>,
    sink: Box<dyn Write + Send>,
    reopen: R,
    /// Whole lines, and how much of them is written.
    text: Vec<u8>,
    written: usize,
    lines: usize,
}

/// What is to be done next.
enum Next {
    Write,
    Reopen,
    End,
}

impl<R: Fn() -> io::Result<Box<dyn Write + Send>>> Hand<R> {
    fn run(mut self) {
        loop {
            match self.next() {
                Next::Write => self.write(),
                Next::Reopen => self.open_anew(),
                Next::End => return self.end(),
            }
        }
    }

    fn next(&mut self) -> Next {
        let shared = Arc::clone(&self.shared);
        let mut queue = shared.queue();
        loop {
            if std::mem::take(&mut queue.reopen) {
                return Next::Reopen;
            }
            if self.lines == 0 && !queue.lines.is_empty() {
                for line in queue.lines.drain(..) {
                    self.text.extend_from_slice(line.as_bytes());
                    self.lines += 1;
                }
                queue.in_hand = self.lines;
                return Next::Write;
            }
            // What could not be written is tried once more before the end.
            if queue.closing || queue.ended {
                return Next::End;
            }
            if self.lines == 0 {
                queue = shared.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            } else {
                let waited = shared.changed.wait_timeout_while(queue, PAUSE, |queue| !queue.reopen && !queue.closing);
                let (held, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                queue = held;
                if timeout.timed_out() {
                    return Next::Write;
                }
            }
        }
    }

    /// Writes what is in hand, as far as it goes.
    fn write(&mut self) {
        while self.written < self.text.len() {
            self.shared.queue().writing = Some(Instant::now());
            match self.sink.write(&self.text[self.written..]) {
                Ok(0) => return self.failed(&io::ErrorKind::WriteZero.into()),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.failed(&error),
            }
        }
        if let Err(error) = self.sink.flush() {
            return self.failed(&error);
        }
        let mut queue = self.shared.queue();
        queue.in_hand = 0;
        queue.writing = None;
        let recovered = std::mem::take(&mut queue.failing);
        let lost = std::mem::take(&mut queue.lost);
        drop(queue);
        self.shared.metrics.audit_failing.set(false);
        self.shared.metrics.audit_events.add(AuditResult::Written, self.lines as u64);
        self.text.clear();
        (self.written, self.lines) = (0, 0);
        if recovered {
            tracing::info!("the audit log is written again");
        }
        if lost > 0 {
            tracing::error!(lines = lost, "lines of the audit log are lost: too many waited to be written");
        }
    }

    fn failed(&mut self, error: &io::Error) {
        let mut queue = self.shared.queue();
        queue.writing = None;
        let before = std::mem::replace(&mut queue.failing, true);
        drop(queue);
        self.shared.metrics.audit_failing.set(true);
        if !before {
            tracing::error!(%error, "the audit log cannot be written; it is tried again every second");
        }
    }

    /// The rest of a line that was cut off is written whole into the new file.
    fn open_anew(&mut self) {
        match (self.reopen)() {
            Ok(sink) => {
                self.sink = sink;
                let begun = self.text[..self.written].iter().rposition(|byte| *byte == b'\n');
                self.written = begun.map_or(0, |end| end + 1);
                if self.lines > 0 {
                    self.write();
                }
            }
            Err(error) => tracing::error!(%error, "the audit log cannot be opened anew: it goes on where it was"),
        }
    }

    fn end(&mut self) {
        if self.lines > 0 {
            self.write();
        }
        let mut queue = self.shared.queue();
        if !queue.ended {
            queue.ended = true;
            let left = queue.held() as u64;
            if left > 0 {
                self.shared.metrics.audit_events.add(AuditResult::Lost, left);
                tracing::error!(lines = left, "the last lines of the audit log could not be written, and are lost");
            }
        }
        drop(queue);
        self.shared.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::super::{Act, Actor, Details, Outcome};
    use super::*;
    use crate::config::MetricsConfig;
    use crate::token::time::{Clock, UnixSeconds};

    /// A place that can be made to fail, and takes a few bytes at a time.
    #[derive(Clone, Default)]
    struct Disk {
        text: Arc<Mutex<Vec<u8>>>,
        full: Arc<AtomicBool>,
        /// After how many bytes it is full.
        room: Arc<AtomicUsize>,
        /// Held by a test: nothing is heard of a write until it lets go.
        stuck: Arc<Mutex<()>>,
    }

    impl Disk {
        fn new() -> Self {
            let disk = Self::default();
            disk.room.store(usize::MAX, Ordering::SeqCst);
            disk
        }

        fn lines(&self) -> Vec<Value> {
            let text = String::from_utf8(self.text.lock().unwrap().clone()).unwrap();
            assert!(text.is_empty() || text.ends_with('\n'), "{text}");
            text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
        }

        fn numbers(&self) -> Vec<u64> {
            self.lines().iter().map(|line| line["number"].as_u64().unwrap()).collect()
        }
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            drop(self.stuck.lock());
            let count = bytes.len().min(7).min(self.room.load(Ordering::SeqCst));
            if self.full.load(Ordering::SeqCst) || count == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.room.fetch_sub(count, Ordering::SeqCst);
            self.text.lock().unwrap().extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn writer(disk: &Disk, capacity: usize) -> Writer {
        stalling_writer(disk, capacity, Duration::MAX)
    }

    fn stalling_writer(disk: &Disk, capacity: usize, stall: Duration) -> Writer {
        let metrics = Arc::new(Metrics::new(&MetricsConfig { latency_buckets: vec![PAUSE] }));
        let other = disk.clone();
        let reopen = move || Ok(Box::new(other.clone()) as Box<dyn Write + Send>);
        Writer::over(Box::new(disk.clone()), reopen, capacity, true, stall, metrics).unwrap()
    }

    fn event(promised: bool) -> Event {
        Event {
            now: Clock::manual(UnixSeconds(1_700_000_000)).now(),
            act: Act::UserDisable,
            outcome: Outcome::Done,
            status: Some(200),
            code: "",
            actor: Actor::Host,
            origin: None,
            target: Details::default(),
            promised,
        }
    }

    fn eventually(what: &str, condition: impl Fn() -> bool) {
        let begun = Instant::now();
        while !condition() {
            assert!(begun.elapsed() < Duration::from_secs(30), "never happened: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn lines_are_written_whole_in_their_order_and_all_of_them_before_the_end() {
        let disk = Disk::new();
        let writer = Arc::new(writer(&disk, 10_000));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..500).for_each(|_| writer.take(event(false))));
            }
        });
        writer.close();
        assert_eq!(disk.numbers(), (1..=2_000).collect::<Vec<_>>());
        assert_eq!(writer.shared.metrics.audit_events.value(AuditResult::Written), 2_000);
        writer.take(event(false));
        assert_eq!(writer.shared.metrics.audit_events.value(AuditResult::Lost), 1, "nobody writes it any more");
    }

    #[test]
    fn a_full_disk_loses_nothing_that_the_queue_holds_and_the_rest_is_counted() {
        let disk = Disk::new();
        let writer = writer(&disk, 16);
        writer.take(event(false));
        eventually("the first line", || disk.numbers() == [1]);
        // It is full in the middle of a line.
        disk.room.store(30, Ordering::SeqCst);
        assert!(writer.reserve());
        writer.give_back();
        for _ in 0..20 {
            writer.take(event(false));
        }
        eventually("a failure", || writer.shared.queue().failing);
        assert!(!writer.reserve(), "nothing is promised that cannot be kept");
        assert_eq!(writer.waiting(), 16);
        assert_eq!(writer.shared.metrics.audit_events.value(AuditResult::Lost), 4);
        assert!(writer.shared.metrics.render().contains("introspect_audit_failing 1\n"));
        disk.room.store(usize::MAX, Ordering::SeqCst);
        eventually("the others", || writer.waiting() == 0);
        writer.take(event(false));
        writer.close();
        assert_eq!(disk.numbers(), (1..=17).chain([22]).collect::<Vec<_>>(), "the gap is where lines were lost");
        assert!(writer.shared.metrics.render().contains("introspect_audit_failing 0\n"));
    }

    #[test]
    fn a_write_of_which_nothing_is_heard_counts_as_failed() {
        let disk = Disk::new();
        let writer = stalling_writer(&disk, 16, Duration::ZERO);
        let held = disk.stuck.lock().unwrap();
        writer.take(event(false));
        eventually("it is noticed", || writer.waiting() > 0 && writer.shared.queue().failing);
        assert!(!writer.reserve());
        assert!(writer.shared.metrics.render().contains("introspect_audit_failing 1\n"));
        (0..20).for_each(|_| writer.take(event(false)));
        assert_eq!(writer.waiting(), 16, "and what comes meanwhile waits");
        drop(held);
        eventually("the others", || writer.waiting() == 0);
        eventually("it goes on", || writer.shared.metrics.render().contains("introspect_audit_failing 0\n"));
        assert_eq!(disk.numbers(), (1..=16).collect::<Vec<_>>());
    }

    #[test]
    fn room_that_was_promised_is_kept() {
        let disk = Disk::new();
        disk.full.store(true, Ordering::SeqCst);
        let writer = writer(&disk, 16);
        for _ in 0..10 {
            assert!(writer.reserve());
        }
        for _ in 0..10 {
            writer.take(event(false));
        }
        assert_eq!(writer.waiting(), 6);
        for _ in 0..10 {
            writer.take(event(true));
            writer.give_back();
        }
        assert_eq!(writer.waiting(), 16);
        assert!(!writer.reserve());
    }

    #[test]
    fn what_cannot_be_written_before_the_end_is_counted_as_lost() {
        let disk = Disk::new();
        disk.full.store(true, Ordering::SeqCst);
        let writer = writer(&disk, 16);
        (0..3).for_each(|_| writer.take(event(false)));
        let begun = Instant::now();
        writer.close();
        assert!(begun.elapsed() < PATIENCE);
        assert_eq!(writer.shared.metrics.audit_events.value(AuditResult::Lost), 3);
    }

    #[test]
    fn a_renamed_file_is_left_and_a_new_one_begun() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("audit.log"), folder.path().join("audit.log.1"));
        let metrics = Arc::new(Metrics::new(&MetricsConfig { latency_buckets: vec![PAUSE] }));
        let writer = Writer::start(Place::File(path.clone()), 16, false, metrics).unwrap();
        writer.take(event(false));
        eventually("the first line", || std::fs::read_to_string(&path).unwrap().lines().count() == 1);
        std::fs::rename(&path, &old).unwrap();
        writer.take(event(false));
        eventually("the second line", || std::fs::read_to_string(&old).unwrap().lines().count() == 2);
        writer.reopen();
        eventually("a new file", || path.exists());
        writer.take(event(false));
        writer.close();
        assert_eq!(std::fs::read_to_string(&old).unwrap().lines().count(), 2);
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 1);
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600, "who did what is for nobody else to read");
        // A folder that is gone keeps what is open.
        let nowhere = folder.path().join("missing/audit.log");
        let said = open(&Place::File(nowhere)).err().unwrap().to_string();
        assert!(said.contains("missing/audit.log: No such file"), "{said}");
    }
}
