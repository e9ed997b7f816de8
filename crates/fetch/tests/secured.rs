//! TLS and SASL, against a real broker.

mod common;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::client::{Client, records as batch};
use common::{at_end, reading, records, until, with};
use fetch::produce::Producer;
use fetch::{Input, Reader, Reading};
use model::definition::Start;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use testkit::{Broker, Listener, PASSWORD, USER};

/// One broker for all, with a topic of one record.
fn broker() -> &'static Broker {
    static SHARED: OnceLock<Broker> = OnceLock::new();
    SHARED.get_or_init(|| {
        let broker = Broker::start_secured();
        let mut client = Client::new(broker.brokers());
        client.create_topic("shop", 1, 1, &[]);
        client.produce("shop", 0, &batch(&["v"]));
        broker
    })
}

fn secured(listener: Listener, properties: &[(&str, &str)]) -> Reading {
    let protocol = match listener {
        Listener::Tls => "ssl",
        Listener::Sasl => "sasl_plaintext",
        Listener::SaslTls => "sasl_ssl",
    };
    let certificate = broker().certificate();
    let reading = with(reading(&broker().secured(listener), &["shop"], Start::Earliest), properties);
    with(reading, &[("security.protocol", protocol), ("ssl.ca.location", &certificate.to_string_lossy())])
}

#[track_caller]
fn check(listener: Listener, properties: &[(&str, &str)]) {
    let mut reader = Reader::start(secured(listener, properties), vec![]).expect("the settings are good");
    assert_eq!(records(&until(&mut reader, at_end(1))), ["0 k=v"]);
}

#[track_caller]
fn refused(reading: Reading, expected: &str) {
    let mut reader = Reader::start(reading, vec![]).expect("the settings are good");
    let inputs = until(&mut reader, |input| matches!(input, Input::Error { .. }));
    let told = |input: &Input| matches!(input, Input::Error { message } if message.contains(expected));
    assert!(inputs.iter().any(told), "{inputs:?}");
}

/// A token as identity providers write it, but signed by nobody.
fn token() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs();
    let claims = format!(r#"{{"sub":"{USER}","iat":{now},"exp":{}}}"#, now + 600);
    format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), URL_SAFE_NO_PAD.encode(claims))
}

fn password(mechanism: &'static str, password: &'static str) -> [(&'static str, &'static str); 3] {
    [("sasl.mechanism", mechanism), ("sasl.username", USER), ("sasl.password", password)]
}

#[test]
fn tls_is_spoken() {
    check(Listener::Tls, &[]);
}

#[test]
fn passwords_are_taken_by_every_mechanism() {
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        check(Listener::Sasl, &password(mechanism, PASSWORD));
        check(Listener::SaslTls, &password(mechanism, PASSWORD));
    }
}

#[test]
fn a_token_is_taken_as_such_and_from_a_file() {
    let token = token();
    check(Listener::Sasl, &[("sasl.mechanism", "OAUTHBEARER"), ("sasl.oauthbearer.token", &token)]);
    let file = std::env::temp_dir().join(testkit::unique("token"));
    std::fs::write(&file, format!("{token}\n")).expect("the token is written");
    let path = file.to_string_lossy().into_owned();
    check(Listener::SaslTls, &[("sasl.mechanism", "OAUTHBEARER"), ("sasl.oauthbearer.token.file", &path)]);
    std::fs::remove_file(&file).expect("the token is removed");
}

#[test]
fn who_is_not_known_is_told_why() {
    refused(secured(Listener::Sasl, &password("PLAIN", "wrong")), "SASL PLAIN: Authentication failed");
    refused(secured(Listener::Sasl, &password("SCRAM-SHA-256", "wrong")), "SASL SCRAM-SHA-256: Authentication failed");
    let token = [("sasl.mechanism", "OAUTHBEARER"), ("sasl.oauthbearer.token", "no token")];
    refused(secured(Listener::Sasl, &token), "SASL OAUTHBEARER: ");
}

#[test]
fn a_broker_that_nobody_vouches_for_is_not_trusted() {
    let mut reading = secured(Listener::Tls, &[]);
    // Anybody else's certificate.
    let other = include_str!("certificate.pem");
    reading.connection.properties.retain(|(name, _)| name != "ssl.ca.location");
    refused(with(reading, &[("ssl.ca.pem", other)]), "TLS: invalid peer certificate");
}

#[test]
fn who_forgets_tls_is_told() {
    let plain = reading(&broker().secured(Listener::Tls), &["shop"], Start::Earliest);
    refused(plain, "the broker speaks TLS, and `security.protocol` does not say so");
}

#[test]
fn points_are_published_the_same_way() {
    Client::new(broker().brokers()).create_topic("points", 1, 1, &[]);
    let mut reading = secured(Listener::SaslTls, &password("SCRAM-SHA-512", PASSWORD));
    let mut producer = Producer::new(&reading.connection).expect("the settings are good");
    producer.publish("points", [(Some(b"k".as_slice()), b"v".as_slice(), 1)].into_iter()).expect("it is acknowledged");
    reading.topics = vec!["points".to_owned()];
    let mut reader = Reader::start(reading, vec![]).expect("the settings are good");
    assert_eq!(records(&until(&mut reader, at_end(1))), ["0 k=v"]);
}

#[test]
fn a_connection_that_has_to_make_itself_known_anew_goes_on() {
    let mut client = Client::new(broker().brokers());
    client.create_topic("long", 1, 1, &[]);
    let mut reading = secured(Listener::SaslTls, &password("PLAIN", PASSWORD));
    reading.topics = vec!["long".to_owned()];
    let mut reader = Reader::start(reading, vec![]).expect("the settings are good");
    let mut inputs = until(&mut reader, at_end(0));
    // The broker wants it every two seconds.
    (0..10).for_each(|_| inputs.extend(reader.poll(Duration::from_millis(500))));
    client.produce("long", 0, &batch(&["v"]));
    inputs.extend(until(&mut reader, at_end(1)));
    assert_eq!(records(&inputs), ["0 k=v"]);
    assert!(!inputs.iter().any(|input| matches!(input, Input::Error { .. })), "{inputs:?}");
}
