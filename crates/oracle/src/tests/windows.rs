//! Where windows lie, and which instances live.

use super::*;
use crate::window;

fn bounds(cut_text: &str, from: &str, expected: &[&str]) {
    let cut = cut(cut_text).expect("a window");
    let mut end: Time = parse(from);
    for expected in expected {
        let start = window::next_end(&cut, end);
        assert_eq!(start.to_string(), *expected);
        let after = window::next_end(&cut, start);
        assert_eq!(window::start(&cut, after), start);
        end = start;
    }
}

#[test]
fn batches_follow_the_local_clock_over_its_changes() {
    bounds(
        "6h@Europe/Amsterdam",
        "2026-03-28T22:59:59Z",
        &["2026-03-28T23:00:00Z", "2026-03-29T04:00:00Z", "2026-03-29T10:00:00Z"],
    );
    // 02:00 to 03:00 is skipped; all that it holds falls on the moment of the change.
    bounds(
        "30m@Europe/Amsterdam",
        "2026-03-29T00:00:00Z",
        &["2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"],
    );
    bounds("2h@Europe/Amsterdam", "2026-03-28T23:00:00Z", &["2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"]);
    // 02:00 is shown twice.
    bounds(
        "2h@Europe/Amsterdam",
        "2026-10-24T22:00:00Z",
        &["2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z", "2026-10-25T03:00:00Z"],
    );
    bounds("1d@Europe/Amsterdam", "2026-10-24T22:00:00Z", &["2026-10-25T23:00:00Z", "2026-10-26T23:00:00Z"]);
}

#[test]
fn sizes_start_at_midnight_and_weeks_on_monday() {
    bounds("7h", "2026-03-01T14:30:00Z", &["2026-03-01T21:00:00Z", "2026-03-02T00:00:00Z", "2026-03-02T07:00:00Z"]);
    bounds("7d", "2026-03-01T14:30:00Z", &["2026-03-02T00:00:00Z", "2026-03-09T00:00:00Z"]);
    bounds("2d", "1970-01-05T00:00:00Z", &["1970-01-07T00:00:00Z", "1970-01-09T00:00:00Z"]);
}

#[test]
fn a_sliding_window_is_shorter_while_its_instance_is_young() {
    // The greatest common divisor of 30s and 10s is 10s; the bound instance was born at 12s - 5s = 7s, the others
    // by their first sample.
    points(
        &format!(
            "{ONE} stream by p name=cpu each=host ttl=1m
             check c on=other call=level m=cpu;30s:10s;sum
             check d on=other call=level m=by;30s:10s;sum
             active p0
             p0 12s cpu{{host=a}}=1
             p0 36s cpu{{host=b}}=10
             p0 45s cpu{{host=a}}=100
             to 40s
             step"
        ),
        r#"cpu {} 0s-10s:
           cpu {} 0s-20s: 1 of 1
           cpu {} 0s-30s: 1 of 1
           cpu {} 10s-40s: 11 of 2
           by {host="a"} 10s-20s: 1 of 1
           by {host="a"} 10s-30s: 1 of 1
           by {host="a"} 10s-40s: 1 of 1
           by {host="b"} 30s-40s: 10 of 1"#,
    );
}

#[test]
fn instances_are_born_by_their_first_window_and_retire_after_their_time_to_live() {
    let script = |end: &str| {
        format!(
            "source p
             stream cpu p each=host ttl=20s
             check c on=other call=level m=cpu;10s:10s;sum
             active p0
             p0 12s cpu{{host=a}}=1 14s cpu{{host=}}=1 14s cpu=1
             p0 30s cpu{{host=b}}=1
             to 30s
             step
             idle p0
             step
             {end}"
        )
    };
    // From 12s on the time to live would be over at 32s, so at the window end of 40s.
    let b = r#"cpu {host="b"} 30s-40s: 1 of 1"#;
    points(&script("active p0 floor=30s\n p0 40s cpu{host=c}=1\n to 40s\n step"), b);
    // Between 30s and 60s the whole source is silent, which does not count: 12s + 20s + 30s = 62s.
    let a = r#"cpu {host="a"} 10s-20s: 1 of 1
               cpu {host="a"} 20s-30s:
               cpu {host="a"} 30s-40s:
               cpu {host="a"} 40s-50s:
               cpu {host="a"} 50s-1m:"#;
    let quiet = r#"cpu {host="b"} 30s-40s: 1 of 1
                   cpu {host="b"} 40s-50s:
                   cpu {host="b"} 50s-1m:"#;
    points(&script("tick p 1m\n to 1m\n step"), &format!("{a}\n{quiet}"));
    let later = r#"cpu {host="b"} 1m-1m10s:"#;
    points(
        &script("tick p 1m\n to 1m\n step\n active p0 floor=1m\n p0 70s cpu{host=c}=1\n to 70s\n step"),
        &format!("{quiet}\n{later}"),
    );
}

#[test]
fn selectors_choose_by_name_label_and_field() {
    points(
        "source p
         stream b p name=cpu where=zone:b
         stream failed p name=done of=/ms field=/ok:false
         stream all p name=done of=count
         check c on=other call=level m=b;10s:10s;sum
         check d on=other call=level m=failed;10s:10s;sum
         check e on=other call=level m=all;10s:10s;count
         active p0
         p0 11s cpu{zone=b}=1 11s cpu=10 11s mem{zone=b}=100
         p0 12s done!{\"ok\":false,\"ms\":5} 12s done!{\"ok\":true,\"ms\":50} 12s done!{\"ok\":false}
         p0 20s cpu=1
         to 20s
         step",
        "b {} 10s-20s: 1 of 1
         failed {} 10s-20s: 5 of 1
         all {} 10s-20s: 3 of 3",
    );
}
