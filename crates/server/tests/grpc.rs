//! What callers of `vitalsign.v1` rely on, over a real connection.

mod rig;

use api::v1;
use engine::state::{
    ActiveError, Change, CheckKey, CheckRecord, InstanceRecord, KeptPoint, PartitionKey, PartitionRecord, SourceRecord,
};
use model::definition::{Content, Definitions, Downsampling, Selector, Source, Stream, Window};
use model::{Counters, Element, Labels, Reason, Span, State};
use rig::{BEGINNING, Rig, World, line, refused, show, told, transition};
use server::view::{Feed, Observations};
use std::sync::Arc;
use tokio_stream::StreamExt;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient as HealthCheckClient;

const SHOP: &str = "
    born checkout | service | team=shop
    born payments | service | team=money
    born host a | host |
    born checkout -> payments | calls |
    own payments | critical | too slow
    own checkout | clear |
";

/// The names that pass a filter, over pages of this size.
async fn list(rig: &Rig, filter: v1::ElementFilter, page_size: u32) -> Vec<String> {
    let mut request = v1::ListElementsRequest { filter: Some(filter), page_size, page_token: String::new() };
    let mut found = Vec::new();
    loop {
        let page = rig.health().list_elements(request.clone()).await.expect("a page").into_inner();
        assert!(page.elements.len() <= page_size as usize);
        found.extend(page.elements.into_iter().map(|element| element.name));
        if page.next_page_token.is_empty() {
            return found;
        }
        request.page_token = page.next_page_token;
    }
}

#[tokio::test]
async fn an_element_is_told_with_its_standing_and_its_checks() {
    let mut rig = Rig::new().await;
    rig.world.commit(SHOP);
    let key = CheckKey { element: Element::component("payments"), check: "slow".into(), labels: Labels::default() };
    rig.world.apply(&[Change::Check { key, record: Some(CheckRecord { row: 1, ..spoken(State::Critical) }) }]);

    let request = v1::GetElementRequest { name: "payments".into() };
    let answer = rig.health().get_element(request).await.expect("payments").into_inner();
    let element = answer.element.expect("an element");
    assert_eq!(show(&element), "payments CRITICAL/UNKNOWN");
    assert_eq!((&*element.r#type, &*element.labels["team"]), ("service", "money"));
    let own = element.own.expect("own health");
    assert_eq!((&*own.message, own.sequence), ("too slow", 5));
    assert_eq!(own.since.expect("a time").seconds, 1_767_225_605);
    let checks: Vec<_> = answer.checks.iter().map(|check| (&*check.check, check.state())).collect();
    assert_eq!(checks, [("slow", v1::State::Critical)]);

    let request = v1::GetElementRequest { name: "checkout -> payments".into() };
    let element = rig.health().get_element(request).await.expect("the relation").into_inner().element;
    let element = element.expect("an element");
    assert_eq!((element.kind(), &*element.from, &*element.to), (v1::ElementKind::Relation, "checkout", "payments"));
}

#[tokio::test]
async fn lists_hold_what_passes_the_filter_page_by_page() {
    let mut rig = Rig::new().await;
    rig.world.commit(SHOP);
    let any = v1::ElementFilter::default;
    let all = ["checkout", "host a", "payments", "checkout -> payments"];
    for page_size in [1, 2, 3, 4, 1000] {
        assert_eq!(list(&rig, any(), page_size).await, all);
    }
    for (filter, expected) in [
        (v1::ElementFilter { kind: v1::ElementKind::Component.into(), ..any() }, &all[..3]),
        (v1::ElementFilter { kind: v1::ElementKind::Relation.into(), ..any() }, &all[3..]),
        (v1::ElementFilter { r#type: "host".into(), ..any() }, &all[1..2]),
        (v1::ElementFilter { labels: [("team".into(), "shop".into())].into(), ..any() }, &all[..1]),
        (v1::ElementFilter { own_states: vec![v1::State::Critical.into()], ..any() }, &all[2..3]),
        (v1::ElementFilter { propagated_states: vec![v1::State::Clear.into()], ..any() }, &[]),
        (v1::ElementFilter { name_prefix: "checkout -> ".into(), ..any() }, &all[3..]),
    ] {
        assert_eq!(list(&rig, filter.clone(), 1).await, expected, "{filter:?}");
    }
}

#[tokio::test]
async fn many_elements_are_listed_once_each() {
    let mut rig = Rig::new().await;
    let names: Vec<String> = (0..2500).map(|number| format!("host {number:04}")).collect();
    rig.world.commit(&names.iter().map(|name| format!("born {name} | host |\n")).collect::<String>());
    rig.world.commit("own host 2400 | critical | full");
    assert_eq!(list(&rig, v1::ElementFilter::default(), 1000).await, names);
    let critical = v1::ElementFilter { own_states: vec![v1::State::Critical.into()], ..v1::ElementFilter::default() };
    assert_eq!(list(&rig, critical, 10).await, ["host 2400"]);
}

#[tokio::test]
async fn a_watcher_sees_a_snapshot_then_changes_and_removals() {
    let mut rig = Rig::new().await;
    rig.world.commit(SHOP);
    let mut watcher = rig.watch(None, None).await;
    let snapshot = "
        begin 6
        checkout CLEAR/UNKNOWN
        host a UNKNOWN/UNKNOWN
        payments CRITICAL/UNKNOWN
        checkout -> payments UNKNOWN/UNKNOWN
        end 6
    ";
    told(&mut watcher, snapshot).await;
    // Two transitions of one element in one commit are told one by one, as it stood after each.
    rig.world.commit("own payments | deviating | better\n own payments | clear | well");
    rig.world.commit("born host b | host |\n own host b | clear |\n gone host a");
    let changes = "
        7: payments DEVIATING/UNKNOWN by own CRITICAL -> DEVIATING
        8: payments CLEAR/UNKNOWN by own DEVIATING -> CLEAR
        9: host b UNKNOWN/UNKNOWN
        10: host b CLEAR/UNKNOWN by own UNKNOWN -> CLEAR
        11: host a is gone
    ";
    told(&mut watcher, changes).await;
}

#[tokio::test]
async fn a_filtered_watcher_is_told_when_an_element_enters_and_leaves() {
    let mut rig = Rig::new().await;
    rig.world.commit(SHOP);
    let bad = vec![v1::State::Deviating.into(), v1::State::Critical.into()];
    let filter = v1::ElementFilter { own_states: bad, ..v1::ElementFilter::default() };
    let mut watcher = rig.watch(Some(filter), None).await;
    told(&mut watcher, "begin 6\n payments CRITICAL/UNKNOWN\n end 6").await;
    rig.world.commit("own host a | clear |\n own payments | clear |\n own checkout | deviating | slow\n gone checkout");
    let changes = "
        8: payments no longer passes
        9: checkout DEVIATING/UNKNOWN by own CLEAR -> DEVIATING
        10: checkout is gone
    ";
    told(&mut watcher, changes).await;
}

#[tokio::test]
async fn a_watcher_resumes_where_it_was() {
    let mut rig = Rig::new().await;
    rig.world.commit(SHOP);
    rig.world.commit("own payments | deviating |\n own payments | clear |");
    rig.world.commit("gone host a");
    let second = "8: payments CLEAR/UNKNOWN by own DEVIATING -> CLEAR";
    // From within a commit, from its end, and from now.
    told(&mut rig.watch(None, Some(7)).await, &format!("resumed 7\n {second}\n 9: host a is gone")).await;
    told(&mut rig.watch(None, Some(8)).await, "resumed 8\n 9: host a is gone").await;
    let mut watcher = rig.watch(None, Some(9)).await;
    told(&mut watcher, "resumed 9").await;
    rig.world.commit("own checkout | deviating |");
    told(&mut watcher, "10: checkout DEVIATING/UNKNOWN by own CLEAR -> DEVIATING").await;
}

#[tokio::test]
async fn a_position_that_is_not_held_gets_a_fresh_snapshot() {
    let mut rig = Rig::of(World::new(Definitions::default(), Vec::new(), 2)).await;
    rig.world.commit("born checkout | service |");
    rig.world.commit("own checkout | clear |");
    rig.world.commit("own checkout | critical |");
    rig.world.commit("own checkout | clear |");
    told(&mut rig.watch(None, Some(2)).await, "resumed 2\n 3: checkout CRITICAL/UNKNOWN by own CLEAR -> CRITICAL")
        .await;
    let fresh = "begin 4 fresh\n checkout CLEAR/UNKNOWN\n end 4";
    // Trimmed, and never given.
    told(&mut rig.watch(None, Some(1)).await, fresh).await;
    told(&mut rig.watch(None, Some(5)).await, fresh).await;
}

#[tokio::test]
async fn a_watcher_resumes_across_a_restart() {
    let mut rig = Rig::new().await;
    rig.world.commit(SHOP);
    rig.world.commit("gone host a\n own payments | clear | well");
    rig.world.commit("born host b | host |\n own host b | clear |\n propagated payments | clear | payments");
    let mut rig = Rig::of(rig.stop().await.reopen(100)).await;
    // What is told again is as it was told before; only what came before a removal is not held.
    let changes = "
        8: payments CLEAR/UNKNOWN by own CRITICAL -> CLEAR
        9: host b UNKNOWN/UNKNOWN
        10: host b CLEAR/UNKNOWN by own UNKNOWN -> CLEAR
        11: payments CLEAR/CLEAR by propagated UNKNOWN -> CLEAR
    ";
    let mut watcher = rig.watch(None, Some(7)).await;
    told(&mut watcher, &format!("resumed 7\n {changes}")).await;
    told(&mut rig.watch(None, Some(6)).await, "begin 11 fresh").await;
    rig.world.commit("own checkout | deviating |");
    told(&mut watcher, "12: checkout DEVIATING/UNKNOWN by own CLEAR -> DEVIATING").await;
    drop(watcher);

    // Less is recalled where less is held.
    let mut rig = Rig::of(rig.stop().await.reopen(2)).await;
    told(&mut rig.watch(None, Some(9)).await, "begin 12 fresh").await;
    let mut watcher = rig.watch(None, Some(10)).await;
    told(&mut watcher, "resumed 10\n 11: payments CLEAR/CLEAR by propagated UNKNOWN -> CLEAR").await;
    rig.world.commit("gone host b");
}

#[tokio::test]
async fn a_slow_watcher_is_dropped_and_a_fast_one_goes_on() {
    let mut rig = Rig::of(World::new(Definitions::default(), Vec::new(), 4)).await;
    rig.world.commit("born checkout | service |");
    let snapshot = "begin 1\n checkout UNKNOWN/UNKNOWN\n end 1";
    // Small windows, so that what lies in buffers between the two is soon too little.
    let narrow = rig.endpoint.clone().initial_stream_window_size(65_535).initial_connection_window_size(65_535);
    let narrow = narrow.connect().await.expect("a connection");
    let request = v1::WatchRequest { filter: None, after_sequence: None };
    let mut slow = v1::health_client::HealthClient::new(narrow).watch(request).await.expect("a stream").into_inner();
    told(&mut slow, snapshot).await;
    let mut fast = rig.watch(None, None).await;
    told(&mut fast, snapshot).await;

    let message = "x".repeat(50_000);
    let states = ["critical", "clear"];
    for number in 0..200 {
        rig.world.commit(&format!("own checkout | {} | {message}", states[number % 2]));
        let event = fast.message().await.expect("an event").expect("a stream that goes on");
        assert!(line(&event).starts_with(&format!("{}: ", number + 2)), "{}", line(&event));
    }
    let mut next = 2;
    let status = loop {
        match slow.message().await {
            Ok(Some(event)) => {
                assert!(line(&event).starts_with(&format!("{next}: ")), "{}", line(&event));
                next += 1;
            }
            Ok(None) => panic!("the stream has ended without a status"),
            Err(status) => break status,
        }
    };
    assert!(next < 200, "the slow watcher was fast enough to see {next} changes");
    refused(Err::<(), _>(status), Code::ResourceExhausted, &format!("after sequence number {}", next - 1));
    rig.world.commit("gone checkout");
    told(&mut fast, "202: checkout is gone").await;
}

#[tokio::test]
async fn reads_answer_while_the_engine_is_held_inside_a_step() {
    let mut rig = Rig::new().await;
    rig.world.commit(SHOP);
    let (entered, inside) = tokio::sync::oneshot::channel();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let (served, changes) = (rig.world.served.clone(), rig.world.step("own checkout | critical | down"));
    let engine = std::thread::spawn(move || {
        entered.send(()).expect("a test");
        held.recv().expect("a release");
        served.view.apply(&changes);
    });
    inside.await.expect("a step");
    let request = v1::GetElementRequest { name: "checkout".into() };
    let element = rig.health().get_element(request).await.expect("an answer").into_inner().element;
    assert_eq!(show(&element.expect("an element")), "checkout CLEAR/UNKNOWN");
    assert_eq!(list(&rig, v1::ElementFilter::default(), 10).await.len(), 4);
    let mut watcher = rig.watch(None, Some(6)).await;
    told(&mut watcher, "resumed 6").await;
    release.send(()).expect("an engine");
    told(&mut watcher, "7: checkout CRITICAL/UNKNOWN by own CLEAR -> CRITICAL").await;
    engine.join().expect("no panic");
}

#[tokio::test]
async fn history_is_paged_newest_first_and_transitions_are_explained() {
    let mut rig = Rig::new().await;
    rig.world.commit(SHOP);
    // At one instant elements are numbered by name: what follows may come before its cause.
    rig.world.commit("propagated payments | critical | payments");
    rig.world.commit("own payments | clear | well\n own payments | deviating | slow");
    let mut request = v1::GetHistoryRequest { name: "payments".into(), page_size: 3, page_token: String::new() };
    let first = rig.health().get_history(request.clone()).await.expect("a page").into_inner();
    request.page_token = first.next_page_token;
    let second = rig.health().get_history(request).await.expect("a page").into_inner();
    assert_eq!(second.next_page_token, "");
    let found: Vec<_> = first.transitions.iter().chain(&second.transitions).map(transition).collect();
    let expected = [
        "own CLEAR -> DEVIATING",
        "own CRITICAL -> CLEAR",
        "propagated UNKNOWN -> CRITICAL",
        "own UNKNOWN -> CRITICAL",
    ];
    assert_eq!(found, expected);

    let id = first.transitions[2].id.clone();
    let answer = rig.health().explain_transition(v1::ExplainTransitionRequest { id }).await.expect("propagated");
    let answer = answer.into_inner();
    assert_eq!((&*answer.evidence_json, &answer.evidence), ("", &None));
    let origin = answer.origin.expect("the transition of its own health");
    assert_eq!(transition(&origin), "own UNKNOWN -> CRITICAL");

    let request = v1::ExplainTransitionRequest { id: origin.id.to_uppercase() };
    let answer = rig.health().explain_transition(request).await.expect("the origin").into_inner();
    assert_eq!(answer.transition.expect("a transition"), *second.transitions.first().expect("the oldest"));
    let evidence = answer.evidence.expect("evidence");
    assert_eq!((&*evidence.function, &*evidence.script), ("threshold", "00000000000000ff"));
    assert_eq!(evidence.window_end.expect("a window").seconds, 1_767_225_900);
    let metric = &evidence.inputs["metric"];
    assert_eq!((metric.count, metric.samples, metric.values["p95"]), (1, 42, 412.5));
    let band = metric.baseline.expect("a band");
    assert_eq!((band.average, band.lower, band.higher), (200.0, 100.0, 300.5));
    assert_eq!((metric.deviation, metric.score, metric.stale), (Some(f64::INFINITY), Some(0.5), true));
    assert_eq!(metric.values.len(), 1);
    assert_eq!((evidence.inputs["recent"].count, evidence.inputs["recent"].baseline), (3, None));
    assert_eq!(evidence.arguments["deviating"], "\"400ms\"");
    assert!(answer.evidence_json.contains("412.5"));
}

#[tokio::test]
async fn checks_streams_and_sources_are_listed() {
    let mut rig = Rig::of(shop_engine()).await;
    rig.world.commit(SHOP);
    let host = |name: &str| Labels::new([("host", name)]);
    let key = |element: &str, name: &str| CheckKey {
        element: Element::component(element),
        check: "slow".into(),
        labels: host(name),
    };
    let failed = ActiveError {
        kind: "operations".into(),
        message: "more than 100000 operations".into(),
        line: 7,
        column: 3,
        since: BEGINNING,
    };
    let partition = |number| PartitionKey { source: "telegraf".into(), topic: "telegraf".into(), partition: number };
    let mut counters = Counters { records: 12, samples: 10, ..Counters::default() };
    counters.refuse(Reason::Late);
    let point = KeptPoint {
        start: BEGINNING,
        end: BEGINNING + Span::from_secs(60),
        count: 5,
        values: vec![412.5, f64::NAN],
        incomplete: true,
        readings: Vec::new(),
    };
    let born = InstanceRecord {
        row: 0,
        begin: BEGINNING,
        born: BEGINNING,
        last_sample: Some(BEGINNING),
        points: vec![point],
        events: vec![],
    };
    let at = |next_offset, max_time| PartitionRecord { next_offset, max_time, ..PartitionRecord::default() };
    rig.world.apply(&[
        Change::Check { key: key("checkout", "a"), record: Some(spoken(State::Clear)) },
        Change::Check { key: key("checkout", "b"), record: Some(CheckRecord { row: 1, ..spoken(State::Critical) }) },
        Change::Check {
            key: key("payments", "a"),
            record: Some(CheckRecord { error: Some(failed.clone()), ..spoken(State::Clear) }),
        },
        Change::Instance { feed: 1, labels: host("a"), record: Some(born.clone()) },
        Change::Instance { feed: 2, labels: host("a"), record: Some(born.clone()) },
        Change::Instance { feed: 1, labels: host("b"), record: Some(born.clone()) },
        Change::Instance { feed: 1, labels: host("c"), record: Some(born) },
        Change::Instance { feed: 1, labels: host("c"), record: None },
        Change::Source {
            name: "telegraf".into(),
            record: SourceRecord { counters, lost: 4, frontier: Some(BEGINNING), ..SourceRecord::default() },
        },
        Change::Partition { key: partition(0), record: at(90, Some(BEGINNING)) },
        Change::Partition { key: partition(1), record: PartitionRecord { idle: true, ..at(7, None) } },
    ]);
    rig.world.served.view.observe(Observations {
        ends: vec![(partition(0), 100)],
        source_errors: vec![(
            "telegraf".into(),
            ActiveError { kind: "unreachable".into(), line: 0, column: 0, ..failed },
        )],
        runs: vec![(key("checkout", "b").check, vec![model::Time::MIN, BEGINNING])],
    });

    let any = v1::ListChecksRequest::default;
    let all = ["checkout a CLEAR", "checkout b CRITICAL run", "payments a CLEAR line 7"];
    for (request, expected) in [
        (any(), &all[..]),
        (v1::ListChecksRequest { page_size: 1, ..any() }, &all[..]),
        (v1::ListChecksRequest { element: "checkout".into(), page_size: 1, ..any() }, &all[..2]),
        (v1::ListChecksRequest { check: "fast".into(), ..any() }, &[]),
        (v1::ListChecksRequest { states: vec![v1::State::Critical.into()], ..any() }, &all[1..2]),
        (v1::ListChecksRequest { with_error: true, ..any() }, &all[2..]),
    ] {
        let mut found = Vec::new();
        let mut next = request.clone();
        loop {
            let page = rig.engine().list_checks(next.clone()).await.expect("checks").into_inner();
            found.extend(page.checks.iter().map(|check| {
                let run = if check.last_run.is_some() { " run" } else { "" };
                let error = check.error.as_ref().map_or(String::new(), |error| format!(" line {}", error.line));
                format!("{} {} {}{run}{error}", check.element, check.labels["host"], rig::name(check.state()))
            }));
            if page.next_page_token.is_empty() {
                break;
            }
            next.page_token = page.next_page_token;
        }
        assert_eq!(found, expected, "{request:?}");
    }

    let streams = rig.engine().list_streams(v1::ListStreamsRequest::default()).await.expect("streams").into_inner();
    assert_eq!(
        (&*streams.streams[0].source, streams.streams[0].instances, streams.instances.len()),
        ("telegraf", 2, 0)
    );
    let mut request = v1::ListStreamsRequest { stream: "response time".into(), page_size: 1, ..Default::default() };
    let first = rig.engine().list_streams(request.clone()).await.expect("instances").into_inner();
    let of_first = &first.instances[0];
    assert_eq!((&*of_first.labels["host"], of_first.points.len()), ("a", 2));
    let newest = &of_first.points[0];
    assert_eq!((&*newest.window, newest.values.len(), newest.values["p95"]), ("sliding 1m every 10s", 1, 412.5));
    request.page_token = first.next_page_token;
    let second = rig.engine().list_streams(request).await.expect("instances").into_inner();
    assert_eq!((&*second.instances[0].labels["host"], &*second.next_page_token), ("b", ""));

    let sources =
        rig.engine().list_sources(v1::ListSourcesRequest::default()).await.expect("sources").into_inner().sources;
    let source = &sources[0];
    assert_eq!((source.records, source.lost, source.refused.len(), source.refused["late"]), (12, 4, 1, 1));
    assert_eq!(source.lateness.expect("a lateness").seconds, 10);
    assert_eq!(source.error.as_ref().expect("an error").kind, "unreachable");
    let partitions: Vec<_> = source.partitions.iter().map(|found| (found.next_offset, found.lag, found.idle)).collect();
    assert_eq!(partitions, [(90, Some(10), false), (7, None, true)]);
    assert_eq!(source.partitions[0].watermark.expect("a watermark").seconds, 1_767_225_590);
    assert_eq!(source.partitions[1].watermark, None);
}

#[tokio::test]
async fn bad_requests_are_refused_with_what_is_wrong() {
    let mut rig = Rig::of(shop_engine()).await;
    rig.world.commit(SHOP);
    let (mut health, mut engine) = (rig.health(), rig.engine());
    for (name, code, words) in [
        ("", Code::InvalidArgument, "name is ``"),
        ("checkout -> ", Code::InvalidArgument, "`checkout -> `"),
        ("nowhere", Code::NotFound, "no element `nowhere`"),
        ("checkout -> nowhere", Code::NotFound, "no element `checkout -> nowhere`"),
    ] {
        refused(health.get_element(v1::GetElementRequest { name: name.into() }).await, code, words);
        let request = v1::GetHistoryRequest { name: name.into(), ..Default::default() };
        refused(health.get_history(request).await, code, words);
    }
    for id in ["", "12", "not hexadecimal digits, not at all", "+0000000000000000000000000000001"] {
        let request = v1::ExplainTransitionRequest { id: id.into() };
        refused(health.explain_transition(request).await, Code::InvalidArgument, "32 hexadecimal digits");
    }
    let request = v1::ExplainTransitionRequest { id: "0".repeat(32) };
    refused(health.explain_transition(request).await, Code::NotFound, "no transition of id 000");

    let filter = Some(v1::ElementFilter { own_states: vec![0], ..Default::default() });
    let request = v1::ListElementsRequest { filter: filter.clone(), ..Default::default() };
    refused(health.list_elements(request).await, Code::InvalidArgument, "filter.own_states holds 0");
    let request = v1::WatchRequest { filter, after_sequence: None };
    refused(health.watch(request).await, Code::InvalidArgument, "filter.own_states holds 0");
    let filter = Some(v1::ElementFilter { kind: 9, ..Default::default() });
    let request = v1::ListElementsRequest { filter, ..Default::default() };
    refused(health.list_elements(request).await, Code::InvalidArgument, "filter.kind is 9");

    // A token of another request, an altered one, and none at all.
    let request = v1::ListElementsRequest { page_size: 1, ..Default::default() };
    let token = health.list_elements(request).await.expect("a page").into_inner().next_page_token;
    let other = Some(v1::ElementFilter { r#type: "service".into(), ..Default::default() });
    for (filter, page_token) in [(other, token.clone()), (None, format!("{token}A")), (None, "made up".into())] {
        let request = v1::ListElementsRequest { filter, page_token, page_size: 1 };
        refused(health.list_elements(request).await, Code::InvalidArgument, "page_token");
    }
    let request = v1::ListChecksRequest { page_token: token.clone(), ..Default::default() };
    refused(engine.list_checks(request).await, Code::InvalidArgument, "page_token");
    // A page may be asked for in another size than the one before.
    let request = v1::ListElementsRequest { page_size: 5000, page_token: token, filter: None };
    let rest = health.list_elements(request).await.expect("the rest").into_inner();
    assert_eq!((rest.elements.len(), &*rest.next_page_token), (3, ""));

    let request = v1::ListChecksRequest { element: "nowhere".into(), ..Default::default() };
    refused(engine.list_checks(request).await, Code::NotFound, "no element `nowhere`");
    let request = v1::ListStreamsRequest { stream: "nowhere".into(), ..Default::default() };
    refused(engine.list_streams(request).await, Code::NotFound, "no stream `nowhere`");
    let request = v1::ListSourcesRequest { source: "nowhere".into() };
    refused(engine.list_sources(request).await, Code::NotFound, "no source `nowhere`");
}

#[tokio::test]
async fn reflection_lists_the_services() {
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    let rig = Rig::new().await;
    let request = tonic_reflection::pb::v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(rig.channel.clone());
    let answers = client.server_reflection_info(tokio_stream::once(request)).await.expect("reflection");
    let answer = answers.into_inner().next().await.expect("an answer").expect("no error");
    let Some(MessageResponse::ListServicesResponse(listed)) = answer.message_response else {
        panic!("{answer:?} is no list of services");
    };
    let names: Vec<_> = listed.service.iter().map(|service| service.name.as_str()).collect();
    for wanted in ["vitalsign.v1.Health", "vitalsign.v1.Engine", "grpc.health.v1.Health"] {
        assert!(names.contains(&wanted), "{names:?}");
    }
}

#[tokio::test]
async fn health_checks_say_whether_the_engine_runs() {
    let rig = Rig::new().await;
    let mut client = HealthCheckClient::new(rig.channel.clone());
    for service in ["", "vitalsign.v1.Health", "vitalsign.v1.Engine"] {
        let request = HealthCheckRequest { service: service.into() };
        let mut statuses = client.watch(request).await.expect("a stream").into_inner();
        for (runs, expected) in [(true, "NOT_SERVING"), (false, "SERVING"), (false, "NOT_SERVING")] {
            let status = statuses.message().await.expect("a status").expect("a stream that goes on");
            assert_eq!(status.status().as_str_name(), expected, "{service}");
            rig.world.served.view.engine_runs(runs);
        }
    }
}

#[tokio::test]
async fn a_server_that_stops_ends_its_watchers() {
    let rig = Rig::new().await;
    let mut watcher = rig.watch(None, None).await;
    told(&mut watcher, "begin 0\n end 0").await;
    rig.stop().await;
    refused(watcher.message().await, Code::Unavailable, "the server is stopping");
}

fn spoken(state: State) -> CheckRecord {
    CheckRecord {
        row: 0,
        state: Some(state),
        since: Some(BEGINNING),
        results: vec![state],
        message: "".into(),
        evidence: "".into(),
        missing_at: None,
        missed: 0,
        expires_at: None,
        error: None,
    }
}

/// A world with one source, and one stream that is read through two windows.
fn shop_engine() -> World {
    let source = Source {
        name: "telegraf".into(),
        mapping: 1,
        lateness: Span::from_secs(10),
        idle_after: Span::from_secs(5),
        max_ahead: Span::from_secs(60),
        max_skew: Span::from_secs(60),
    };
    let stream = Stream {
        name: "response time".into(),
        source: 0,
        select: Selector::default(),
        each: vec!["host".into()],
        content: Content::Metric,
        time_to_live: Span::from_secs(3600),
        unit: None,
    };
    let feed = |fingerprint, width| Feed {
        fingerprint,
        stream: Arc::from("response time"),
        window: Some(Window::Sliding { width: Span::from_secs(width), slide: Span::from_secs(10) }),
        downsample: vec![Downsampling::Percentile(95_000), Downsampling::Rate],
        sources: vec!["telegraf".into()],
        baselines: Vec::new(),
    };
    let definitions = Definitions { sources: vec![source], streams: vec![stream], ..Definitions::default() };
    World::new(definitions, vec![feed(1, 60), feed(2, 300)], 100)
}
