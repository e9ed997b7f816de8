//! What checks see, and how results become states.

use super::*;

/// One check on `web` over batches of ten seconds: 0 in the first, then one of `values` in each, `-` for none.
#[track_caller]
fn levels(settings: &str, values: &str, expected: &str) {
    let mut script = format!("{ONE} check c on=web call=level m=cpu;10s;sum {settings}\n active p0\n p0 5s cpu=0\n");
    let mut end = 10;
    for value in values.split_whitespace() {
        end += 10;
        if value != "-" {
            writeln!(script, "p0 {}s cpu={value}", end - 5).expect("memory");
        }
    }
    // Time is moved by what the stream does not select.
    writeln!(script, "p0 {}s mem=0\n to {end}s\n step", end + 5).expect("memory");
    check_own(&script, expected);
}

#[test]
fn a_state_is_what_enough_of_the_last_results_say() {
    levels(
        "for=2/3 recover=2/2",
        "50 1 100 1 1 60 100 100 1 50 1 1",
        "40s web DEVIATING 100
         1m web CLEAR
         1m20s web DEVIATING 100
         1m30s web CRITICAL 100
         1m50s web DEVIATING 50
         2m10s web CLEAR",
    );
    levels("", "50 -1 1", "10s web CLEAR\n 20s web DEVIATING 50\n 30s web UNKNOWN -1\n 40s web CLEAR");
}

#[test]
fn nothing_and_errors_are_no_results() {
    levels("", "13 14 100 14 13 1", "10s web CLEAR\n 40s web CRITICAL 100\n 1m10s web CLEAR");
    levels("for=2/2", "100 13 14 100", "10s web CLEAR\n 50s web CRITICAL 100");
    levels(
        "error=unknown for=1/2",
        "14 100 14 -1 14 1",
        "10s web CLEAR
         20s web UNKNOWN bad luck
         30s web CRITICAL 100
         40s web UNKNOWN bad luck
         1m10s web CLEAR",
    );
}

#[test]
fn a_verdict_lapses_unless_another_comes() {
    levels("", "200 200 - - -", "10s web CLEAR\n 20s web CRITICAL for a while\n 45s web UNKNOWN expired");
    levels("", "200 1 - - -", "10s web CLEAR\n 20s web CRITICAL for a while\n 30s web CLEAR");
    levels("", "200 13 14 -", "10s web CLEAR\n 20s web CRITICAL for a while\n 35s web UNKNOWN expired");
}

#[test]
fn missing_data_count_as_results_until_they_were_heard() {
    levels(
        "missing=UNKNOWN after=15s for=2/2",
        "100 100 - - - - 100",
        "10s web CLEAR\n 30s web CRITICAL 100\n 1m5s web UNKNOWN no data for stream `cpu`",
    );
    levels("after=15s", "100 - - - - -", "10s web CLEAR\n 20s web CRITICAL 100");
    // The usual deadline is a minute: 30s + 1m. A point at that very instant comes first.
    let usual = "10s web CLEAR\n 20s web CRITICAL 100";
    levels("missing=DEVIATING", "100 - - - - - - 100", usual);
    levels(
        "missing=DEVIATING",
        "100 - - - - - - -",
        &format!("{usual}\n 1m30s web DEVIATING no data for stream `cpu`"),
    );
}

#[test]
fn what_never_reports_is_missing_one_deadline_after_its_binding() {
    check_own(
        &format!(
            "{ONE} check c on=web call=level m=cpu;20s:5s;sum missing=CRITICAL
             active p0
             p0 8s mem=0
             p0 100s mem=0
             to 95s
             step"
        ),
        "1m3s web CRITICAL no data for stream `cpu`",
    );
}

#[test]
fn counts_are_never_missing() {
    check_own(
        &format!(
            "{ONE} check c on=web call=level m=cpu;10s;count missing=CRITICAL after=1s
             active p0\n p0 8s mem=0\n p0 100s mem=0\n to 95s\n step"
        ),
        "10s web CLEAR",
    );
}

#[test]
fn an_input_that_is_not_fresh_is_missing() {
    let mut script = "source p\n component web\n stream a p name=a\n stream b p name=b
        check c on=web call=sum m=a;10s;sum o=b;10s;sum missing=DEVIATING
        active p0\n p0 4s a=1\n p0 15s a=1 18s b=5\n"
        .to_owned();
    for seconds in (25..100).step_by(10) {
        writeln!(script, "p0 {seconds}s a=1").expect("memory");
    }
    check_own(
        &format!("{script} to 95s\n step"),
        "10s web DEVIATING no data for stream `b`
         20s web CRITICAL 1 and 5
         1m30s web DEVIATING no data for stream `b`",
    );
}

#[test]
fn inputs_meet_on_labels() {
    let streams = "source p
        stream cpu p name=cpu
        stream by p name=cpu each=host
        component web labels=host=a,limit=3
        component host-{host} for_each=by
        component idle labels=host=x";
    let records = "active p0\n p0 4s cpu{host=a}=1 5s cpu{host=b}=2\n p0 15s cpu=0\n to 10s\n step";
    let case = |check: &str, expected: &str| check_own(&format!("{streams}\n {check}\n {records}"), expected);
    case("check c on=web call=list m=cpu;10s;sum o=by;10s;sum;list", "10s web CRITICAL 1;");
    case("check c on=idle call=list m=cpu;10s;sum o=by;10s;sum;list", "10s idle CRITICAL ");
    case(
        "check c on=host-{host} call=list m=by;10s;sum o=cpu;10s;sum;list",
        "10s host-a CRITICAL 3;\n 10s host-b CRITICAL 3;",
    );
    case(
        "check c on=host-{host} call=sum m=by;10s;sum o=cpu;10s;sum",
        "10s host-a CRITICAL 1 and 3\n 10s host-b CRITICAL 2 and 3",
    );
    case("check c on=@limit=3 call=sum m=cpu;10s;sum o=by;10s;sum", "10s web CRITICAL 3 and 1");
    case("check c on=web call=level m=cpu;10s;sum limit=$limit", "10s web CRITICAL 3");
    case("check c on=web call=level m=cpu;10s;sum limit=$host error=unknown", "");
}

#[test]
fn a_table_is_keyed_by_the_labels_that_the_check_lacks() {
    check(
        "source p
         stream cpu p
         stream by p each=host,rack,zone
         component web labels=zone=z
         check c on=web call=table m=cpu;10s;sum o=by;10s;sum;table
         active p0
         p0 4s cpu{zone=z,host=b,rack=1}=1 4s cpu{zone=y,host=b,rack=1}=1 5s cpu{zone=z,host=a,rack=2}=2
         p0 15s cpu=0
         to 10s
         step",
        r#"10s web own UNKNOWN > CRITICAL by c: ["a,2", "b,1"]
           10s web propagated UNKNOWN > CRITICAL by web: ["a,2", "b,1"]"#,
    );
}

#[test]
fn a_series_keeps_the_last_points() {
    let values = "1 - 2 3 - 4";
    let mut script = "source p\n component web\n stream cpu p name=cpu
        check c on=web call=series m=cpu;10s;sum;series3\n active p0\n p0 1s cpu=0\n"
        .to_owned();
    for (place, value) in values.split(' ').enumerate().filter(|(_, value)| *value != "-") {
        writeln!(script, "p0 {}s cpu={value}", place * 10 + 15).expect("memory");
    }
    check_own(&format!("{script} to 75s\n p0 75s mem=1\n step"), "10s web CLEAR\n 40s web CRITICAL 0");
}

const REPORTS: &str = "source p\n component web\n stream e p of=events ttl=20s\n";

#[test]
fn events_come_by_window_in_the_order_of_time_and_partition() {
    check_own(
        &format!(
            r#"{REPORTS} check c on=web call=events e=e;10s;;events
               active p0
               active p1
               p1 12s e!{{"s":"x"}}
               p0 11s e!{{"s":"z"}} 12s e!{{"s":"y"}}
               p0 30s m=1
               p1 30s m=1
               to 30s
               step"#
        ),
        "20s web CRITICAL zyx\n 30s web CLEAR",
    );
}

#[test]
fn events_come_one_by_one_once_the_clock_has_passed_them() {
    let script = format!(
        r#"{REPORTS} check c on=web call=event e=e;-;;events missing=UNKNOWN after=7s
           active p0
           active p1
           p0 12s e!{{"s":"critical"}}
           p1 12s e!{{"s":"clear"}}
           to 12s
           step"#
    );
    check_own(&script, "");
    check_own(
        &format!("{script}\n p0 20s e!{{\"s\":\"deviating\"}}\n p1 30s m=1\n idle p0\n to 30s\n step"),
        "12s web CLEAR
         19s web UNKNOWN no data for stream `e`
         20s web DEVIATING 
         27s web UNKNOWN no data for stream `e`",
    );
}

#[test]
fn evidence_of_what_no_call_brought_says_so() {
    let (definitions, records, journal) = read(&format!(
        "{ONE} check c on=web call=level m=cpu;10s;sum missing=CRITICAL\n active p0\n p0 5s mem=0\n p0 80s mem=0\n to 75s\n step"
    ));
    let outcome = crate::run(&definitions, &library(&definitions), &records, &journal);
    assert_eq!(&*outcome.transitions[0].evidence, r#"{"check":"c","reason":"missing","time":"1970-01-01T00:01:00Z"}"#);
    // Worked out by `sha256sum` over the identity.
    assert_eq!(format!("{:032x}", outcome.transitions[0].id), "6f6117a0e7b45dc19863964e975bb11a");
}
