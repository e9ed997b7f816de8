//! How we make ourselves known to a broker: PLAIN, SCRAM and OAUTHBEARER.

use crate::connection::Fault;
use crate::scram::{Hash, Scram};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom, SystemRandom};
use std::path::PathBuf;

/// A mechanism and what it needs. It holds secrets, so it is never shown.
#[derive(Clone)]
pub(crate) enum Sasl {
    Plain { username: String, password: String },
    Scram { hash: Hash, username: String, password: String },
    Bearer(Token),
}

/// Where the token for OAUTHBEARER is.
#[derive(Clone)]
pub(crate) enum Token {
    Value(String),
    /// Read for each connection: whoever renews it writes it there.
    File(PathBuf),
}

/// What is said in turn.
pub(crate) enum Exchange {
    /// One message, and the broker is content.
    Single(Option<Vec<u8>>),
    Scram(Scram),
}

impl Sasl {
    /// Its name.
    pub(crate) fn mechanism(&self) -> &'static str {
        match self {
            Sasl::Plain { .. } => "PLAIN",
            Sasl::Scram { hash: Hash::Sha256, .. } => "SCRAM-SHA-256",
            Sasl::Scram { hash: Hash::Sha512, .. } => "SCRAM-SHA-512",
            Sasl::Bearer(_) => "OAUTHBEARER",
        }
    }

    /// The exchange for one connection.
    pub(crate) fn begin(&self) -> Result<Exchange, Fault> {
        let message = match self {
            Sasl::Plain { username, password } => format!("\0{username}\0{password}"),
            Sasl::Scram { hash, username, password } => {
                let mut random = [0; 24];
                SystemRandom::new().fill(&mut random).map_err(|_| Fault("there is no randomness".to_owned()))?;
                return Ok(Exchange::Scram(Scram::new(*hash, username, password, &STANDARD.encode(random))));
            }
            Sasl::Bearer(Token::Value(token)) => bearer(token),
            Sasl::Bearer(Token::File(path)) => {
                let read = std::fs::read_to_string(path);
                bearer(read.map_err(|e| Fault(format!("sasl.oauthbearer.token.file {}: {e}", path.display())))?.trim())
            }
        };
        Ok(Exchange::Single(Some(message.into_bytes())))
    }
}

fn bearer(token: &str) -> String {
    format!("n,,\x01auth=Bearer {token}\x01\x01")
}

impl Exchange {
    /// What is to be said after the broker's answer; none when both are content.
    pub(crate) fn next(&mut self, answer: Option<&[u8]>) -> Result<Option<Vec<u8>>, Fault> {
        match self {
            Exchange::Single(message) => Ok(message.take()),
            Exchange::Scram(scram) => scram.next(answer),
        }
    }
}
