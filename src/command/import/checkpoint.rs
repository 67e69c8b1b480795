//! How far an import came: a small file that is replaced as a whole.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Failure;
use super::lines::Position;
use super::report::Counts;

/// What is known of an earlier run.
#[derive(Debug)]
pub(super) struct Checkpoint {
    pub(super) position: Position,
    pub(super) counts: Counts,
}

const VERSION: u64 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u64,
    kind: String,
    lines: u64,
    bytes: u64,
    digest: String,
    counts: Counts,
}

impl Checkpoint {
    /// Reads it; `None` when there is none yet.
    pub(super) fn read(path: &Path, kind: &str) -> Result<Option<Self>, Failure> {
        let place = path.display();
        let text = match fs::read(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|error| Failure::Usage(format!("cannot read {place}: {error}")))?,
        };
        let stored: Stored = serde_json::from_slice(&text)
            .map_err(|error| Failure::Usage(format!("{place} is no checkpoint of an import: {error}")))?;
        if (stored.version, &*stored.kind) != (VERSION, kind) {
            return Err(Failure::Usage(format!("{place} is the checkpoint of another kind of import")));
        }
        let Stored { lines, bytes, digest, counts, .. } = stored;
        Ok(Some(Self { position: Position { lines, bytes, digest }, counts }))
    }

    /// Writes it in the place of the one before: whenever the process ends, one of the two is there.
    pub(super) fn write(self, path: &Path, kind: &str) -> Result<(), Failure> {
        let Position { lines, bytes, digest } = self.position;
        let stored = Stored { version: VERSION, kind: kind.to_owned(), lines, bytes, digest, counts: self.counts };
        let text = serde_json::to_vec(&stored).map_err(Failure::failed)?;
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        let written = fs::write(&beside, text).and_then(|()| fs::rename(&beside, path));
        written.map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())))
    }
}
