//! The digest key that the store's folder keeps when the configuration gives none.
//!
//! It lies beside the database and is worth as much: without it, no token in the database is found again. Copies of the
//! folder must hold both files.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::open::{self, OpenError, sync_folder};
use crate::client::secret::Secret;

/// The file in the store's folder.
pub const KEY_FILE: &str = "digest.key";

/// Length of what is written here: 32 bytes as base64url. A shorter file was cut off, or holds a weaker key.
const KEY_CHARACTERS: usize = 43;

/// Why there is no key to work with.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The folder could not be made.
    #[error(transparent)]
    Folder(#[from] OpenError),
    /// Others than its owner may read or change the file.
    #[error("{path} can be read by others than its owner (mode {mode:o}): chmod 600, and think of making a new key")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is not what was written.
    #[error("{path} does not hold a key of at least {KEY_CHARACTERS} printable characters: restore it from a copy")]
    Invalid {
        /// The file.
        path: PathBuf,
    },
    /// There is a database but no key: one made now would make every token in it unknown.
    #[error("{path} is missing beside a database that was made with a key: restore it, or configure that key")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The system gives no random numbers.
    #[error("no random numbers for a key: {0}")]
    Random(#[from] getrandom::Error),
    /// The file cannot be read or written.
    #[error("cannot use {path}: {source}")]
    System {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

/// The key in the store's folder at `path`, made when neither it nor a database is there: 32 random bytes as base64url,
/// in a file that its owner alone can read.
///
/// Call it before [`super::EmbeddedStore::open`]: a database without its key is refused here rather than given a new
/// one, which would turn every token into an unknown one without a word.
///
/// # Errors
/// [`KeyError`] names the file and what to do about it.
pub fn load_or_create_key(path: &Path) -> Result<Secret, KeyError> {
    let folder = path;
    let path = folder.join(KEY_FILE);
    open::create_folder(folder)?;
    match load(&path) {
        Err(KeyError::System { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
        loaded_or_refused => return loaded_or_refused,
    }
    if open::holds_database(folder) {
        return Err(KeyError::Missing { path });
    }
    create(folder, &path)
}

fn load(path: &Path) -> Result<Secret, KeyError> {
    let system = |source| KeyError::System { path: path.to_owned(), source };
    let file = File::open(path).map_err(system)?;
    let metadata = file.metadata().map_err(system)?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Exposed { path: path.to_owned(), mode });
    }
    let invalid = || KeyError::Invalid { path: path.to_owned() };
    let mut text = Zeroizing::new(String::with_capacity(Secret::MAX_BYTES + 1));
    // One byte more than the longest, so that a longer file is seen to be longer.
    file.take(Secret::MAX_BYTES as u64 + 1).read_to_string(&mut text).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => invalid(),
        _ => system(error),
    })?;
    let key = text.trim_ascii_end();
    let valid =
        (KEY_CHARACTERS..=Secret::MAX_BYTES).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    if valid { Ok(Secret::new(key)) } else { Err(invalid()) }
}

/// Writes the key beside its place, syncs it and moves it there, so that no reader and no crash sees half of it.
fn create(folder: &Path, path: &Path) -> Result<Secret, KeyError> {
    let system = |source| KeyError::System { path: path.to_owned(), source };
    let key = Secret::generate()?;
    let permissions = fs::Permissions::from_mode(0o600);
    let mut file =
        tempfile::Builder::new().prefix(".digest.key.").permissions(permissions).tempfile_in(folder).map_err(system)?;
    file.write_all(key.expose().as_bytes()).map_err(system)?;
    file.write_all(b"\n").map_err(system)?;
    file.as_file().sync_all().map_err(system)?;
    match file.persist_noclobber(path) {
        Ok(_) => {}
        // Another process was quicker. Its key is the key.
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => return load(path),
        Err(error) => return Err(system(error.error)),
    }
    sync_folder(folder).map_err(system)?;
    Ok(key)
}
