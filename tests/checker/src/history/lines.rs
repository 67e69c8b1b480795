//! Histories as text: one event a line.

use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};

use super::mode::Mode;
use super::{Event, History};

/// Why a text is not a history.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A line is not an event.
    #[error("line {line}: {error}")]
    Line {
        /// Which one, from 1.
        line: usize,
        /// What is wrong with it.
        error: serde_json::Error,
    },
    /// It does not begin with a mode.
    #[error("the first line must be the mode")]
    NoMode,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum First {
    Mode(Mode),
}

impl History {
    /// Reads a history. Empty lines are skipped.
    pub fn read(mut from: impl BufRead) -> Result<Self, ReadError> {
        let (mut mode, mut events) = (None, Vec::new());
        let mut text = Vec::new();
        for line in 1.. {
            text.clear();
            if from.read_until(b'\n', &mut text)? == 0 {
                break;
            }
            if text.trim_ascii().is_empty() {
                continue;
            }
            let wrong = |error| ReadError::Line { line, error };
            if mode.is_none() {
                let First::Mode(first) = serde_json::from_slice(&text).map_err(wrong)?;
                mode = Some(first);
            } else {
                events.push(serde_json::from_slice::<Event>(&text).map_err(wrong)?);
            }
        }
        Ok(Self { mode: mode.ok_or(ReadError::NoMode)?, events })
    }

    /// Writes a history.
    pub fn write(&self, mut to: impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut to, &First::Mode(self.mode.clone()))?;
        to.write_all(b"\n")?;
        for event in &self.events {
            serde_json::to_writer(&mut to, event)?;
            to.write_all(b"\n")?;
        }
        to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines that the documentation of the format shows.
    fn shown() -> String {
        let documentation = include_str!("mod.rs").lines().map(|line| line.trim_start_matches("//! "));
        documentation.filter(|line| line.starts_with('{')).map(|line| line.to_owned() + "\n").collect()
    }

    #[test]
    fn the_documented_lines_are_read_and_written() {
        let text = shown();
        let history = History::read(text.as_bytes()).unwrap();
        assert_eq!(history.events.len(), 7);
        let mut written = Vec::new();
        history.write(&mut written).unwrap();
        assert_eq!(History::read(written.as_slice()).unwrap(), history);
    }

    #[test]
    fn what_is_not_a_history_is_refused_with_its_line() {
        for (text, message) in [
            ("", "the first line must be the mode"),
            ("\n\n", "the first line must be the mode"),
            (r#"{"keys":{"token":"t","shards":[]}}"#, "line 1: unknown variant"),
            ("{}", "line 1: "),
            ("\n[", "line 2: "),
        ] {
            let error = History::read(text.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(message), "{text}: {error}");
        }
        let mode = shown().lines().next().unwrap().to_owned();
        for line in [r#"{"keys":{"token":"t","shards":[],"more":1}}"#, r#"{"mode":{}}"#, "\u{0}"] {
            let error = History::read(format!("{mode}\n\n{line}\n").as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with("line 3: "), "{line}: {error}");
        }
    }
}
