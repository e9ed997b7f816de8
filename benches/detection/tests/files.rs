//! Files as people have them, and what is said of those that are not as wanted.

use detection::{generate, series};
use std::fs;

/// The message for a folder with one file.
fn refused(text: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("a.csv"), text).expect("a file");
    let message = series::read_folder(folder.path()).expect_err("refused").to_string();
    message.replace(&folder.path().display().to_string(), "FOLDER")
}

#[test]
fn times_come_in_three_ways() {
    let read = |time: &str| series::instant(time).map(|time| time.to_string());
    let wanted = Some("2014-04-10T07:15:00Z".to_owned());
    for text in ["1397114100", "1397114100.0", "2014-04-10T07:15:00Z", "2014-04-10T09:15:00+02:00"] {
        assert_eq!(read(text), wanted, "{text}");
    }
    for text in ["2014-04-10 07:15:00", "2014-04-10 07:15:00.000000"] {
        assert_eq!(read(text), wanted, "{text}");
    }
    assert_eq!(read("10.04.2014"), None);
}

#[test]
fn columns_stand_in_any_order() {
    let text = "label,value,note,timestamp\r\n1,2.5,x,60\r\n0,-3e2,y,120\r\n";
    let read = series::parse("a.csv".to_owned(), text).expect("a series");
    let rows: Vec<(i64, f64, bool)> = read.rows.iter().map(|row| (row.at.millis(), row.value, row.label)).collect();
    assert_eq!(rows, [(60_000, 2.5, true), (120_000, -300.0, false)]);
    assert!(read.labelled);
}

#[test]
fn what_is_wrong_is_named_with_file_and_line() {
    assert_eq!(
        refused("time,value\n1,2\n"),
        "FOLDER/a.csv:1: there is no column `timestamp` in `time,value`; `timestamp,value` or `timestamp,value,label` is wanted"
    );
    assert_eq!(
        refused("timestamp,value\n60,1\nlater,2\n"),
        "FOLDER/a.csv:3: `later` is no time; epoch seconds, 2026-03-01T12:00:00Z or 2026-03-01 12:00:00 is wanted"
    );
    assert_eq!(refused("timestamp,value\n60,NaN\n"), "FOLDER/a.csv:2: `NaN` is no value; a finite number is wanted");
    assert_eq!(refused("timestamp,value,label\n60,1,yes\n"), "FOLDER/a.csv:2: `yes` is no label; 0 or 1 is wanted");
    assert_eq!(refused(""), "FOLDER/a.csv:1: the file is empty; a line `timestamp,value` is wanted first");
    let folder = tempfile::tempdir().expect("a folder");
    let message = series::read_folder(folder.path()).expect_err("refused").to_string();
    assert!(message.ends_with("no .csv file with the columns `timestamp` and `value` is in this folder"), "{message}");
}

#[test]
fn made_up_series_are_the_same_for_the_same_seed_and_can_be_read_back() {
    for number in 0..10 {
        let made = generate::series(5, number, 6);
        assert_eq!(made, generate::series(5, number, 6));
        assert_ne!(made.rows, generate::series(6, number, 6).rows);
        assert_eq!(series::parse(made.name.clone(), &series::print(&made)), Ok(made));
    }
}
