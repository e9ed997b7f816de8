//! Pages: how large they are, and the tokens that lead from one to the next. A token holds the key of the
//! last entry, so no page costs more for coming late, and nothing is kept here between two of them.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use tonic::Status;

/// How many entries a page has where nothing is asked for.
const DEFAULT: usize = 100;

/// How many entries a page has at most.
pub(super) const MOST: usize = 1000;

/// A page ends with the entry that reaches this size: clients refuse messages of more than 4 MB by default.
const BYTES: usize = 1024 * 1024;

/// How many entries are asked of the view at once. It is held that long.
pub(super) const CHUNK: usize = 1024;

/// A page while it is filled.
pub(super) struct Page<T> {
    pub(super) entries: Vec<T>,
    bytes: usize,
    most: usize,
}

impl<T: prost::Message> Page<T> {
    pub(super) fn new(asked: u32) -> Page<T> {
        let most = if asked == 0 { DEFAULT } else { (asked as usize).min(MOST) };
        Page { entries: Vec::new(), bytes: 0, most }
    }

    pub(super) fn push(&mut self, entry: T) {
        self.bytes += entry.encoded_len();
        self.entries.push(entry);
    }

    pub(super) fn full(&self) -> bool {
        self.entries.len() >= self.most || self.bytes >= BYTES
    }

    /// How many more entries fit, at most.
    pub(super) fn room(&self) -> usize {
        self.most - self.entries.len().min(self.most)
    }
}

/// What a token belongs to: the call, and the request without its page. `request` has both page fields empty.
pub(super) fn scope(call: &str, request: &impl prost::Message) -> u64 {
    hash(&[call.as_bytes(), &request.encode_to_vec()])
}

/// The token for what follows on the entry of this key.
pub(super) fn token(scope: u64, key: &str) -> String {
    let mut bytes = hash(&[&scope.to_le_bytes(), key.as_bytes()]).to_le_bytes().to_vec();
    bytes.extend_from_slice(key.as_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// The key in a token; none for the first page.
pub(super) fn key(scope: u64, token: &str) -> Result<Option<String>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    BASE64_URL_SAFE_NO_PAD
        .decode(token)
        .ok()
        .and_then(|bytes| {
            let (check, key) = bytes.split_first_chunk::<8>()?;
            let key = std::str::from_utf8(key).ok()?;
            let sound = u64::from_le_bytes(*check) == hash(&[&scope.to_le_bytes(), key.as_bytes()]);
            sound.then(|| Some(key.to_owned()))
        })
        .ok_or_else(bad_token)
}

/// What is said of a token that is not one of ours, or of another request.
pub(super) fn bad_token() -> Status {
    Status::invalid_argument(
        "page_token is none that this request was answered with: give next_page_token as it came, with the same filters, or leave it empty for the first page",
    )
}

/// FNV-1a in 64 bits, with the length of each part. It tells a mistake from a token; it is no secret.
fn hash(parts: &[&[u8]]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        for byte in part.iter().copied().chain((part.len() as u64).to_le_bytes()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_belong_to_their_request() {
        let mine = token(7, "checkout -> payments");
        assert_eq!(key(7, &mine).expect("a token"), Some("checkout -> payments".to_owned()));
        assert_eq!(key(7, "").expect("the first page"), None);
        assert!(key(8, &mine).is_err());
        let altered = BASE64_URL_SAFE_NO_PAD.encode(b"12345678another key");
        for bad in ["AAAA", "not base64!", &mine[..mine.len() - 1], altered.as_str()] {
            assert!(key(7, bad).is_err(), "{bad}");
        }
    }
}
