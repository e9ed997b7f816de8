//! State in RocksDB, and nothing else knows it. A commit is one write batch: after a crash the store
//! holds whole commits, all up to one of them and none after it.
//!
//! `open` decides whether a folder is ours and tunes the database, `records` and `key` say how things
//! lie in it, `commit` writes and restores, `told` answers questions about what happened, `points` holds the points that
//! wait to be published.

mod commit;
mod key;
mod open;
mod points;
mod records;
mod times;
mod told;

pub use open::{MARKER, VERSION, look};
pub use points::Waiting;
pub use told::{EXPIRED_AT_ONCE, Since, Told};

use model::{Span, Time};
use rocksdb::{ColumnFamily, DB};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize};

/// How to open a store.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder. It is made where it does not exist.
    pub path: PathBuf,
    /// What a commit survives.
    pub durability: Durability,
    /// How long transitions are kept, in event time.
    pub history: Span,
    /// What block cache and write buffers hold together, in bytes.
    pub memory_bytes: usize,
    /// Keeps the whole journal, for verification.
    pub keep_journal: bool,
}

/// What a commit survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The loss of power, where the commit asks for it: the log is flushed to the disk.
    #[default]
    Power,
    /// The end of the process: the log is with the operating system.
    Process,
}

/// Why the store cannot go on. After an error of `commit` the process stops and begins from the last commit.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A second process.
    #[error("{}: another process holds this state folder; one folder serves one process", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// A folder with other people's files.
    #[error(
        "{}: holds `{file}` and no `{MARKER}`, so it is no state folder; wanted an empty folder or one of ours",
        path.display()
    )]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// A file in it.
        file: String,
    },
    /// A folder of another version.
    #[error("{}: was written in version {found} of the state format; this program reads version {wanted}; give it an empty folder", path.display())]
    Version {
        /// The folder.
        path: PathBuf,
        /// What its marker says.
        found: String,
        /// `VERSION`.
        wanted: u32,
    },
    /// Something in the folder is not as it was written.
    #[error("{}: the state is damaged: {message}", path.display())]
    Corrupt {
        /// The folder.
        path: PathBuf,
        /// What RocksDB says, or which record cannot be read.
        message: String,
    },
    /// Reading or writing failed.
    #[error("{}: {message}", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        message: String,
    },
}

/// What a commit wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// How many bytes its write batch had.
    pub bytes: usize,
}

/// An open store. One thread commits and one publishes; any number reads.
pub struct Store {
    db: DB,
    path: PathBuf,
    durability: Durability,
    history: Span,
    keep_journal: bool,
    /// What lies below has been trimmed: reading begins here and does not wade through what was deleted.
    journal_low: AtomicU64,
    /// The same for the columns of each baseline that was trimmed since the start.
    columns_low: Mutex<HashMap<u64, Time>>,
    /// The same for the outbox; whoever trims holds it.
    outbox_low: Mutex<u64>,
    outbox_len: AtomicUsize,
    /// The same for points.
    points_low: AtomicU64,
    points_len: AtomicUsize,
    /// The latest place of any agenda, in nanoseconds since the epoch; `i64::MIN` before the first.
    clock_ns: AtomicI64,
}

/// The column families. Small records that belong to no other stand in `META`.
mod family {
    pub(crate) const META: &str = "default";
    pub(crate) const INSTANCES: &str = "instances";
    pub(crate) const CHECKS: &str = "checks";
    pub(crate) const ELEMENTS: &str = "elements";
    pub(crate) const BLOCKS: &str = "blocks";
    /// The instances of baselines. Their heads are small and stand in `META`.
    pub(crate) const BASELINES: &str = "baselines";
    pub(crate) const COLUMNS: &str = "columns";
    pub(crate) const MODELS: &str = "models";
    pub(crate) const JOURNAL: &str = "journal";
    /// What was told, by sequence number. The families below only point to it.
    pub(crate) const TOLD: &str = "told";
    pub(crate) const HISTORY: &str = "history";
    pub(crate) const IDS: &str = "ids";
    pub(crate) const OUTBOX: &str = "outbox";
    /// Points that wait to be published, many in one record.
    pub(crate) const POINTS: &str = "points";

    pub(crate) const ALL: [&str; 14] = [
        META, INSTANCES, CHECKS, ELEMENTS, BLOCKS, BASELINES, COLUMNS, MODELS, JOURNAL, TOLD, HISTORY, IDS, OUTBOX,
        POINTS,
    ];
}

impl Store {
    fn family(&self, name: &str) -> &ColumnFamily {
        self.db.cf_handle(name).expect("opened with all column families")
    }

    /// A record that cannot be read.
    fn damaged(&self, family: &str, records::Damaged(what): records::Damaged) -> Error {
        Error::Corrupt { path: self.path.clone(), message: format!("in {family}: {what}") }
    }

    fn failed(&self, error: rocksdb::Error) -> Error {
        open::failure(&self.path, error)
    }
}
