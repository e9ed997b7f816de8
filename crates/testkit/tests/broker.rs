//! What tests rely on: a broker answers when `start` returns, goes away when told, and comes back with its port.

use std::net::TcpStream;
use testkit::Broker;

#[test]
fn answers_stops_and_comes_back() {
    let mut broker = Broker::start();
    if !broker.is_own() {
        return; // It belongs to somebody else.
    }
    let answers = |broker: &Broker| TcpStream::connect(broker.brokers()).is_ok();
    assert!(answers(&broker));
    broker.stop();
    assert!(!answers(&broker), "stopped");
    broker.restart();
    assert!(answers(&broker), "restarted");
    broker.kill();
    assert!(!answers(&broker), "killed");
}

#[test]
fn names_are_unique() {
    assert_ne!(testkit::unique("shop"), testkit::unique("shop"));
}
