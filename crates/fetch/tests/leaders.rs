//! Leaders that move from broker to broker.

mod common;

use common::client::{Client, records as batch};
use common::{reading, records, until};
use fetch::{Input, Reader};
use model::definition::Start;
use testkit::Broker;

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
