//! The engine against the oracle: random records, random splits into batches and steps, any number of
//! workers, and crashes between any two commits. The seed of a run that fails is printed; a run of one
//! seed is `VITALSIGN_SEED=7 cargo test -p scenario --test simulation`.

mod baselines;
mod memory;
mod world;

use engine::state::{Entry, PartitionKey};
use engine::{Engine, Said, fill};
use memory::Memory;
use model::{Span, Time, Transition};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use world::{Random, World};

/// How a run is disturbed.
#[derive(Clone, Copy, Debug)]
struct Disturbance {
    workers: usize,
    crashes: bool,
    /// Whether partitions fall idle, sources fall silent and new partitions appear.
    marks: bool,
}

/// What a run came to.
#[derive(Default)]
struct Ran {
    memory: Memory,
    crashes: usize,
    read_again: usize,
}

/// Runs the engine over all records of a world, in steps drawn from `random`.
fn run(world: &World, random: &mut Random, how: Disturbance) -> Ran {
    let settings = &world.settings;
    let formats: Arc<[codec::Format]> = settings.formats.clone().into();
    let start = |memory: &Memory, workers: usize| {
        Engine::new(settings.definitions.clone(), formats.clone(), settings.library.clone(), workers, memory.restored())
    };
    let mut ran = Ran::default();
    let (mut engine, mut shards, _) = start(&ran.memory, how.workers);
    let mut known: BTreeSet<usize> = BTreeSet::new();
    let mut position: BTreeMap<usize, usize> = BTreeMap::new();
    let key = |partition: usize| {
        let (source, topic, number) = world.partitions[partition].key();
        PartitionKey { source, topic, partition: number }
    };
    let mut now = world.start;
    let mut blocked: BTreeSet<PartitionKey> = BTreeSet::new();
    loop {
        for partition in 0..world.partitions.len() {
            let due = !how.marks || world.partitions[partition].appears <= now;
            if due && known.insert(partition) {
                engine.found(&mut shards, key(partition), 0, None);
                position.insert(partition, 0);
            }
        }
        let mut batches = Vec::new();
        for (&partition, at) in &mut position {
            let of = &world.partitions[partition];
            let there =
                if how.marks { of.records.partition_point(|record| record.written <= now) } else { of.records.len() };
            let some = random.below(4) as usize * random.below(8) as usize;
            if some == 0 || (blocked.contains(&key(partition)) && random.below(3) > 0) {
                continue;
            }
            let until = there.min(*at + some);
            if *at < until {
                // What was read before may be handed over once more.
                let again = if random.below(5) == 0 { random.below(4) as usize } else { 0 };
                batches.push(of.batch(at.saturating_sub(again)..until, if how.marks { now } else { world.end }));
                *at = until;
            }
        }
        for batch in &batches {
            let worker = engine.admit(&mut shards, batch);
            fill(&mut shards[worker], batch);
        }
        let mut said = Vec::new();
        let ended = |partition: usize, position: &BTreeMap<usize, usize>| {
            let of = &world.partitions[partition];
            position.get(&partition).is_some_and(|at| {
                let there = if how.marks {
                    of.records.partition_point(|record| record.written <= now)
                } else {
                    of.records.len()
                };
                *at == there
                    && of.records[..there]
                        .last()
                        .is_none_or(|last| !how.marks || last.written + Span::from_secs(5) <= now)
            })
        };
        if how.marks && !engine.replaying(&shards) {
            for &partition in position.keys() {
                if ended(partition, &position) {
                    said.push(Said::Idle { partition: key(partition), at_offset: position[&partition] as i64 });
                }
            }
            for (source, definition) in settings.definitions.sources.iter().enumerate() {
                let of_source = |partition: &&usize| world.partitions[**partition].source == source;
                let mut all = position.keys().filter(of_source).peekable();
                if all.peek().is_some() && all.all(|partition| ended(*partition, &position)) {
                    said.push(Said::Tick { source, frontier: now - definition.lateness - Span::from_secs(5) });
                }
            }
        }
        let step = engine.advance(&mut shards, &said);
        blocked = step.ahead.into_iter().collect();
        if step.transitions || random.below(3) == 0 {
            ran.memory.commit(engine.collect(&shards, random.below(3) as usize));
        }
        if how.crashes && random.below(12) == 0 {
            ran.crashes += 1;
            (engine, shards, _) = start(&ran.memory, 1 + random.below(3) as usize);
            let begin: BTreeMap<PartitionKey, i64> =
                engine.positions(&shards).into_iter().map(|(key, record)| (key, record.next_offset)).collect();
            for (&partition, at) in &mut position {
                let from = begin.get(&key(partition)).copied().unwrap_or(0) as usize;
                ran.read_again += at.saturating_sub(from);
                *at = from;
            }
            known.retain(|partition| begin.contains_key(&key(*partition)));
            position.retain(|partition, _| known.contains(partition));
        }
        now = now + Span::from_millis(500);
        let all_read = world
            .partitions
            .iter()
            .enumerate()
            .all(|(partition, of)| position.get(&partition) == Some(&of.records.len()));
        if all_read
            && !step.more
            && !engine.replaying(&shards)
            && (!how.marks || now > world.end + Span::from_secs(120))
        {
            ran.memory.commit(engine.collect(&shards, 0));
            return ran;
        }
    }
}

/// What the oracle makes of the same records and of what the shell said: transitions, and points by their topics.
fn expected(world: &World, memory: &Memory) -> (Vec<Transition>, Vec<String>) {
    let batches: Vec<_> = world.partitions.iter().map(|of| of.batch(0..of.records.len(), world.end)).collect();
    let journal: Vec<Entry> = memory.journal().cloned().collect();
    let outcome = scenario::truth::of(&world.settings, &batches, &journal);
    let points = scenario::truth::points(&world.settings, &outcome);
    let points = points.iter().flat_map(|(topic, lines)| lines.iter().map(move |line| format!("{topic} {line}")));
    (outcome.transitions, by_instant(points.collect()))
}

/// All points that were committed, by their topics.
fn points(memory: &Memory) -> Vec<String> {
    let mut lines = Vec::new();
    for (topic, messages) in memory.published.values() {
        let line = |(key, value, at): (&[u8], &[u8], i64)| (topic, scenario::truth::point(key, value, at));
        lines.extend(messages.iter().map(line));
    }
    lines.sort_by_key(|(topic, _)| *topic); // those of one topic stay in their order
    by_instant(lines.into_iter().map(|(topic, line)| format!("{topic} {line}")).collect())
}

/// The lines of each topic in the order of time; those of one instant, which come in any, in the order of their text.
fn by_instant(mut lines: Vec<String>) -> Vec<String> {
    let instant = |line: &String| Some((line.split_once(' ')?.0.to_owned(), line.rsplit_once(' ')?.1.to_owned()));
    lines.chunk_by_mut(|a, b| instant(a) == instant(b)).for_each(<[String]>::sort);
    lines
}

fn text(transitions: &[Transition]) -> Vec<String> {
    let line = |of: &Transition| {
        format!(
            "{} {} {:?} {} -> {} by {} [{}] {} {:032x}",
            of.time, of.element, of.health, of.from, of.to, of.cause, of.message, of.evidence, of.id
        )
    };
    transitions.iter().map(line).collect()
}

/// Fails with the first place where two lists differ.
fn same(wanted: &[String], found: &[String], what: &str) {
    let differs = (0..wanted.len().max(found.len())).find(|place| wanted.get(*place) != found.get(*place));
    if let Some(place) = differs {
        let before = &found[place.saturating_sub(3)..place];
        panic!(
            "{what}: {} wanted, {} found; after {before:#?}\nwanted {:#?}\nfound  {:#?}",
            wanted.len(),
            found.len(),
            wanted.get(place..(place + 2).min(wanted.len())),
            found.get(place..(place + 2).min(found.len()))
        );
    }
}

fn seeds(most: u64) -> Vec<u64> {
    match std::env::var("VITALSIGN_SEED") {
        Ok(seed) => vec![seed.parse().expect("VITALSIGN_SEED is a number")],
        Err(_) => (1..=most).collect(),
    }
}

/// Runs worlds in several ways, and holds each against the oracle. Gives what came of them: transitions, crashes and
/// records that were read again.
fn compare(seeds: Vec<u64>, make: fn(u64) -> World) -> (Vec<Transition>, usize, usize) {
    let (mut transitions, mut crashes, mut read_again) = (Vec::new(), 0, 0);
    for seed in seeds {
        for how in [
            Disturbance { workers: 1, crashes: false, marks: false },
            Disturbance { workers: 2, crashes: false, marks: true },
            Disturbance { workers: 4, crashes: true, marks: true },
        ] {
            let world = make(seed);
            let ran = run(&world, &mut Random::new(seed ^ 0x5eed), how);
            let what = format!("seed {seed}, {how:?}");
            println!("{what}: {} crashes", ran.crashes);
            if std::env::var("VITALSIGN_JOURNAL").is_ok() {
                ran.memory.journal().for_each(|entry| println!("{entry:?}"));
                text(&ran.memory.transitions).iter().for_each(|line| println!("{line}"));
            }
            let (wanted, wanted_points) = expected(&world, &ran.memory);
            same(&text(&wanted), &text(&ran.memory.transitions), &what);
            same(&wanted_points, &points(&ran.memory), &format!("points of {what}"));
            let promised = world.settings.definitions.publications.len();
            assert!(promised == 0 || wanted_points.len() > 100, "{what}: only {} points", wanted_points.len());
            let numbers: Vec<u64> = ran.memory.transitions.iter().map(|of| of.sequence).collect();
            assert!(numbers.is_sorted_by(|a, b| a < b), "{what}: numbers are never reused");
            transitions.extend(ran.memory.transitions);
            crashes += ran.crashes;
            read_again += ran.read_again;
        }
    }
    println!("{} transitions, {crashes} crashes, {read_again} records read again", transitions.len());
    (transitions, crashes, read_again)
}

/// Whatever happens to the engine, it says what the oracle says of the records and the journal.
#[test]
fn the_engine_says_what_the_oracle_says() {
    let (transitions, crashes, read_again) = compare(seeds(24), World::new);
    let enough = transitions.len() > 20_000 && crashes > 200 && read_again > 1000;
    assert!(enough || std::env::var("VITALSIGN_SEED").is_ok());
}

/// The same where bands and scores are at stake, which stand in messages and evidence bit for bit.
#[test]
fn what_was_learned_is_what_the_oracle_learned() {
    let (transitions, crashes, _) = compare(seeds(16), baselines::world);
    let shown = |of: &&Transition| of.evidence.contains(r#""baseline":{"#);
    let bands = transitions.iter().filter(shown).count();
    let stale = transitions.iter().filter(|of| of.evidence.contains(r#""stale":true"#)).count();
    let scored = transitions.iter().filter(|of| of.evidence.contains(r#""score":"#)).count();
    println!("{bands} bands, {stale} of them stale, {scored} with a score");
    let enough = bands > 10_000 && stale > 1000 && scored > 1000 && crashes > 200;
    assert!(enough || std::env::var("VITALSIGN_SEED").is_ok());
}

/// Without marks of the shell, one agenda says the same bit for bit, however input is split and spread.
#[test]
fn splits_and_workers_do_not_show() {
    for seed in seeds(25) {
        let world = World::of_one_source(seed);
        let how = |workers| Disturbance { workers, crashes: false, marks: false };
        let first = run(&world, &mut Random::new(1), how(1));
        assert!(!first.memory.transitions.is_empty(), "seed {seed}");
        for (split, workers) in [(2, 1), (3, 2), (4, 4)] {
            let other = run(&world, &mut Random::new(split), how(workers));
            let what = format!("seed {seed}, split {split}, {workers} workers");
            same(&text(&first.memory.transitions), &text(&other.memory.transitions), &what);
            same(&points(&first.memory), &points(&other.memory), &format!("points of {what}"));
        }
    }
}

/// The instants of a world are in nanoseconds, and nothing else keeps time.
#[test]
fn a_world_is_its_seed() {
    let (one, same, other) = (World::new(3), World::new(3), World::new(4));
    let bytes = |world: &World| {
        world
            .partitions
            .iter()
            .flat_map(|of| of.batch(0..of.records.len(), Time::from_nanos(0)).buffer)
            .collect::<Vec<u8>>()
    };
    assert_eq!(bytes(&one), bytes(&same));
    assert_ne!(bytes(&one), bytes(&other));
}
