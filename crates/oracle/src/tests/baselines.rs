//! What baselines learn, and what they say.

use super::*;
use crate::baseline::in_one_byte;

/// Critical outside of the band; it tells the band, or that there is none.
pub(super) const WITHIN: &str = r#"
parameters(#{ m: metric("m") });
fn check(p) {
    let band = p.m.baseline;
    let said = if band == () { "none" } else { `${band}` };
    if band != () && (p.m.value < band.lower || p.m.value > band.higher) { return critical(said); }
    if p.state == CLEAR { unknown(said) } else { clear(said) }
}
"#;
/// From the minimum to the maximum; nothing after a 13, an error after a 14.
pub(super) const MEAN: &str = r#"
fn baseline(p) {
    let all = p.batches;
    if all.is_empty() || all.last.value == 13 { return; }
    if all.last.value == 14 { throw "bad luck"; }
    baseline(all.mean(), all.minimum(), all.maximum())
}
"#;
/// How many batches there are, from how many of them are anomalous up to how many samples they have.
pub(super) const EVERYTHING: &str = r#"
fn baseline(p) {
    let all = p.batches.with_anomalous();
    let anomalous = 0;
    let samples = 0;
    for of in all { if of.anomalous { anomalous += 1; } samples += of.count; }
    baseline(all.len, anomalous, samples)
}
"#;
/// The phase of the batch that comes next, of so many.
pub(super) const PHASE: &str = r#"
fn baseline(p) { baseline(p.phase, 0, p.phases) }
"#;

/// Replays, and compares what baselines said of the windows of the instances that live at the end.
#[track_caller]
fn readings(text: &str, expected: &str) {
    let (definitions, records, journal) = read(text);
    let library = library(&definitions);
    let mut world = World::new(&definitions, &library, &records);
    journal.split_inclusive(|entry| *entry == Entry::Step).for_each(|step| world.step(step));
    let mut found = String::new();
    for feed in &world.feeds {
        for (labels, instance) in &feed.live {
            for closed in &instance.closed {
                for (baseline, reading) in &closed.readings {
                    let (name, band) = (&definitions.baselines[*baseline].name, reading.band);
                    let stale = if reading.stale { " stale" } else { "" };
                    let (start, end) = (shown(closed.start), shown(closed.end));
                    let shown = format!("{} {}..{}", band.average, band.lower, band.higher);
                    writeln!(found, "{name} {labels} {start}-{end}: {shown}{stale}").expect("memory");
                }
            }
        }
    }
    same(&found, expected);
}

/// A baseline and a check that reads it over batches of ten seconds, one for each of `values`, `-` for none.
fn batches(baseline: &str, values: &str) -> String {
    let mut script = format!("{ONE} {baseline}\n check c on=web call=within m=cpu;10s;sum;point;b\n active p0\n");
    let mut end = 0;
    for value in values.split_whitespace() {
        end += 10;
        if value != "-" {
            writeln!(script, "p0 {}s cpu={value}", end - 5).expect("memory");
        }
    }
    writeln!(script, "p0 {}s mem=0\n to {end}s\n step", end + 5).expect("memory");
    script
}

#[test]
fn there_is_no_band_before_the_training_window_is_full() {
    let baseline = "baseline b cpu 10s sum call=mean train=30s";
    readings(&batches(baseline, "1 4 1 1 4"), "b {} 30s-40s: 2 1..4\n b {} 40s-50s: 2 1..4");
    // A stream that begins later has its training window later, and one that has gaps has fewer batches in it.
    readings(&batches(baseline, "- 2 - 4 3 5"), "b {} 40s-50s: 3 2..4\n b {} 50s-1m: 3.5 3..4");
    // The first window began before the clock did.
    let late = batches(baseline, "9 4 1 1 4").replace("p0 5s", "p0 6s");
    readings(&late, "b {} 40s-50s: 2 1..4");
}

#[test]
fn a_check_reads_before_the_baseline_learns() {
    let baseline = "baseline b cpu 10s sum call=mean train=30s";
    check_own(
        &batches(baseline, "1 2 3 9 2 3"),
        "10s web CLEAR none
         20s web UNKNOWN none
         30s web CLEAR none
         40s web CRITICAL 2 (1 to 3)
         50s web CLEAR 2.5 (2 to 3)
         1m web UNKNOWN 2.5 (2 to 3)",
    );
}

#[test]
fn what_checks_found_anomalous_is_told_until_it_has_become_normal() {
    let baseline = "baseline b cpu 10s sum call=mean train=1m adapt=30s";
    readings(
        &batches(baseline, "1 2 1 2 1 2 9 9 - 9 9 1"),
        "b {} 1m-1m10s: 1.5 1..2
         b {} 1m10s-1m20s: 1.6 1..2
         b {} 1m30s-1m40s: 1.6666666666666667 1..2
         b {} 1m40s-1m50s: 6 1..9
         b {} 1m50s-2m: 7.6 2..9",
    );
    let baseline = "baseline b cpu 10s sum call=everything train=30s";
    readings(
        &batches(baseline, "1 2 3 9 9 3"),
        "b {} 30s-40s: 3 0..3
         b {} 40s-50s: 3 1..3
         b {} 50s-1m: 3 2..3",
    );
}

#[test]
fn a_failure_leaves_the_last_band_and_nothing_leaves_none() {
    let baseline = "baseline b cpu 10s sum call=mean train=20s";
    readings(
        &batches(baseline, "1 20 14 14 2 13 14 3 20"),
        "b {} 20s-30s: 10.5 1..20
         b {} 30s-40s: 10.5 1..20 stale
         b {} 40s-50s: 10.5 1..20 stale
         b {} 50s-1m: 8 2..14
         b {} 1m20s-1m30s: 8.5 3..14",
    );
}

#[test]
fn what_was_learned_outlives_its_instance_for_a_while() {
    for (keep, expected) in [("40s", r#"b {host="a"} 1m20s-1m30s: 2 2..2"#), ("39s", "")] {
        let text = format!(
            "source p lateness=5s
             stream cpu p name=cpu each=host ttl=10s
             component web
             baseline b cpu 10s sum call=mean train=30s keep={keep}
             check c on=web call=within m=cpu;10s;sum;point;b
             active p0\n p0 5s mem=0\n p0 15s cpu{{host=a}}=1\n p0 25s cpu{{host=a}}=1\n p0 35s cpu{{host=a}}=1
             p0 75s cpu{{host=a}}=2\n p0 85s cpu{{host=a}}=2\n p0 95s mem=0\n to 90s\n step"
        );
        readings(&text, expected);
    }
}

#[test]
fn a_baseline_learns_on_each_agenda_that_reads_it() {
    let text = "
        source p lateness=5s
        source q lateness=5s
        stream cpu p name=cpu
        stream mem q name=mem
        component web
        component store
        baseline b cpu 10s sum call=mean train=20s
        check c on=web call=within m=cpu;10s;sum;point;b
        check d on=store call=sum m=mem;10s;sum o=cpu;10s;sum;point;b
        active p0\n active q0
        p0 5s cpu=1\n p0 15s cpu=2\n p0 25s cpu=9\n p0 35s cpu=2\n p0 45s cpu=2\n q0 5s mem=0\n q0 45s mem=0
        to p 40s\n to p+q 40s\n step";
    // Where no check judges it, nothing is anomalous.
    readings(
        text,
        "b {} 20s-30s: 1.5 1..2
         b {} 30s-40s: 2 2..2
         b {} 20s-30s: 1.5 1..2
         b {} 30s-40s: 5.5 2..9",
    );
}

/// The phases of the batches from one time on.
#[track_caller]
fn phases(window: &str, period: &str, first: &str, expected: &[(&str, f64)]) {
    let mut text = format!(
        "source p\n stream cpu p name=cpu\n component web
         baseline b cpu {window} sum call=phase period={period} train={period}
         check c on=web call=within m=cpu;{window};sum;point;b\n active p0\n"
    );
    let first: Time = parse(first);
    for half in 0..400 {
        let since = first - Time::from_nanos(0) + Span::from_secs(1800).times(half);
        writeln!(text, "p0 {since} cpu=1").expect("memory");
    }
    writeln!(text, "to {}\n step", first - Time::from_nanos(0) + Span::from_secs(1800).times(399)).expect("memory");
    let (definitions, records, journal) = read(&text);
    let library = library(&definitions);
    let mut world = World::new(&definitions, &library, &records);
    journal.split_inclusive(|entry| *entry == Entry::Step).for_each(|step| world.step(step));
    let closed = &world.feeds[0].live[&Labels::default()].closed;
    for (start, phase) in expected {
        let at: Time = parse(start);
        let closed =
            closed.iter().find(|closed| closed.start == at).unwrap_or_else(|| panic!("none begins at {start}"));
        assert_eq!(closed.readings[&0].band.average, *phase, "{start}");
    }
}

#[test]
fn phases_follow_the_local_clock() {
    // 02:00 is skipped.
    phases(
        "1h@Europe/Amsterdam",
        "1d",
        "2026-03-26T00:00:00Z",
        &[("2026-03-28T23:00:00Z", 0.0), ("2026-03-29T00:00:00Z", 1.0), ("2026-03-29T01:00:00Z", 3.0)],
    );
    // 02:00 is shown twice.
    phases(
        "1h@Europe/Amsterdam",
        "1d",
        "2026-10-22T00:00:00Z",
        &[("2026-10-25T00:00:00Z", 2.0), ("2026-10-25T01:00:00Z", 2.0), ("2026-10-25T02:00:00Z", 3.0)],
    );
    // Half an hour is shown twice within one batch; Sunday is the last day of a week.
    phases(
        "1h@Australia/Lord_Howe",
        "1w",
        "2026-03-28T00:00:00Z",
        &[("2026-04-04T14:00:00Z", 145.0), ("2026-04-04T15:30:00Z", 146.0)],
    );
    // There is no midnight on this Sunday.
    phases(
        "6h@America/Havana",
        "1d",
        "2026-03-05T00:00:00Z",
        &[("2026-03-08T05:00:00Z", 0.0), ("2026-03-08T10:00:00Z", 1.0)],
    );
    phases("2h", "6h", "2026-03-01T00:00:00Z", &[("2026-03-01T08:00:00Z", 1.0)]);
}

#[test]
fn models_are_taught_point_by_point() {
    let mut text = batches("baseline b cpu 10s sum call=novelty", &"5 6 ".repeat(30));
    text.push('\n');
    let (definitions, records, journal) = read(&text);
    let library = library(&definitions);
    let mut world = World::new(&definitions, &library, &records);
    journal.split_inclusive(|entry| *entry == Entry::Step).for_each(|step| world.step(step));
    let mut model = online::Model::new(OnlineModel::Novelty);
    let mut spoke = 0;
    for closed in &world.feeds[0].live[&Labels::default()].closed {
        let value = closed.points.values().next().expect("a point").value();
        let reading = model.assess(closed.end, closed.end, value);
        assert_eq!(closed.readings.get(&0), reading.as_ref());
        spoke += usize::from(reading.is_some());
        model.learn(closed.end, closed.end, value);
    }
    assert!(spoke > 0);
}

/// Bytes hold five digits of a binary number, and how many follow them.
#[test]
fn a_count_is_a_byte() {
    let counts = [0, 1, 31, 32, 33, 34, 63, 64, 65, 66, 1_000, 507_904, 600_000, u64::MAX];
    let expected = [0, 1, 31, 32, 34, 34, 64, 64, 64, 68, 992, 507_904, 507_904, 507_904];
    assert_eq!(counts.map(in_one_byte), expected);
}
