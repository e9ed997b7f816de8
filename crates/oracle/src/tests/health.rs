//! Health of elements, and how it reaches others.

use super::*;

/// `web` depends on `db`, which depends on `disk`; each has a check on the metric of its name.
const CHAIN: &str = "
    source p
    stream web p name=web
    stream db p name=db
    stream disk p name=disk
    component web
    component disk
    relation web->db
    relation db->disk
    check web on=web call=level m=web;10s;sum
    check db on=db call=level m=db;10s;sum
    check disk on=disk call=level m=disk;10s;sum
";

#[test]
fn own_health_is_the_most_severe_of_the_checks() {
    check(
        &format!(
            "{ONE}
             check a on=web call=level m=cpu;10s;sum
             check b on=web call=level m=cpu;10s;sum limit=#60
             check c on=web call=level m=cpu;10s;sum limit=#50
             active p0\n p0 5s cpu=55\n p0 15s cpu=60\n p0 25s cpu=100\n p0 35s cpu=1\n p0 45s mem=1\n to 40s\n step"
        ),
        "10s web own UNKNOWN > CRITICAL by c: 55
         10s web propagated UNKNOWN > CRITICAL by web: 55
         40s web own CRITICAL > CLEAR by a
         40s web propagated CRITICAL > CLEAR by web",
    );
}

#[test]
fn health_flows_from_target_over_relation_to_dependent() {
    check(
        &format!(
            "{CHAIN} component db
             active p0\n p0 5s disk=100 6s db=50 7s web=1\n p0 15s disk=-1\n p0 25s web=1\n to 20s\n step"
        ),
        "10s db own UNKNOWN > DEVIATING by db: 50
         10s disk own UNKNOWN > CRITICAL by disk: 100
         10s web own UNKNOWN > CLEAR by web
         10s db propagated UNKNOWN > CRITICAL by db -> disk: db -> disk is CRITICAL
         10s disk propagated UNKNOWN > CRITICAL by disk: 100
         10s web propagated UNKNOWN > CRITICAL by web -> db: web -> db is CRITICAL
         10s db -> disk propagated UNKNOWN > CRITICAL by disk: disk is CRITICAL
         10s web -> db propagated UNKNOWN > CRITICAL by db: db is CRITICAL
         20s disk own CRITICAL > UNKNOWN by disk: -1
         20s db propagated CRITICAL > DEVIATING by db: 50
         20s disk propagated CRITICAL > UNKNOWN by disk: -1
         20s web propagated CRITICAL > DEVIATING by web -> db: web -> db is DEVIATING
         20s db -> disk propagated CRITICAL > UNKNOWN by db -> disk
         20s web -> db propagated CRITICAL > DEVIATING by db: db is DEVIATING",
    );
}

#[test]
fn propagation_may_be_none_or_a_function() {
    check(
        &format!(
            "{CHAIN} component db propagation=none\n active p0\n p0 5s disk=100 6s db=1\n p0 15s web=1\n to 10s\n step"
        ),
        "10s db own UNKNOWN > CLEAR by db
         10s disk own UNKNOWN > CRITICAL by disk: 100
         10s db propagated UNKNOWN > CLEAR by db
         10s disk propagated UNKNOWN > CRITICAL by disk: 100
         10s db -> disk propagated UNKNOWN > CRITICAL by disk: disk is CRITICAL",
    );
    check(
        &format!("{CHAIN} component db propagation=invert\n active p0\n p0 5s disk=1\n p0 15s web=1\n to 10s\n step"),
        "10s disk own UNKNOWN > CLEAR by disk
         10s db propagated UNKNOWN > CRITICAL by db
         10s disk propagated UNKNOWN > CLEAR by disk
         10s web propagated UNKNOWN > CRITICAL by web -> db: web -> db is CRITICAL
         10s web -> db propagated UNKNOWN > CRITICAL by db: db is CRITICAL",
    );
}

#[test]
fn a_cycle_cannot_latch() {
    check(
        &format!(
            "{CHAIN} component db\n relation disk->web\n active p0\n p0 5s disk=100\n p0 15s disk=1\n p0 25s web=1\n to 20s\n step"
        ),
        "10s disk own UNKNOWN > CRITICAL by disk: 100
         10s db propagated UNKNOWN > CRITICAL by db -> disk: db -> disk is CRITICAL
         10s disk propagated UNKNOWN > CRITICAL by disk -> web: disk -> web is CRITICAL
         10s web propagated UNKNOWN > CRITICAL by web -> db: web -> db is CRITICAL
         10s db -> disk propagated UNKNOWN > CRITICAL by disk: disk is CRITICAL
         10s disk -> web propagated UNKNOWN > CRITICAL by web: web is CRITICAL
         10s web -> db propagated UNKNOWN > CRITICAL by db: db is CRITICAL
         20s disk own CRITICAL > CLEAR by disk
         20s db propagated CRITICAL > UNKNOWN by db
         20s disk propagated CRITICAL > CLEAR by disk
         20s web propagated CRITICAL > UNKNOWN by web
         20s db -> disk propagated CRITICAL > UNKNOWN by db -> disk
         20s disk -> web propagated CRITICAL > UNKNOWN by disk -> web
         20s web -> db propagated CRITICAL > UNKNOWN by web -> db",
    );
}

#[test]
fn what_does_not_settle_falls_back_to_auto() {
    // Alone in its cycle of four, `db` would be CRITICAL whenever it was not, for ever.
    let cycle = format!(
        "{CHAIN} component db propagation=invert\n relation disk->db\n active p0\n p0 5s db=50\n p0 15s web=1\n to 10s\n step"
    );
    check(
        &cycle,
        "10s db own UNKNOWN > DEVIATING by db: 50
         10s db propagated UNKNOWN > DEVIATING by db -> disk: db -> disk is DEVIATING
         10s disk propagated UNKNOWN > DEVIATING by disk -> db: disk -> db is DEVIATING
         10s web propagated UNKNOWN > DEVIATING by web -> db: web -> db is DEVIATING
         10s db -> disk propagated UNKNOWN > DEVIATING by disk: disk is DEVIATING
         10s disk -> db propagated UNKNOWN > DEVIATING by db: db is DEVIATING
         10s web -> db propagated UNKNOWN > DEVIATING by db: db is DEVIATING",
    );
}

#[test]
fn elements_of_templates_live_with_their_instances() {
    let text = "source p
        stream by p name=cpu each=host ttl=20s
        component web
        component host-{host} for_each=by labels=team=x
        relation web->host-{host} for_each=by
        check c on=@team=x call=level m=by;10s;sum
        active p0\n p0 5s cpu{host=a}=100\n p0 15s cpu{host=b}=1\n p0 35s cpu{host=b}=1\n p0 45s mem=1\n to 40s\n step";
    check(
        text,
        r#"10s host-a own UNKNOWN > CRITICAL by c {host="a"}: 100
           10s host-a propagated UNKNOWN > CRITICAL by host-a: 100
           10s web propagated UNKNOWN > CRITICAL by web -> host-a: web -> host-a is CRITICAL
           10s web -> host-a propagated UNKNOWN > CRITICAL by host-a: host-a is CRITICAL
           20s host-b own UNKNOWN > CLEAR by c {host="b"}
           20s host-b propagated UNKNOWN > CLEAR by host-b
           30s web propagated CRITICAL > UNKNOWN by web"#,
    );
    let (definitions, records, journal) = read(text);
    let outcome = crate::run(&definitions, &library(&definitions), &records, &journal);
    let left: Vec<String> = outcome.elements.keys().map(Element::to_string).collect();
    assert_eq!(left, ["host-b", "web", "web -> host-b"]);
}

#[test]
fn a_template_that_no_check_reads_has_a_feed_of_its_own() {
    let (definitions, records, journal) = read(
        "source p\n stream by p each=host\n component host-{host} for_each=by
         active p0\n p0 5s cpu{host=a}=1\n p0 12s cpu{host=b}=1\n to 10s\n step",
    );
    let outcome = crate::run(&definitions, &library(&definitions), &records, &journal);
    assert_eq!(outcome.elements.into_keys().collect::<Vec<_>>(), [element("host-a")]);
}

#[test]
fn between_agendas_time_never_goes_back() {
    check(
        "source p\n source q\n stream a p\n stream b q\n component web
         check a on=web call=level m=a;10s;sum
         check b on=web call=level m=b;10s;sum
         active p0\n active q0\n p0 5s a=1\n q0 5s b=100\n p0 15s a=50\n p0 25s a=50
         to p 20s
         step
         q0 15s b=1
         to q 10s
         step",
        "10s web own UNKNOWN > CLEAR by a
         10s web propagated UNKNOWN > CLEAR by web
         20s web own CLEAR > DEVIATING by a: 50
         20s web propagated CLEAR > DEVIATING by web: 50
         20s1ns web own DEVIATING > CRITICAL by b: 100
         20s1ns web propagated DEVIATING > CRITICAL by web: 100",
    );
}

#[test]
fn a_retired_instance_takes_its_state_with_it() {
    check_own(
        "source p
         stream by p name=cpu each=host ttl=20s
         component web
         check c on=web call=level m=by;10s;sum
         active p0
         p0 5s cpu{host=a}=100
         p0 15s cpu{host=b}=1
         p0 65s mem=1
         to 60s
         step",
        "10s web CRITICAL 100\n 30s web CLEAR\n 40s web UNKNOWN",
    );
}

#[test]
fn an_event_instance_retires_at_the_very_instant() {
    let case = |end: &str, expected: &str| {
        check_own(
            &format!(
                r#"source p
                   stream e p of=events each=host ttl=20s
                   component web
                   check c on=web call=event e=e;-;;events
                   active p0
                   p0 5s e{{host=a}}!{{"s":"critical"}}
                   p0 15s m=1
                   to 15s
                   step
                   {end}"#
            ),
            &format!("5s web CRITICAL\n {expected}"),
        );
    };
    case("p0 30s m=1\n to 30s\n step", "25s web UNKNOWN");
    // 15s to 18s are silent, and do not count.
    case("idle p0\n tick p 18s\n to 18s\n step\n active p0 floor=18s\n p0 40s m=1\n to 40s\n step", "28s web UNKNOWN");
    case("idle p0\n tick p 50s\n to 50s\n step", "");
}
