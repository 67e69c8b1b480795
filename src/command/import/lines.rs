//! A file as batches of lines: read on a thread of its own, a few batches ahead, and never more of a line than the
//! longest that is taken.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::thread;

use tokio::sync::mpsc::{self, Receiver, Sender};

use super::Failure;

/// The longest line taken, in bytes: a token of the greatest size with all that may be said of one has fewer.
pub(super) const LONGEST_LINE: usize = 128 * 1024;

/// What a batch may hold beyond its last line, in bytes. With that line and what is written around them, it is less
/// than a service takes that is not told otherwise.
const BATCH_BYTES: usize = 512 * 1024;

/// Where lines come from.
pub(super) struct Source {
    input: Box<dyn BufRead + Send>,
    name: String,
}

/// How far a source was read, and a digest of all that was read so far: another file is not taken for the same one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) lines: u64,
    pub(super) bytes: u64,
    pub(super) digest: String,
}

/// One line.
#[derive(Debug)]
pub(super) struct Line {
    /// From 1.
    pub(super) number: u64,
    /// Its text, or why it is not even read.
    pub(super) text: Result<String, &'static str>,
}

/// Some lines, and where they end.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) lines: Vec<Line>,
    pub(super) end: Position,
}

/// U+FEFF as UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

fn utf8(text: Vec<u8>) -> Result<String, &'static str> {
    String::from_utf8(text).map_err(|_| "not UTF-8")
}

impl Source {
    /// A file; `-` is standard input.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Ok(Self { input: Box::new(BufReader::new(io::stdin())), name: "standard input".to_owned() });
        }
        let name = path.display().to_string();
        let file = File::open(path).map_err(|error| Failure::Usage(format!("cannot read {name}: {error}")))?;
        Ok(Self { input: Box::new(BufReader::with_capacity(1 << 16, file)), name })
    }

    /// The lines of a text.
    pub(super) fn of_text(text: Vec<u8>, name: String) -> Self {
        Self { input: Box::new(io::Cursor::new(text)), name }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// All of it; `None` when it is longer than `most` bytes.
    pub(super) fn whole(&mut self, most: u64) -> Result<Option<Vec<u8>>, Failure> {
        let mut text = Vec::new();
        let read = (&mut self.input).take(most + 1).read_to_end(&mut text);
        read.map_err(|error| unreadable(&self.name, &error))?;
        Ok((text.len() as u64 <= most).then_some(text))
    }

    /// Reads on a thread that waits as soon as `ahead` batches have not been taken; from `known` on, if that is given.
    pub(super) fn batches(self, size: u64, ahead: usize, known: Option<Position>) -> Receiver<Result<Batch, Failure>> {
        let (sender, receiver) = mpsc::channel(ahead);
        let reader = Reader { input: self.input, name: self.name, hasher: hasher(), lines: 0, bytes: 0 };
        // It ends with the input, or when nobody waits for it any longer.
        thread::spawn(move || reader.run(size, known, &sender));
        receiver
    }
}

/// Its own use of the hash, so that it is no digest of a token that is anything elsewhere.
fn hasher() -> blake3::Hasher {
    blake3::Hasher::new_derive_key("introspectd 2026 v1 checkpoint of an import")
}

fn unreadable(name: &str, error: &io::Error) -> Failure {
    Failure::Failed(format!("cannot read {name}: {error}"))
}

struct Reader {
    input: Box<dyn BufRead + Send>,
    name: String,
    hasher: blake3::Hasher,
    lines: u64,
    bytes: u64,
}

impl Reader {
    fn run(mut self, size: u64, known: Option<Position>, sender: &Sender<Result<Batch, Failure>>) {
        if let Some(known) = known
            && let Err(failure) = self.skip(&known)
        {
            let _ = sender.blocking_send(Err(failure));
            return;
        }
        loop {
            let batch = self.batch(size);
            let done = !matches!(&batch, Ok(Some(_)));
            if let Some(batch) = batch.transpose()
                && sender.blocking_send(batch).is_err()
            {
                return;
            }
            if done {
                return;
            }
        }
    }

    /// Goes to where an earlier run ended.
    fn skip(&mut self, known: &Position) -> Result<(), Failure> {
        let mut left = known.bytes;
        while left > 0 {
            let read = self.input.fill_buf().map_err(|error| unreadable(&self.name, &error))?;
            let taken = read.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            if taken == 0 {
                break;
            }
            self.hasher.update(&read[..taken]);
            self.input.consume(taken);
            left -= taken as u64;
        }
        (self.lines, self.bytes) = (known.lines, known.bytes);
        if left > 0 || self.position() != *known {
            let name = &self.name;
            return Err(Failure::Usage(format!(
                "{name} does not begin with what was imported when the checkpoint was written: give the same file, or \
                 remove the checkpoint to begin again, which does no harm"
            )));
        }
        Ok(())
    }

    fn position(&self) -> Position {
        Position { lines: self.lines, bytes: self.bytes, digest: self.hasher.finalize().to_hex().to_string() }
    }

    fn batch(&mut self, size: u64) -> Result<Option<Batch>, Failure> {
        let (mut lines, mut bytes) = (Vec::new(), 0);
        while (lines.len() as u64) < size && bytes < BATCH_BYTES {
            let Some(text) = self.line().map_err(|error| unreadable(&self.name, &error))? else { break };
            let text = match text {
                Ok(text) if text.trim_ascii().is_empty() => continue,
                // Some editors begin a file with a mark that says that it is UTF-8.
                Ok(text) if self.lines == 1 && text.starts_with(MARK) => utf8(text[MARK.len()..].to_vec()),
                Ok(text) => utf8(text),
                Err(reason) => Err(reason),
            };
            bytes += text.as_ref().map_or(0, String::len);
            lines.push(Line { number: self.lines, text });
        }
        Ok((!lines.is_empty()).then(|| Batch { lines, end: self.position() }))
    }

    /// The next line without its end; of one that is too long, no more than that it is.
    fn line(&mut self) -> io::Result<Option<Result<Vec<u8>, &'static str>>> {
        let (mut text, mut begun, mut too_long) = (Vec::new(), false, false);
        loop {
            let read = match self.input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            if read.is_empty() {
                break;
            }
            begun = true;
            let end = read.iter().position(|byte| *byte == b'\n');
            let part = &read[..end.unwrap_or(read.len())];
            too_long |= text.len() + part.len() > LONGEST_LINE;
            if too_long {
                text = Vec::new();
            } else {
                text.extend_from_slice(part);
            }
            let taken = part.len() + usize::from(end.is_some());
            self.hasher.update(&read[..taken]);
            self.bytes += taken as u64;
            self.input.consume(taken);
            if end.is_some() {
                break;
            }
        }
        if !begun {
            return Ok(None);
        }
        self.lines += 1;
        Ok(Some(if too_long { Err("longer than 128 KiB") } else { Ok(text) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8], size: u64, known: Option<Position>) -> Result<Vec<Batch>, Failure> {
        let mut batches = Source::of_text(text.to_vec(), "text".to_owned()).batches(size, 1, known);
        let mut all = Vec::new();
        while let Some(batch) = batches.blocking_recv() {
            all.push(batch?);
        }
        Ok(all)
    }

    fn numbers(batches: &[Batch]) -> Vec<Vec<u64>> {
        batches.iter().map(|batch| batch.lines.iter().map(|line| line.number).collect()).collect()
    }

    #[test]
    fn empty_lines_are_passed_over_and_numbers_are_those_of_the_file() {
        let batches = read(b"a\n\n  \r\nb\r\nc\n\nlast", 2, None).unwrap();
        assert_eq!(numbers(&batches), [vec![1, 4], vec![5, 7]]);
        assert_eq!(batches[1].lines[1].text, Ok("last".to_owned()));
        assert!(read(b"", 2, None).unwrap().is_empty() && read(b"\n\n", 2, None).unwrap().is_empty());
    }

    #[test]
    fn a_line_is_bounded_and_so_is_a_batch() {
        let text = [vec![b'x'; 40 * LONGEST_LINE], b"\nshort\n\xff\n".to_vec()].concat();
        let batches = read(&text, 10, None).unwrap();
        let texts: Vec<_> = batches[0].lines.iter().map(|line| line.text.clone()).collect();
        assert_eq!(texts, [Err("longer than 128 KiB"), Ok("short".to_owned()), Err("not UTF-8")]);
        let long = [vec![b'x'; LONGEST_LINE], vec![b'\n']].concat().repeat(10);
        assert_eq!(numbers(&read(&long, 1000, None).unwrap()), [vec![1, 2, 3, 4], vec![5, 6, 7, 8], vec![9, 10]]);
    }

    #[test]
    fn it_goes_on_where_it_ended_and_only_in_the_same_text() {
        let text = b"one\ntwo\n\nthree\nfour\n";
        let first = read(text, 2, None).unwrap();
        let end = first[0].end.clone();
        assert_eq!((end.lines, end.bytes), (2, 8));
        let rest = read(text, 2, Some(end.clone())).unwrap();
        assert_eq!(numbers(&rest), [vec![4, 5]]);
        assert_eq!(rest[0].end, first[1].end);
        for other in [&b"one\ntwO\n\nthree\n"[..], b"one\n", b""] {
            assert!(matches!(read(other, 2, Some(end.clone())), Err(Failure::Usage(_))));
        }
        assert!(read(text, 2, Some(first[1].end.clone())).unwrap().is_empty());
    }
}
