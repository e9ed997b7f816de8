//! Opening: whether a folder is ours, and how RocksDB runs in it.

use crate::{Durability, Error, Options, Store, family};
use engine::state::Restored;
use model::{Span, Time};
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DB, DBCompressionType, DBRecoveryMode, ErrorKind, InfoLogger,
    LogLevel, WriteBufferManager,
};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize};

/// The file that makes a folder ours; it holds the version that wrote it.
pub const MARKER: &str = "VITALSIGN";
/// The version of everything in the folder.
pub const VERSION: u32 = 4;

/// What stands before the version in the marker.
const MAGIC: &str = "vitalsign state ";
/// A marker in the making; a folder with nothing but this is as good as empty.
const UNFINISHED: &str = "VITALSIGN.new";
/// RocksDB's folder within ours: what it deletes or renames there is its own.
const DATABASE: &str = "rocksdb";

impl Store {
    /// Opens the store in a folder, or makes one where the folder is empty or not there.
    pub fn open(options: &Options) -> Result<Store, Error> {
        let path = &options.path;
        claim(path)?;
        let (database, families) = tuned(options.memory_bytes, !has_begun(path)?);
        let db = DB::open_cf_descriptors(&database, path.join(DATABASE), families);
        let mut store = Store::of(db.map_err(|error| failure(path, error))?, options);
        store.journal_low = AtomicU64::new(store.first_number(family::JOURNAL)?.unwrap_or(0));
        store.outbox_len = AtomicUsize::new(store.count_outbox(0, u64::MAX)?);
        store.count_points()?;
        store.clock_ns = AtomicI64::new(store.stored_clock()?.map_or(i64::MIN, Time::nanos));
        Ok(store)
    }

    fn of(db: DB, options: &Options) -> Store {
        Store {
            db,
            path: options.path.clone(),
            durability: options.durability,
            history: options.history,
            keep_journal: options.keep_journal,
            journal_low: AtomicU64::new(0),
            columns_low: Mutex::default(),
            outbox_low: Mutex::new(0),
            outbox_len: AtomicUsize::new(0),
            points_low: AtomicU64::new(0),
            points_len: AtomicUsize::new(0),
            clock_ns: AtomicI64::new(i64::MIN),
        }
    }

    /// Flushes the log to the disk and closes. A store that is only dropped loses nothing either, unless
    /// the power goes.
    pub fn close(self) {
        self.db.cancel_all_background_work(true);
        // What fails here was not promised: a commit that must last is flushed by itself.
        let _ = self.db.flush_wal(true);
    }
}

/// What the store in a folder keeps, without what is large and says little by itself: blocks, columns, models and
/// the journal are empty. None where there is no store yet. Nothing is written, and a process may hold the folder
/// meanwhile: it is then what had been committed a moment ago.
///
/// # Errors
/// As for `open`, but for a folder that is held.
pub fn look(path: &Path) -> Result<Option<Restored>, Error> {
    // A process that holds the folder may remove a file between the reading of its name and of what is in it.
    look_once(path).or_else(|_| look_once(path)).or_else(|_| look_once(path))
}

fn look_once(path: &Path) -> Result<Option<Restored>, Error> {
    if !is_marked(path)? || !has_begun(path)? {
        return Ok(None);
    }
    let memory_bytes = 16 << 20;
    let (mut database, families) = tuned(memory_bytes, false);
    // All files are opened at once, so that none can go before it is read.
    database.set_max_open_files(-1);
    let db = DB::open_cf_descriptors_read_only(&database, path.join(DATABASE), families, false);
    let db = db.map_err(|error| failure(path, error))?;
    let (durability, history, keep_journal) = (Durability::Process, Span::ZERO, true);
    let options = Options { path: path.to_path_buf(), durability, history, memory_bytes, keep_journal };
    Store::of(db, &options).restore_outline().map(Some)
}

/// An error of RocksDB, by what the operator can do about it.
pub(crate) fn failure(path: &Path, error: rocksdb::Error) -> Error {
    let (kind, message) = (error.kind(), error.into_string());
    let path = path.to_path_buf();
    match kind {
        ErrorKind::IOError if ["While lock file", "lock hold by"].iter().any(|words| message.contains(words)) => {
            Error::Locked { path }
        }
        ErrorKind::Corruption | ErrorKind::InvalidArgument | ErrorKind::NotSupported => {
            Error::Corrupt { path, message }
        }
        _ => Error::Io { path, message },
    }
}

fn io(path: &Path, error: &std::io::Error) -> Error {
    Error::Io { path: path.to_path_buf(), message: error.to_string() }
}

/// Makes sure that the folder is ours, and marks it where it is new. A folder that is not is not touched.
fn claim(path: &Path) -> Result<(), Error> {
    if is_marked(path)? {
        return Ok(());
    }
    let failed = |error: std::io::Error| io(path, &error);
    fs::create_dir_all(path).map_err(failed)?;
    let unfinished = path.join(UNFINISHED);
    let mut file = File::create(&unfinished).map_err(failed)?;
    writeln!(file, "{MAGIC}{VERSION}").map_err(failed)?;
    file.sync_all().map_err(failed)?;
    fs::rename(&unfinished, path.join(MARKER)).map_err(failed)?;
    File::open(path).and_then(|folder| folder.sync_all()).map_err(failed)
}

/// Whether the folder is marked as ours, in this version. One that is not is empty, or not there.
fn is_marked(path: &Path) -> Result<bool, Error> {
    let failed = |error: std::io::Error| io(path, &error);
    match fs::read(path.join(MARKER)) {
        Ok(text) => {
            let text = String::from_utf8_lossy(&text);
            let Some(found) = text.strip_prefix(MAGIC) else {
                return Err(Error::Foreign { path: path.to_path_buf(), file: MARKER.to_owned() });
            };
            let found = found.trim().to_owned();
            if found != VERSION.to_string() {
                return Err(Error::Version { path: path.to_path_buf(), found, wanted: VERSION });
            }
            return Ok(true);
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    if !path.exists() {
        return Ok(false);
    }
    for entry in fs::read_dir(path).map_err(failed)? {
        let file = entry.map_err(failed)?.file_name();
        if file != UNFINISHED {
            return Err(Error::Foreign { path: path.to_path_buf(), file: file.to_string_lossy().into_owned() });
        }
    }
    Ok(false)
}

/// Whether there is a database. RocksDB would take a folder without this file for an empty one and start afresh in it.
fn has_begun(path: &Path) -> Result<bool, Error> {
    let folder = path.join(DATABASE);
    let complete = folder.join("CURRENT").exists();
    if !complete && let Some(file) = data_file(&folder).map_err(|error| io(path, &error))? {
        let message = format!("`{DATABASE}/CURRENT` is missing beside `{file}`");
        return Err(Error::Corrupt { path: path.to_path_buf(), message });
    }
    Ok(complete)
}

/// A file that RocksDB writes only once it has begun in earnest.
fn data_file(folder: &Path) -> std::io::Result<Option<String>> {
    if !folder.exists() {
        return Ok(None);
    }
    for entry in fs::read_dir(folder)? {
        let file = entry?.file_name().to_string_lossy().into_owned();
        if [".sst", ".log", ".blob"].iter().any(|end| file.ends_with(end)) {
            return Ok(Some(file));
        }
    }
    Ok(None)
}

/// How RocksDB runs. All families share one cache, and write buffers are charged to it: it bounds both together.
fn tuned(memory_bytes: usize, create: bool) -> (rocksdb::Options, Vec<ColumnFamilyDescriptor>) {
    let memory = memory_bytes.max(8 << 20);
    let cache = Cache::new_lru_cache(memory);

    let mut database = rocksdb::Options::default();
    database.create_if_missing(create);
    // The process may have ended between the making of the database and that of its families.
    database.create_missing_column_families(true);
    database.set_paranoid_checks(true);
    // Of what was not flushed, the disk may have kept a later page and lost an earlier one when the power
    // went. This mode then gives the longest run of whole commits before the gap; everything that was
    // flushed before an outbox was published is in it. To tolerate a torn tail alone would refuse to start.
    database.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    // A family that is rarely written must not hold the logs of those that are written often.
    database.set_max_total_wal_size((memory as u64).clamp(16 << 20, 128 << 20));
    database.set_write_buffer_manager(&WriteBufferManager::new_write_buffer_manager_with_cache(
        memory / 3,
        false,
        cache.clone(),
    ));
    database.set_max_open_files(256);
    database.set_max_background_jobs(2);
    database.set_bytes_per_sync(1 << 20);
    database.set_max_manifest_file_size(4 << 20);
    database.set_stats_dump_period_sec(0);
    database.set_stats_persist_period_sec(0);
    // What matters comes back as errors; without this RocksDB keeps log files of its own.
    database.set_info_logger(InfoLogger::new_callback_logger(LogLevel::Fatal, |_, _| {}));

    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&cache);
    table.set_block_size(16 << 10);
    table.set_bloom_filter(10.0, false);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);

    let describe = |name: &str| {
        let mut family = rocksdb::Options::default();
        family.set_block_based_table_factory(&table);
        family.set_compression_type(DBCompressionType::Lz4);
        family.set_write_buffer_size((memory / 8).clamp(1 << 20, 16 << 20));
        family.set_max_write_buffer_number(2);
        family.set_target_file_size_base(16 << 20);
        family.set_max_bytes_for_level_base(64 << 20);
        if [family::BLOCKS, family::COLUMNS, family::POINTS].contains(&name) {
            // Blocks are large and rewritten in rotation, the others are large and trimmed from one end. Kept apart
            // from their keys they are not copied by each compaction; files are collected once half of what they
            // hold is not needed any more.
            family.set_enable_blob_files(true);
            family.set_min_blob_size(4 << 10);
            family.set_blob_file_size(32 << 20);
            // Points are compressed already.
            let is_plain = name != family::POINTS;
            family.set_blob_compression_type(if is_plain { DBCompressionType::Lz4 } else { DBCompressionType::None });
            family.set_enable_blob_gc(true);
            family.set_blob_gc_age_cutoff(0.5);
            family.set_blob_gc_force_threshold(0.5);
        }
        ColumnFamilyDescriptor::new(name, family)
    };
    (database, family::ALL.into_iter().map(describe).collect())
}
