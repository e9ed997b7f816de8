//! Brokers that go away, move, or are not there.

mod common;

use common::client::{Client, records as batch};
use common::{at_end, reading, records, until};
use fetch::{Input, Reader};
use model::definition::Start;
use testkit::Broker;

#[test]
fn a_broker_that_goes_away_is_an_error_until_it_is_back() {
    let mut broker = Broker::start();
    if !broker.is_own() {
        return; // Others use it.
    }
    Client::new(broker.brokers()).create_topic("shop", 1, 1, &[]);
    let mut reader = Reader::start(reading(broker.brokers(), &["shop"], Start::Earliest), vec![]).expect("good");
    until(&mut reader, at_end(0));
    broker.kill();
    let inputs = until(&mut reader, |input| matches!(input, Input::Error { .. }));
    let told =
        |input: &Input| matches!(input, Input::Error { message } if message.starts_with("the brokers do not answer: "));
    assert!(inputs.iter().any(told), "{inputs:?}");
    broker.restart();
    until(&mut reader, |input| matches!(input, Input::Healthy));
    Client::new(broker.brokers()).produce("shop", 0, &batch(&["v"]));
    let inputs = until(&mut reader, at_end(1));
    assert_eq!(records(&inputs), ["0 k=v"]);
    assert!(!inputs.iter().any(|input| matches!(input, Input::Found { .. })), "it is the same topic: {inputs:?}");
}

#[test]
fn partitions_are_read_from_their_leaders_wherever_these_move() {
    let broker = Broker::start();
    if !broker.is_own() {
        return; // There is nobody to join it.
    }
    let mut beside = broker.start_beside();
    let mut client = Client::new(broker.brokers());
    client.create_topic("shop", 4, 2, &[]);
    let leaders = client.leaders("shop");
    assert!(leaders.contains(&1) && leaders.contains(&2), "{leaders:?}");
    let produce = |value: &str| {
        for partition in 0..4 {
            // Each through its leader.
            let mut clients = [Client::new(broker.brokers()), Client::new(broker.brokers())];
            let leader = clients[0].leaders("shop")[partition as usize];
            if leader == 2 {
                clients[1] = Client::new(beside.brokers());
            }
            clients[usize::from(leader == 2)].produce("shop", partition, &batch(&[value]));
        }
    };
    let mut reader = Reader::start(reading(broker.brokers(), &["shop"], Start::Earliest), vec![]).expect("good");
    let all = |reader: &mut Reader, offset: i64| {
        let mut ends = 0;
        let inputs = until(reader, |input| {
            ends += i32::from(matches!(input, Input::AtEnd { next_offset, .. } if *next_offset == offset));
            ends == 4
        });
        records(&inputs)
    };
    produce("a");
    assert_eq!(all(&mut reader, 1), ["0 k=a"; 4]);
    beside.kill();
    let mut client = Client::new(broker.brokers());
    assert!((0..1_000_000).any(|_| client.leaders("shop") == [1; 4]), "{:?}", client.leaders("shop"));
    for partition in 0..4 {
        client.produce("shop", partition, &batch(&["b"]));
    }
    assert_eq!(all(&mut reader, 2), ["1 k=b"; 4]);
}

#[test]
fn a_broker_that_is_not_there_is_an_error_with_its_reason() {
    // Nothing listens on the port of a socket that has been closed.
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let brokers = port.expect("a port is free").to_string();
    let mut reader = Reader::start(reading(&brokers, &["shop"], Start::Latest), vec![]).expect("good settings");
    let inputs = until(&mut reader, |input| matches!(input, Input::Error { .. }));
    let Input::Error { message: told } = &inputs[0] else { panic!("{inputs:?}") };
    assert!(told.contains(&brokers) && told.contains("Connection refused"), "{told}");
}
