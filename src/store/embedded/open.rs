//! Opening the folder: who may, what is found in it, and what is put there the first time.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Database, DatabaseError, ReadableDatabase as _, TableError};

use super::backend::{Traffic, WatchedFile};
use super::expiry;
use super::fault::{self, Fault};
use super::tables::{CLIENTS, DOCUMENTS, ENTRIES, EXPIRY, META, META_SCHEMA, META_STAMP, NAMES, SCHEMA, TOKENS, USERS};
use crate::store::StoreErrorKind;
use crate::token::time::Stamp;

/// The database file in the store's folder.
pub(super) const DATABASE_FILE: &str = "tokens.redb";

/// How the name of a database begins that is not complete yet.
const UNFINISHED: &str = ".tokens.redb.";

/// Memory that redb may use for pages. A million tokens are about 250 MB on disk; redb's own default of 1 GiB would be
/// most of a small machine. Pages beyond it still come from the kernel's cache.
const CACHE_BYTES: usize = 256 << 20;

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the folder open, or another store in this one.
    #[error(
        "the store in {folder} is in use by another process: one process only may use it, give each its own folder"
    )]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// The path, or a parent of it, names something else.
    #[error("{path} is not a folder: the store keeps several files, name a folder for them")]
    NotAFolder {
        /// The path.
        path: PathBuf,
    },
    /// No permission to create or write.
    #[error("cannot write to {path}: {source}")]
    NotWritable {
        /// The folder or file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file is not one that this program wrote, or it was changed since.
    #[error("the store's file {path} is damaged: {detail}; put it aside and restore a copy")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        detail: Box<str>,
    },
    /// The file was laid out by another version of this program.
    #[error("the store's file {path} has layout {found}, this program reads layout {SCHEMA}")]
    Layout {
        /// The file.
        path: PathBuf,
        /// The layout it has.
        found: u64,
    },
    /// Anything else that the system reports.
    #[error("cannot open {path}: {source}")]
    System {
        /// The folder or file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl OpenError {
    pub(super) fn system(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::NotWritable { path, source },
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => Self::NotAFolder { path },
            _ => Self::System { path, source },
        }
    }

    /// The same in the words of the contract, for when the file is opened again while the store is in use.
    pub(super) fn kind(&self) -> StoreErrorKind {
        match self {
            Self::Damaged { .. } | Self::Layout { .. } => StoreErrorKind::Damaged,
            _ => StoreErrorKind::Refused,
        }
    }
}

/// A database that is ready for use.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) database: Database,
    /// No stamp that was given out is later.
    pub(super) stamp: Stamp,
    /// The second in which something expires first.
    pub(super) earliest: Option<u32>,
}

/// Creates the folder when it is missing, readable by its owner alone; one that is there stays as it is.
pub(super) fn create_folder(folder: &Path) -> Result<(), OpenError> {
    let existed = folder.is_dir();
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| OpenError::system(folder, error))?;
    if !existed {
        // Only then does the new folder survive a power loss together with what is written into it.
        let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        sync_folder(parent).map_err(|error| OpenError::system(parent, error))?;
    }
    Ok(())
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Opens the database in `folder`, creating it when it is missing.
pub(super) fn open_or_create(folder: &Path, traffic: &Arc<Traffic>) -> Result<Opened, OpenError> {
    let path = folder.join(DATABASE_FILE);
    let opened = match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => create(folder, &path, traffic)?,
        _ => open_existing(folder, traffic)?,
    };
    remove_unfinished(folder);
    Ok(opened)
}

/// Opens the database in `folder`. One that is missing is a fault: a store that is in use had one a moment ago, and an
/// empty one in its place would make every token unknown.
pub(super) fn open_existing(folder: &Path, traffic: &Arc<Traffic>) -> Result<Opened, OpenError> {
    let path = folder.join(DATABASE_FILE);
    let system = |source| OpenError::system(&path, source);
    let file = OpenOptions::new().read(true).write(true).open(&path).map_err(system)?;
    if file.metadata().map_err(system)?.len() == 0 {
        // redb would take it for a new one. Ours are never empty, because they get their name when they are complete.
        return Err(OpenError::Damaged { path, detail: "the file is empty".into() });
    }
    guarded(folder, &path, file, traffic, |database| {
        let start = read_start(&database)?;
        add_tables(&database)?;
        Ok((database, start))
    })
}

/// Makes a new database under another name and gives it its own when it is complete. A file that was killed while redb
/// laid it out cannot be told from one whose head was overwritten, so no such file may ever bear the name.
fn create(folder: &Path, path: &Path, traffic: &Arc<Traffic>) -> Result<Opened, OpenError> {
    let permissions = Permissions::from_mode(0o600);
    let (file, unfinished) = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .permissions(permissions)
        .tempfile_in(folder)
        .map_err(|source| OpenError::system(folder, source))?
        .into_parts();
    let opened = guarded(folder, path, file, traffic, |database| {
        create_tables(&database)?;
        read_start(&database).map(|start| (database, start))
    })?;
    if let Err(error) = unfinished.persist_noclobber(path) {
        return match error.error.kind() {
            // Another process was quicker, and has tidied up or not. What it made is the store.
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound => open_existing(folder, traffic),
            _ => Err(OpenError::system(path, error.error)),
        };
    }
    sync_folder(folder).map_err(|source| OpenError::system(folder, source))?;
    Ok(opened)
}

/// Removes what a process left that was killed while it made a new database. Only called with the lock of the database
/// held, so nobody else can still be about to finish one. Failing to is harmless.
fn remove_unfinished(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            drop(fs::remove_file(entry.path()));
        }
    }
}

/// Lets redb have the file, and turns what may go wrong into what to tell the operator.
///
/// redb trusts a file that was closed cleanly and panics over one that other hands have changed. Checking every page of
/// every file at each start would read all of it; a panic that is caught here says the same.
fn guarded(
    folder: &Path,
    path: &Path,
    file: File,
    traffic: &Arc<Traffic>,
    prepare: impl FnOnce(Database) -> Result<(Database, Start), Unprepared>,
) -> Result<Opened, OpenError> {
    let path = path.to_owned();
    let opened = panic::catch_unwind(AssertUnwindSafe(|| {
        let backend = WatchedFile::new(file, Arc::clone(traffic))?;
        let database = Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(backend)?;
        Ok(prepare(database))
    }));
    match opened {
        Ok(Ok(Ok((database, (stamp, earliest))))) => Ok(Opened { database, stamp, earliest }),
        Ok(Ok(Err(Unprepared::Layout(found)))) => Err(OpenError::Layout { path, found }),
        Ok(Ok(Err(Unprepared::Fault(fault)))) if fault.kind() != StoreErrorKind::Damaged => {
            Err(OpenError::System { path, source: io::Error::other(fault.detail()) })
        }
        Ok(Ok(Err(Unprepared::Fault(fault)))) => Err(OpenError::Damaged { path, detail: fault.detail().into() }),
        Ok(Err(error)) => Err(refusal(folder, path, error)),
        Err(_) => Err(OpenError::Damaged { path, detail: Fault::panicked().detail().into() }),
    }
}

fn refusal(folder: &Path, path: PathBuf, error: DatabaseError) -> OpenError {
    use redb::StorageError;
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            OpenError::InUse { folder: folder.to_owned() }
        }
        DatabaseError::Storage(StorageError::Io(source)) if !fault::is_damage(&source) => {
            OpenError::system(&path, source)
        }
        error => OpenError::Damaged { path, detail: error.to_string().into() },
    }
}

enum Unprepared {
    Layout(u64),
    Fault(Fault),
}

impl<E: Into<redb::Error>> From<E> for Unprepared {
    fn from(error: E) -> Self {
        Self::Fault(Fault::from(error))
    }
}

/// The stamp to go on after, and the second in which something expires first.
type Start = (Stamp, Option<u32>);

/// Checks the layout and reads where to go on.
fn read_start(database: &Database) -> Result<Start, Unprepared> {
    let reading = database.begin_read()?;
    let meta = reading.open_table(META)?;
    match meta.get(META_SCHEMA)?.map(|row| row.value()) {
        Some(SCHEMA) => {}
        Some(found) => return Err(Unprepared::Layout(found)),
        None => return Err(redb::StorageError::Corrupted("no layout version".into()).into()),
    }
    reading.open_table(TOKENS)?;
    reading.open_table(ENTRIES)?;
    reading.open_table(CLIENTS)?;
    reading.open_table(DOCUMENTS)?;
    let stamp = meta.get(META_STAMP)?.map_or(0, |row| row.value());
    Ok((Stamp(stamp), expiry::earliest(&reading.open_table(EXPIRY)?)?))
}

/// Adds the tables that a file of before users were kept does not have.
fn add_tables(database: &Database) -> Result<(), Unprepared> {
    let reading = database.begin_read()?;
    match reading.open_table(NAMES) {
        Err(TableError::TableDoesNotExist(_)) => {}
        opened => {
            opened?;
            reading.open_table(USERS)?;
            return Ok(());
        }
    }
    let writing = database.begin_write()?;
    writing.open_table(USERS)?;
    writing.open_table(NAMES)?;
    writing.commit()?;
    Ok(())
}

fn create_tables(database: &Database) -> Result<(), Unprepared> {
    let writing = database.begin_write()?;
    writing.open_table(TOKENS)?;
    writing.open_table(ENTRIES)?;
    writing.open_table(CLIENTS)?;
    writing.open_table(DOCUMENTS)?;
    writing.open_table(USERS)?;
    writing.open_table(NAMES)?;
    writing.open_table(EXPIRY)?;
    writing.open_table(META)?.insert(META_SCHEMA, SCHEMA)?;
    writing.commit()?;
    Ok(())
}

/// Whether the folder holds a database already.
pub(super) fn holds_database(folder: &Path) -> bool {
    fs::symlink_metadata(folder.join(DATABASE_FILE)).is_ok()
}
