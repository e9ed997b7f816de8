//! SCRAM (RFC 5802, RFC 7677): both sides show that they know the password, and neither tells it.

use crate::connection::Fault;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};
use std::num::NonZeroU32;

/// Fewer make passwords easy to guess for who has listened; more would keep the thread busy for seconds.
const ITERATIONS: std::ops::RangeInclusive<u32> = 4096..=1_000_000;

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha256,
    Sha512,
}

/// One exchange.
pub(crate) struct Scram {
    hash: Hash,
    password: String,
    /// Our first message without what stands before the name.
    first: String,
    nonce: String,
    step: Step,
}

enum Step {
    First,
    Proof,
    /// What the broker has to sign with.
    Confirmation(Vec<u8>),
    Done,
}

impl Scram {
    /// An exchange with a nonce that nobody has seen before.
    pub(crate) fn new(hash: Hash, username: &str, password: &str, nonce: &str) -> Scram {
        let username = username.replace('=', "=3D").replace(',', "=2C");
        let first = format!("n={username},r={nonce}");
        Scram { hash, password: password.to_owned(), first, nonce: nonce.to_owned(), step: Step::First }
    }

    /// What is to be said after the broker's answer; none when both are content.
    pub(crate) fn next(&mut self, answer: Option<&[u8]>) -> Result<Option<Vec<u8>>, Fault> {
        let answer = answer.unwrap_or_default();
        match &self.step {
            Step::First => {
                self.step = Step::Proof;
                Ok(Some(format!("n,,{}", self.first).into_bytes()))
            }
            Step::Proof => {
                let answer = std::str::from_utf8(answer).map_err(|_| fault("is not text"))?;
                let (message, signature) = self.prove(answer)?;
                self.step = Step::Confirmation(signature);
                Ok(Some(message.into_bytes()))
            }
            Step::Confirmation(signature) => {
                let signed = answer.strip_prefix(b"v=").and_then(|rest| rest.split(|byte| *byte == b',').next());
                if signed.and_then(|signed| STANDARD.decode(signed).ok()).as_ref() != Some(signature) {
                    return Err(Fault("SCRAM: the broker does not know the password".to_owned()));
                }
                self.step = Step::Done;
                Ok(None)
            }
            Step::Done => Ok(None),
        }
    }

    /// The final message, and the signature that the broker has to answer with.
    fn prove(&self, answer: &str) -> Result<(String, Vec<u8>), Fault> {
        let field = |name: &str| answer.split(',').find_map(|field| field.strip_prefix(name));
        let nonce = field("r=").filter(|nonce| nonce.starts_with(&self.nonce) && *nonce != self.nonce);
        let nonce = nonce.ok_or_else(|| fault("has no nonce that goes on with ours"))?;
        let salt = field("s=").and_then(|salt| STANDARD.decode(salt).ok()).ok_or_else(|| fault("has no salt"))?;
        let iterations = field("i=").and_then(|count| count.parse().ok()).filter(|count| ITERATIONS.contains(count));
        let iterations = iterations.and_then(NonZeroU32::new);
        let iterations = iterations.ok_or_else(|| fault("asks for less than 4096 or more than 1000000 iterations"))?;

        let (derivation, signing, hashing) = match self.hash {
            Hash::Sha256 => (pbkdf2::PBKDF2_HMAC_SHA256, hmac::HMAC_SHA256, &digest::SHA256),
            Hash::Sha512 => (pbkdf2::PBKDF2_HMAC_SHA512, hmac::HMAC_SHA512, &digest::SHA512),
        };
        let mut salted = vec![0; hashing.output_len()];
        pbkdf2::derive(derivation, iterations, &salt, self.password.as_bytes(), &mut salted);
        let sign = |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(signing, key), text);

        let unproven = format!("c=biws,r={nonce}");
        let exchange = format!("{},{answer},{unproven}", self.first);
        let client_key = sign(&salted, b"Client Key");
        let stored_key = digest::digest(hashing, client_key.as_ref());
        let signature = sign(stored_key.as_ref(), exchange.as_bytes());
        let proof: Vec<u8> = client_key.as_ref().iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect();
        let server_key = sign(&salted, b"Server Key");
        let confirmation = sign(server_key.as_ref(), exchange.as_bytes());
        Ok((format!("{unproven},p={}", STANDARD.encode(proof)), confirmation.as_ref().to_vec()))
    }
}

fn fault(what: &str) -> Fault {
    Fault(format!("SCRAM: the broker's answer {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(said: Result<Option<Vec<u8>>, Fault>) -> Option<String> {
        said.expect("a step").map(|bytes| String::from_utf8(bytes).expect("text"))
    }

    /// The exchange that RFC 7677 shows.
    #[test]
    fn the_exchange_of_the_standard() {
        let mut scram = Scram::new(Hash::Sha256, "user", "pencil", "rOprNGfwEbeRWgbNEkqO");
        assert_eq!(text(scram.next(None)).as_deref(), Some("n,,n=user,r=rOprNGfwEbeRWgbNEkqO"));
        let first = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let proof = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                     p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(text(scram.next(Some(first))).as_deref(), Some(proof));
        let confirmation = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
        assert_eq!(text(scram.next(Some(confirmation))), None);
    }

    #[test]
    fn a_broker_that_cannot_be_right_is_refused() {
        let check = |answer: &str, expected: &str| {
            let mut scram = Scram::new(Hash::Sha512, "a=b,c", "pencil", "abc");
            assert_eq!(text(scram.next(None)).as_deref(), Some("n,,n=a=3Db=2Cc,r=abc"));
            let error = scram.next(Some(answer.as_bytes())).expect_err("a refusal").to_string();
            assert_eq!(error, expected);
        };
        check("r=xyz,s=AAAA,i=4096", "SCRAM: the broker's answer has no nonce that goes on with ours");
        check("r=abc,s=AAAA,i=4096", "SCRAM: the broker's answer has no nonce that goes on with ours");
        check("r=abcd,s=?,i=4096", "SCRAM: the broker's answer has no salt");
        for count in ["1", "2000000000", "-1", ""] {
            let answer = format!("r=abcd,s=AAAA,i={count}");
            check(&answer, "SCRAM: the broker's answer asks for less than 4096 or more than 1000000 iterations");
        }
        let mut scram = Scram::new(Hash::Sha256, "user", "pencil", "abc");
        scram.next(None).expect("a step");
        scram.next(Some(b"r=abcd,s=AAAA,i=4096")).expect("a step");
        let error = scram.next(Some(b"v=AAAA")).expect_err("a refusal").to_string();
        assert_eq!(error, "SCRAM: the broker does not know the password");
    }
}
