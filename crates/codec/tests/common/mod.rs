//! What the tests share: captured records, and decoding them.

#![allow(dead_code, unreachable_pub, reason = "each test uses some of it")]

use codec::{Decoded, Format};
use model::Time;
use model::record::Batch;
use serde_json::Value;
use std::path::PathBuf;

fn read(file: &str) -> Vec<Value> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/captures").join(file);
    let bytes = std::fs::read(path).expect("a file");
    let bytes = if file.ends_with(".zst") { unpacked(&bytes) } else { bytes };
    String::from_utf8(bytes)
        .expect("text")
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect()
}

/// The records of a capture.
pub fn capture(name: &str) -> Batch {
    use base64::Engine;
    let bytes = |text: &Value| text.as_str().map(|text| base64::prelude::BASE64_STANDARD.decode(text).expect("base64"));
    let mut batch = Batch::new(0, name.into(), 0, Time::from_nanos(0));
    for (offset, line) in read(&format!("{name}.ndjson.zst")).iter().enumerate() {
        let (key, value) = (bytes(&line["key"]), bytes(&line["value"]));
        let headers: Vec<(String, Option<Vec<u8>>)> = line["headers"]
            .as_array()
            .expect("headers")
            .iter()
            .map(|header| (header[0].as_str().expect("a name").to_owned(), bytes(&header[1])))
            .collect();
        let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_deref()));
        batch.push(offset as i64, line["timestamp"].as_i64(), false, key.as_deref(), value.as_deref(), headers);
    }
    batch
}

/// What is known to be in a capture: a line for each series.
pub fn truth(name: &str) -> Vec<Value> {
    let mut lines = read("truth.ndjson.zst");
    lines.retain(|line| line["capture"] == name);
    assert!(!lines.is_empty(), "there is a truth of {name}");
    lines
}

/// How much is known to be in a capture.
pub fn counts(name: &str) -> Value {
    read("counts.ndjson").into_iter().find(|line| line["capture"] == name).expect("counts")
}

/// Everything in a batch.
pub fn decode(format: &Format, batch: &Batch) -> Decoded {
    let mut decoded = Decoded::default();
    for place in 0..batch.records.len() {
        format.decode(&batch.topic, &batch.record(place), &mut decoded);
    }
    decoded
}

/// A raw series key as text.
pub fn show(raw: &[u8]) -> String {
    let (name, labels) = codec::series(raw, |name| name.into());
    format!("{name}{labels}")
}

fn unpacked(packed: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut decoder = ruzstd::decoding::StreamingDecoder::new(packed).expect("a zstd frame");
    std::io::Read::read_to_end(&mut decoder, &mut bytes).expect("zstd");
    bytes
}
