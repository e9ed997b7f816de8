//! Which folders are opened, and what is said about the others; and that a killed process leaves whole commits.

mod common;

use common::{element, files, open, options, transition};
use engine::state::{BlockRecord, Change};
use model::Element;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use store::{Error, MARKER, Store};

/// What opening says, with the folder's name left out; nothing in the folder may change.
fn refused(folder: &Path) -> String {
    let before = files(folder);
    let error = Store::open(&options(folder)).err().expect("no store");
    assert!(before == files(folder), "the folder has changed: {error}");
    error.to_string().replace(&folder.display().to_string(), "FOLDER")
}

fn written(folder: &Path) {
    let store = open(folder);
    store.commit(&[Change::Transition(transition("checkout", 1))], true).expect("a commit");
    store.close();
}

#[test]
fn a_folder_with_other_files_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("thesis.tex"), "years of work").expect("a file");
    assert_eq!(
        refused(folder.path()),
        "FOLDER: holds `thesis.tex` and no `VITALSIGN`, so it is no state folder; wanted an empty folder or one of ours"
    );
    fs::write(folder.path().join(MARKER), "of my own").expect("a file");
    assert!(refused(folder.path()).starts_with("FOLDER: holds `VITALSIGN`"));
}

#[test]
fn a_folder_that_is_not_there_or_was_not_finished_is_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a/b");
    open(&path).close();
    fs::remove_file(path.join(MARKER)).expect("no marker");
    assert!(matches!(Store::open(&options(&path)), Err(Error::Foreign { .. })));
    fs::remove_dir_all(path.join("rocksdb")).expect("no database");
    fs::write(path.join("VITALSIGN.new"), "vital").expect("half a marker");
    open(&path).close();
    fs::remove_dir_all(path.join("rocksdb")).expect("no database");
    open(&path).close();
}

#[test]
fn another_version_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    written(folder.path());
    fs::write(folder.path().join(MARKER), "vitalsign state 1\n").expect("a marker");
    assert_eq!(
        refused(folder.path()),
        "FOLDER: was written in version 1 of the state format; this program reads version 4; give it an empty folder"
    );
}

#[test]
fn damage_is_told_and_the_folder_left_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    written(folder.path());
    let database = folder.path().join("rocksdb");
    let current = fs::read_to_string(database.join("CURRENT")).expect("a file");
    let manifest = database.join(current.trim());
    let whole = fs::read(&manifest).expect("a file");
    let mut broken = whole.clone();
    broken[20] ^= 0x55;
    fs::write(&manifest, broken).expect("a file");
    let message = refused(folder.path());
    assert!(message.starts_with("FOLDER: the state is damaged: Corruption: "), "{message}");

    fs::write(&manifest, whole).expect("a file");
    fs::remove_file(database.join("CURRENT")).expect("no file");
    let message = refused(folder.path());
    assert!(message.starts_with("FOLDER: the state is damaged: `rocksdb/CURRENT` is missing"), "{message}");
    fs::write(database.join("CURRENT"), current).expect("a file");
    assert_eq!(open(folder.path()).outbox(9).expect("an outbox"), [transition("checkout", 1)]);
}

#[test]
fn a_torn_tail_of_the_log_costs_the_last_commit_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    for sequence in 1..=3 {
        store.commit(&[Change::Transition(transition("checkout", sequence))], false).expect("a commit");
    }
    store.close();
    let log = files(folder.path()).into_iter().find(|(name, text)| name.ends_with(".log") && !text.is_empty());
    let (name, text) = log.expect("a log");
    fs::write(name, &text[..text.len() - 5]).expect("a file");
    let left = open(folder.path()).outbox(9).expect("an outbox");
    assert_eq!(left, [transition("checkout", 1), transition("checkout", 2)]);
}

/// Set for the process that the tests below start: its folder.
const CHILD: &str = "STORE_TEST_FOLDER";

/// Runs as a process of its own: commits batches with one number in all their parts, until it is killed.
#[test]
fn child() {
    let Ok(folder) = std::env::var(CHILD) else { return };
    let store = open(Path::new(&folder));
    for number in store.restore().expect("state").sequence + 1.. {
        store.commit(&batch(number), number % 8 == 0).expect("a commit");
        eprintln!("committed {number}");
    }
}

fn batch(number: u64) -> Vec<Change> {
    let lane = BlockRecord { lane: number, ..BlockRecord::default() };
    let mut changes = vec![Change::Transition(transition("checkout", number)), Change::Sequence(number)];
    for block in 0..50 {
        changes.push(Change::Block { number: block, record: Some(lane.clone()) });
    }
    let record = Some(element(&number.to_string()));
    changes.push(Change::Element { element: Element::component("checkout"), sequence: number, record });
    changes
}

/// Starts `child`, waits until it has committed this many, does something, and kills it. Gives back the
/// last number that it is known to have committed.
fn with_child(folder: &Path, commits: usize, meanwhile: impl FnOnce()) -> u64 {
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["child", "--exact", "--nocapture"])
        .env(CHILD, folder)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a process");
    let mut lines = BufReader::new(child.stderr.take().expect("its errors")).lines().map(|line| line.expect("a line"));
    let number = |line: String| line.strip_prefix("committed ").and_then(|number| number.parse::<u64>().ok());
    let last = lines.by_ref().filter_map(number).nth(commits - 1).expect("it commits");
    meanwhile();
    child.kill().expect("a kill");
    child.wait().expect("its end");
    lines.filter_map(number).last().unwrap_or(last)
}

#[test]
fn a_second_process_is_turned_away() {
    let folder = tempfile::tempdir().expect("a folder");
    with_child(folder.path(), 1, || {
        let error = Store::open(&options(folder.path())).err().expect("no store");
        assert!(matches!(error, Error::Locked { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("another process holds this state folder"), "{text}");
        assert!(text.contains(&folder.path().display().to_string()), "{text}");
    });
    open(folder.path()).close();
}

#[test]
fn a_store_is_looked_at_while_a_process_holds_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state");
    assert!(store::look(&path).expect("nothing yet").is_none());
    assert!(!path.exists());
    with_child(&path, 30, || {
        let seen = store::look(&path).expect("a look").expect("a store");
        assert!(seen.sequence >= 30, "{}", seen.sequence);
        assert_eq!(seen.elements[0].0, Element::component("checkout"));
        assert!(seen.blocks.is_empty());
    });
    let before = files(&path);
    assert!(store::look(&path).expect("a look").expect("a store").sequence >= 30);
    assert!(before == files(&path), "looking has changed the folder");

    fs::write(path.join(MARKER), "vitalsign state 1\n").expect("a marker");
    assert!(matches!(store::look(&path), Err(Error::Version { .. })));
    fs::remove_file(path.join(MARKER)).expect("no marker");
    assert!(matches!(store::look(&path), Err(Error::Foreign { .. })));
}

#[test]
fn a_killed_process_leaves_whole_commits() {
    let folder = tempfile::tempdir().expect("a folder");
    for commits in [1, 30, 300] {
        let known = with_child(folder.path(), commits, || {});
        let store = open(folder.path());
        let state = store.restore().expect("state");
        let number = state.sequence;
        assert!(number >= known, "{number} after {known} was committed");
        assert_eq!(state.blocks.len(), 50);
        assert!(state.blocks.iter().all(|(_, block)| block.lane == number), "{number}");
        assert_eq!(state.elements[0].1, element(&number.to_string()));
        assert_eq!(store.outbox_len().expect("a length"), number as usize);
        let newest = store.history(&Element::component("checkout"), None, 1).expect("a history");
        assert_eq!(newest, [transition("checkout", number)]);
    }
}
