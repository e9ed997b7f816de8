//! Which samples count, and how far time has come.

use super::*;

fn counted(script: &str, expected: &str) {
    points(&format!("{ONE} check c on=other call=level m=cpu;10s:10s;sum\n{script}"), expected);
}

#[test]
fn a_sample_is_late_against_its_partition_before_its_record() {
    // The record with 3s and 20s is judged against 12s - 5s = 7s: 3s is late, and 7s would not be.
    counted(
        "active p0
         p0 12s cpu=1
         p0 3s cpu=10 20s cpu=100 7s cpu=1000
         p0 14s cpu=10000 15s cpu=100000
         to 15s
         step",
        "cpu {} 0s-10s: 1000 of 1
         refused p 2 late",
    );
}

#[test]
fn a_sample_too_far_ahead_moves_no_watermark() {
    counted(
        "active p0
         p0 at=10s 10s cpu=1 1m11s cpu=10
         p0 at=10s 1m10s cpu=100
         to 1m5s
         step",
        "cpu {} 0s-10s:
         cpu {} 10s-20s: 1 of 1
         cpu {} 20s-30s:
         cpu {} 30s-40s:
         cpu {} 40s-50s:
         cpu {} 50s-1m:
         refused p 1 ahead",
    );
}

#[test]
fn the_least_active_partition_holds_the_frontier_and_a_floor_guards_it() {
    counted(
        "active p0
         active p1
         p0 12s cpu=1
         step
         p1 25s cpu=10
         p0 26s cpu=100
         idle p1
         to 20s
         step
         active p1 floor=21s
         p1 20500ms cpu=1000 21s cpu=10000
         p0 36s cpu=100000
         to 21s
         step
         idle p1
         to 31s
         step",
        "cpu {} 0s-10s:
         cpu {} 10s-20s: 1 of 1
         cpu {} 20s-30s: 10110 of 3
         refused p 1 below_floor",
    );
}

#[test]
fn a_tick_moves_a_silent_source() {
    counted(
        "active p0
         p0 12s cpu=1
         idle p0
         step
         tick p 20s
         to 20s
         step",
        "cpu {} 0s-10s:
         cpu {} 10s-20s: 1 of 1",
    );
}

#[test]
fn the_clock_of_two_sources_is_the_lesser_and_the_origin_the_earliest_first_watermark() {
    points(
        "source p
         source q
         stream a p
         stream b q
         component web
         check c on=other call=sum m=a;10s:10s;sum o=b;10s:10s;sum
         active p0
         active q0
         p0 31s a=1
         step
         p0 45s a=10
         q0 12s b=1
         q0 33s b=10
         to p+q 33s
         step",
        "a {} 10s-20s:
         a {} 20s-30s:
         b {} 10s-20s: 1 of 1
         b {} 20s-30s:",
    );
}

#[test]
#[should_panic(expected = "beyond the clock")]
fn no_place_lies_beyond_the_clock() {
    counted("active p0\n p0 12s cpu=1\n to 8s\n step", "");
}

#[test]
#[should_panic(expected = "left undone")]
fn nothing_due_is_left() {
    counted("active p0\n p0 12s cpu=1\n p0 35s cpu=1\n to 20s\n step", "");
}

#[test]
fn a_full_step_leaves_the_rest() {
    counted(
        "limit 1
         active p0
         p0 12s cpu=1
         p0 35s cpu=1
         to 10s
         step
         to 20s
         step",
        "cpu {} 0s-10s:
         cpu {} 10s-20s: 1 of 1",
    );
}
