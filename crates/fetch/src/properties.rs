//! A connection's properties, by librdkafka's names: what stands in a configuration serves both ways of reading, and
//! both of publishing points. What is not known here is refused by name, never ignored.

use crate::Error;
use crate::connection::Address;
use crate::fetching::Bounds;
use crate::sasl::{Sasl, Token};
use crate::scram::Hash;
use crate::tls::{self, Pem};
use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::rustls::ClientConfig;

/// Connection of a source or of the output.
#[derive(Clone, PartialEq, Eq)]
pub struct Connection {
    /// Where to begin: host and port, several with commas.
    pub brokers: String,
    /// Properties by librdkafka's names. They may hold secrets.
    pub properties: Vec<(String, String)>,
}

impl fmt::Debug for Connection {
    /// Names alone: a value may be a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.properties.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Connection").field("brokers", &self.brokers).field("properties", &names).finish()
    }
}

/// What the properties come to.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) brokers: Vec<Address>,
    pub(crate) client_id: String,
    pub(crate) tls: Option<Arc<ClientConfig>>,
    pub(crate) sasl: Option<Sasl>,
    pub(crate) bounds: Bounds,
    pub(crate) check_crcs: bool,
    /// The longest response.
    pub(crate) longest: usize,
    pub(crate) setup_timeout: Duration,
    pub(crate) answer_timeout: Duration,
    /// Between two attempts: at first, and at most.
    pub(crate) reconnect: (Duration, Duration),
    pub(crate) retry: (Duration, Duration),
    /// Between two looks at the topics while all is well.
    pub(crate) refresh: Duration,
}

/// What the properties of points' publishing come to.
pub(crate) struct Publishing {
    pub(crate) settings: Settings,
    /// The longest that anything is tried.
    pub(crate) timeout: Duration,
    /// The longest batch.
    pub(crate) batch_bytes: usize,
}

const BUILT_IN: &str = "correct results need the built-in value";
const NO_GROUP: &str = "one process reads all partitions; no group shares them out";

/// What nobody may set.
const REFUSED: &[(&str, &str)] = &[
    ("bootstrap.servers", "the brokers have a setting of their own"),
    ("metadata.broker.list", "the brokers have a setting of their own"),
    ("group.id", "the group for lag monitors has a setting of its own"),
    ("group.instance.id", NO_GROUP),
    ("group.protocol", NO_GROUP),
    ("enable.auto.commit", BUILT_IN),
    ("auto.commit.enable", BUILT_IN),
    ("enable.auto.offset.store", BUILT_IN),
    ("enable.partition.eof", BUILT_IN),
    ("auto.offset.reset", BUILT_IN),
];

/// Every property that is known, with its value where none is given.
const KNOWN: &[(&str, &str)] = &[
    ("client.id", "vitalsign"),
    ("security.protocol", "plaintext"),
    ("ssl.ca.location", ""),
    ("ssl.ca.pem", ""),
    ("ssl.certificate.location", ""),
    ("ssl.certificate.pem", ""),
    ("ssl.key.location", ""),
    ("ssl.key.pem", ""),
    ("ssl.endpoint.identification.algorithm", "https"),
    ("enable.ssl.certificate.verification", "true"),
    ("sasl.mechanism", ""),
    ("sasl.username", ""),
    ("sasl.password", ""),
    // Of our own: librdkafka takes tokens from the program around it.
    ("sasl.oauthbearer.token", ""),
    ("sasl.oauthbearer.token.file", ""),
    ("isolation.level", "read_committed"),
    ("check.crcs", "true"),
    ("fetch.min.bytes", "1"),
    ("fetch.wait.max.ms", "500"),
    // Fewer and larger responses cost less; far more would leave the processor's cache.
    ("fetch.max.bytes", "8388608"),
    ("fetch.message.max.bytes", "2097152"),
    ("receive.message.max.bytes", "100000000"),
    ("socket.timeout.ms", "30000"),
    ("socket.connection.setup.timeout.ms", "10000"),
    ("reconnect.backoff.ms", "100"),
    ("reconnect.backoff.max.ms", "2000"),
    ("retry.backoff.ms", "100"),
    ("retry.backoff.max.ms", "1000"),
    ("topic.metadata.refresh.interval.ms", "5000"),
];

/// What is known besides where points are published: the longest that a piece may take, and the longest batch.
const PUBLISHING: &[(&str, &str)] = &[("message.timeout.ms", "30000"), ("message.max.bytes", "1000000")];

/// Second names that librdkafka has for some.
const ALIASES: &[(&str, &str)] = &[
    ("sasl.mechanisms", "sasl.mechanism"),
    ("max.partition.fetch.bytes", "fetch.message.max.bytes"),
    ("delivery.timeout.ms", "message.timeout.ms"),
];

/// Reads all of it; files that properties name are read here.
pub(crate) fn settings(connection: &Connection) -> Result<Settings, Error> {
    read(connection, &Given::new(connection, KNOWN)?)
}

/// The same for publishing: what only readers ask for has no effect.
pub(crate) fn publishing(connection: &Connection) -> Result<Publishing, Error> {
    let given = Given::new(connection, &[KNOWN, PUBLISHING].concat())?;
    Ok(Publishing {
        settings: read(connection, &given)?,
        timeout: given.millis("message.timeout.ms", 1)?,
        batch_bytes: given.number("message.max.bytes", 1000, 100_000_000)?,
    })
}

fn read(connection: &Connection, given: &Given) -> Result<Settings, Error> {
    let (secured, with_sasl) = match given.lower("security.protocol").as_str() {
        "plaintext" => (false, false),
        "ssl" => (true, false),
        "sasl_plaintext" => (false, true),
        "sasl_ssl" => (true, true),
        _ => return Err(wanted("security.protocol", "one of plaintext, ssl, sasl_plaintext, sasl_ssl")),
    };
    if given.lower("ssl.endpoint.identification.algorithm") != "https" {
        return Err(wanted("ssl.endpoint.identification.algorithm", "https; `fetch: librdkafka` takes others"));
    }
    if !given.switch("enable.ssl.certificate.verification")? {
        return Err(wanted(
            "enable.ssl.certificate.verification",
            "true, with the authority in `ssl.ca.location`; `fetch: librdkafka` takes false",
        ));
    }
    let committed_only = match given.lower("isolation.level").as_str() {
        "read_committed" => true,
        "read_uncommitted" => false,
        _ => return Err(wanted("isolation.level", "read_committed or read_uncommitted")),
    };
    Ok(Settings {
        brokers: addresses(&connection.brokers)?,
        client_id: given.text("client.id").to_owned(),
        tls: if secured { Some(given.tls()?) } else { None },
        sasl: if with_sasl { Some(given.sasl()?) } else { None },
        bounds: Bounds {
            wait_ms: given.number("fetch.wait.max.ms", 0, 300_000)?,
            min_bytes: given.number("fetch.min.bytes", 1, 100_000_000)?,
            max_bytes: given.number("fetch.max.bytes", 1, i32::MAX)?,
            partition_bytes: given.number("fetch.message.max.bytes", 1, 1_000_000_000)?,
            committed_only,
        },
        check_crcs: given.switch("check.crcs")?,
        longest: given.number("receive.message.max.bytes", 1000, i32::MAX as usize)?,
        setup_timeout: given.millis("socket.connection.setup.timeout.ms", 1000)?,
        answer_timeout: given.millis("socket.timeout.ms", 1000)?,
        reconnect: (given.millis("reconnect.backoff.ms", 1)?, given.millis("reconnect.backoff.max.ms", 1)?),
        retry: (given.millis("retry.backoff.ms", 1)?, given.millis("retry.backoff.max.ms", 1)?),
        refresh: given.millis("topic.metadata.refresh.interval.ms", 10)?,
    })
}

/// The wait before the next attempt, after so many that failed.
pub(crate) fn backoff((first, longest): (Duration, Duration), failed: u32) -> Duration {
    longest.min(first.saturating_mul(1 << failed.saturating_sub(1).min(16)))
}

/// `host:port`, several with commas; an address of IPv6 stands in brackets.
fn addresses(text: &str) -> Result<Vec<Address>, Error> {
    let address = |text: &str| -> Option<Address> {
        let (host, port) = text.rsplit_once(':').unwrap_or((text, "9092"));
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Some(Address { host: Some(host).filter(|host| !host.is_empty())?.to_owned(), port: port.parse().ok()? })
    };
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let read = |part: &str| {
        address(part).ok_or_else(|| Error::Client(format!("`{part}` is no broker; host and port are wanted")))
    };
    let addresses: Vec<Address> = parts.map(read).collect::<Result<_, _>>()?;
    if addresses.is_empty() { Err(Error::Client("no broker is named".to_owned())) } else { Ok(addresses) }
}

/// A value by the name of each known property.
struct Given(HashMap<&'static str, String>);

impl Given {
    fn new(connection: &Connection, known: &[(&'static str, &str)]) -> Result<Given, Error> {
        let mut given = Given(known.iter().map(|(name, value)| (*name, (*value).to_owned())).collect());
        connection.properties.iter().try_for_each(|(name, value)| given.set(name, value))?;
        Ok(given)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), Error> {
        if let Some((_, reason)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
            return Err(Error::Refused { property: name.to_owned(), reason });
        }
        let of = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, of)| of);
        let Some(known) = self.0.get_mut(of) else {
            return Err(property(
                name,
                "our own fetch path does not know it: leave it out, or write `fetch: librdkafka` at the source",
            ));
        };
        value.clone_into(known);
        Ok(())
    }

    fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    fn present(&self, name: &str) -> Option<&str> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    fn lower(&self, name: &str) -> String {
        self.text(name).to_ascii_lowercase()
    }

    fn switch(&self, name: &str) -> Result<bool, Error> {
        match self.lower(name).as_str() {
            "true" | "t" | "1" => Ok(true),
            "false" | "f" | "0" => Ok(false),
            _ => Err(wanted(name, "true or false")),
        }
    }

    fn number<T: FromStr + PartialOrd + fmt::Display>(&self, name: &str, least: T, most: T) -> Result<T, Error> {
        let number = self.text(name).parse().ok().filter(|number| *number >= least && *number <= most);
        number.ok_or_else(|| wanted(name, &format!("a whole number from {least} to {most}")))
    }

    fn millis(&self, name: &str, least: u64) -> Result<Duration, Error> {
        self.number(name, least, 3_600_000).map(Duration::from_millis)
    }

    fn tls(&self) -> Result<Arc<ClientConfig>, Error> {
        let pem = |what: &str| -> Result<Option<Pem>, Error> {
            let (location, inline) = (format!("ssl.{what}.location"), format!("ssl.{what}.pem"));
            if let Some(path) = self.present(&location) {
                return Pem::of_file(&location, path).map(Some);
            }
            Ok(self.present(&inline).map(|text| Pem { text: text.as_bytes().to_vec(), property: inline.clone() }))
        };
        tls::config(pem("ca")?.as_ref(), pem("certificate")?.as_ref(), pem("key")?.as_ref())
    }

    fn sasl(&self) -> Result<Sasl, Error> {
        let needed = |name: &str| {
            let value = self.present(name).map(str::to_owned);
            value.ok_or_else(|| property(name, "the sasl.mechanism needs it"))
        };
        let scram =
            |hash| Ok(Sasl::Scram { hash, username: needed("sasl.username")?, password: needed("sasl.password")? });
        match self.text("sasl.mechanism").to_ascii_uppercase().as_str() {
            "PLAIN" => Ok(Sasl::Plain { username: needed("sasl.username")?, password: needed("sasl.password")? }),
            "SCRAM-SHA-256" => scram(Hash::Sha256),
            "SCRAM-SHA-512" => scram(Hash::Sha512),
            "OAUTHBEARER" => Ok(Sasl::Bearer(match self.present("sasl.oauthbearer.token.file") {
                Some(path) => Token::File(PathBuf::from(path)),
                None => Token::Value(needed("sasl.oauthbearer.token")?),
            })),
            _ => Err(wanted("sasl.mechanism", "one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER")),
        }
    }
}

fn wanted(name: &str, what: &str) -> Error {
    property(name, &format!("wanted is {what}"))
}

fn property(name: &str, reason: &str) -> Error {
    Error::Property { property: name.to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(properties: &[(&str, &str)], expected: &str) {
        let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let connection = Connection { brokers: "a:1, [::1]:2,c".to_owned(), properties };
        let told = match settings(&connection) {
            Ok(settings) => settings.brokers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            Err(error) => error.to_string(),
        };
        assert_eq!(told, expected);
    }

    #[test]
    fn properties_are_taken_by_librdkafkas_names() {
        check(&[], "a:1 [::1]:2 c:9092");
        check(
            &[
                ("security.protocol", "SASL_PLAINTEXT"),
                ("sasl.mechanisms", "plain"),
                ("sasl.username", "u"),
                ("sasl.password", "p"),
                ("max.partition.fetch.bytes", "1000"),
            ],
            "a:1 [::1]:2 c:9092",
        );
    }

    #[test]
    fn what_is_not_known_is_named() {
        check(
            &[("enable.auto.commit", "true")],
            "kafka property `enable.auto.commit` cannot be set here: correct results need the built-in value",
        );
        check(
            &[("security.protocl", "ssl")],
            "kafka property `security.protocl` is not accepted: our own fetch path does not know it: leave it \
             out, or write `fetch: librdkafka` at the source",
        );
    }

    #[test]
    fn publishing_takes_what_reading_takes_and_some_more() {
        let publishing = |name: &str, value: &str| {
            let properties = vec![(name.to_owned(), value.to_owned())];
            let read = publishing(&Connection { brokers: "a:1".to_owned(), properties });
            let shown = read.map(|it| format!("{} {}", it.timeout.as_millis(), it.batch_bytes));
            shown.unwrap_or_else(|error| error.to_string())
        };
        assert_eq!(publishing("fetch.min.bytes", "1000"), "30000 1000000");
        assert_eq!(publishing("message.max.bytes", "9000"), "30000 9000");
        assert_eq!(publishing("delivery.timeout.ms", "500"), "500 1000000");
        assert!(publishing("linger.ms", "5").starts_with("kafka property `linger.ms` is not accepted"));
    }

    #[test]
    fn what_is_wrong_is_named_and_no_value_is_shown() {
        let sasl = |mechanism| [("security.protocol", "sasl_plaintext"), ("sasl.mechanism", mechanism)];
        check(
            &sasl("GSSAPI"),
            "kafka property `sasl.mechanism` is not accepted: wanted is one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, \
             OAUTHBEARER",
        );
        check(&sasl("SCRAM-SHA-512"), "kafka property `sasl.username` is not accepted: the sasl.mechanism needs it");
        check(
            &[("fetch.min.bytes", "hunter2")],
            "kafka property `fetch.min.bytes` is not accepted: wanted is a whole number from 1 to 100000000",
        );
        check(
            &[("security.protocol", "ssl"), ("ssl.ca.pem", "hunter2")],
            "kafka property `ssl.ca.pem` is not accepted: there is no certificate in PEM",
        );
        check(
            &[("security.protocol", "ssl"), ("ssl.ca.location", "/nowhere/ca.pem")],
            "kafka property `ssl.ca.location` is not accepted: cannot read /nowhere/ca.pem: \
             No such file or directory (os error 2)",
        );
    }

    #[test]
    fn secrets_are_not_shown() {
        let properties = vec![("sasl.password".to_owned(), "hunter2".to_owned())];
        let shown = format!("{:?}", Connection { brokers: "a:9092".to_owned(), properties });
        assert_eq!(shown, r#"Connection { brokers: "a:9092", properties: ["sasl.password"] }"#);
    }

    #[test]
    fn waits_grow_up_to_a_bound() {
        let millis = |failed| backoff((Duration::from_millis(100), Duration::from_millis(2000)), failed).as_millis();
        assert_eq!([1, 2, 3, 6, 1000].map(millis), [100, 200, 400, 2000, 2000]);
    }
}
