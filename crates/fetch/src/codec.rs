//! The four codecs of record batches. What comes out is bounded: a few bytes can stand for gigabytes.

use flate2::bufread::MultiGzDecoder;
use lz4_flex::frame::FrameDecoder;
use std::io::Read;
use zstd_safe::{DCtx, InBuffer, OutBuffer, ResetDirective, get_error_name};

/// In front of snappy as Java writes it: blocks, each with its length.
const XERIAL: &[u8] = b"\x82SNAPPY\0";
/// That, and two version numbers.
const XERIAL_HEADER: usize = 16;

/// Zstandard unpacks so much at once.
const ZSTD_BLOCK: usize = 128 << 10;

/// Decoders with the state that is worth keeping.
pub(crate) struct Codecs {
    zstd: DCtx<'static>,
    snappy: snap::raw::Decoder,
    /// The most that one batch may unpack to.
    most: usize,
}

impl Codecs {
    pub(crate) fn new(most: usize) -> Codecs {
        Codecs { zstd: DCtx::create(), snappy: snap::raw::Decoder::new(), most }
    }

    /// Appends what `packed` stands for. The codec is the one that the batch's attributes name.
    pub(crate) fn unpack(&mut self, codec: i16, packed: &[u8], into: &mut Vec<u8>) -> Result<(), String> {
        match codec {
            1 => self.drain(MultiGzDecoder::new(packed), into).map_err(|e| format!("gzip: {e}")),
            2 => self.snappy(packed, into).map_err(|e| format!("snappy: {e}")),
            3 => self.drain(FrameDecoder::new(packed), into).map_err(|e| format!("lz4: {e}")),
            4 => self.zstd(packed, into).map_err(|e| format!("zstd: {e}")),
            _ => Err(format!("codec {codec} is not known")),
        }
    }

    fn drain(&self, decoder: impl Read, into: &mut Vec<u8>) -> Result<(), String> {
        let most = self.most as u64;
        let read = decoder.take(most + 1).read_to_end(into).map_err(|e| e.to_string())?;
        if read > self.most { Err(self.too_long()) } else { Ok(()) }
    }

    fn snappy(&mut self, packed: &[u8], into: &mut Vec<u8>) -> Result<(), String> {
        let bound = into.len() + self.most;
        if !packed.starts_with(XERIAL) {
            return self.snappy_block(packed, bound, into);
        }
        let mut rest = packed.get(XERIAL_HEADER..).unwrap_or_default();
        while let Some((length, behind)) = rest.split_first_chunk() {
            let length = usize::try_from(i32::from_be_bytes(*length)).unwrap_or(usize::MAX);
            let (block, behind) = behind.split_at_checked(length).ok_or("a block ends too early")?;
            self.snappy_block(block, bound, into)?;
            rest = behind;
        }
        if rest.is_empty() { Ok(()) } else { Err("a block ends too early".to_owned()) }
    }

    fn snappy_block(&mut self, block: &[u8], bound: usize, into: &mut Vec<u8>) -> Result<(), String> {
        let length = snap::raw::decompress_len(block).map_err(|e| e.to_string())?;
        let start = into.len();
        if length > bound - start {
            return Err(self.too_long());
        }
        into.resize(start + length, 0);
        let written = self.snappy.decompress(block, &mut into[start..]).map_err(|e| e.to_string())?;
        into.truncate(start + written);
        Ok(())
    }

    fn zstd(&mut self, packed: &[u8], into: &mut Vec<u8>) -> Result<(), String> {
        let bound = into.len() + self.most;
        // What an earlier batch has left when it failed.
        self.zstd.reset(ResetDirective::SessionOnly).map_err(get_error_name)?;
        let told = zstd_safe::get_frame_content_size(packed).ok().flatten().unwrap_or(0);
        let mut room = usize::try_from(told).unwrap_or(usize::MAX).max(2 * packed.len()).min(self.most) + 1;
        let mut input = InBuffer::around(packed);
        loop {
            let filled = into.len();
            into.resize(filled + room, 0);
            let mut output = OutBuffer::around_pos(into.as_mut_slice(), filled);
            let hint = self.zstd.decompress_stream(&mut output, &mut input).map_err(get_error_name);
            let written = output.pos();
            let full = written == into.len();
            into.truncate(written);
            if written > bound {
                return Err(self.too_long());
            }
            if hint? == 0 && input.pos == packed.len() {
                return Ok(());
            }
            if input.pos == packed.len() && !full {
                return Err("it ends too early".to_owned());
            }
            room = (bound + 1 - written).min(ZSTD_BLOCK);
        }
    }

    fn too_long(&self) -> String {
        format!("a batch unpacks to more than `receive.message.max.bytes` ({})", self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(plain).expect("memory takes all");
        encoder.finish().expect("memory takes all")
    }

    fn snappy(plain: &[u8]) -> Vec<u8> {
        snap::raw::Encoder::new().compress_vec(plain).expect("memory takes all")
    }

    fn xerial(plain: &[u8]) -> Vec<u8> {
        let mut packed = [XERIAL, &[0, 0, 0, 1, 0, 0, 0, 1]].concat();
        for block in plain.chunks(100) {
            let block = snappy(block);
            packed.extend((block.len() as i32).to_be_bytes());
            packed.extend(block);
        }
        packed
    }

    fn lz4(plain: &[u8]) -> Vec<u8> {
        let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
        encoder.write_all(plain).expect("memory takes all");
        encoder.finish().expect("memory takes all")
    }

    fn zstd(plain: &[u8]) -> Vec<u8> {
        let mut packed = vec![0; zstd_safe::compress_bound(plain.len())];
        let length = zstd_safe::compress(packed.as_mut_slice(), plain, 3).expect("memory takes all");
        packed.truncate(length);
        packed
    }

    fn packed(plain: &[u8]) -> [(i16, Vec<u8>); 5] {
        [(1, gzip(plain)), (2, snappy(plain)), (2, xerial(plain)), (3, lz4(plain)), (4, zstd(plain))]
    }

    #[test]
    fn what_was_packed_comes_out_behind_what_is_there() {
        for plain in [b"".to_vec(), b"abc".to_vec(), vec![7; 500_000]] {
            for (codec, packed) in packed(&plain) {
                let mut into = b"before".to_vec();
                Codecs::new(500_000).unpack(codec, &packed, &mut into).expect("it is good");
                assert!(into.starts_with(b"before") && into[6..] == plain, "codec {codec}: {} bytes", into.len());
            }
        }
    }

    #[test]
    fn what_unpacks_to_too_much_is_refused() {
        for (codec, packed) in packed(&vec![7; 500_000]) {
            let mut into = Vec::new();
            let error = Codecs::new(499_999).unpack(codec, &packed, &mut into).expect_err("it is too much");
            assert!(error.ends_with("a batch unpacks to more than `receive.message.max.bytes` (499999)"), "{error}");
            assert!(into.capacity() < 3_000_000, "codec {codec}: {}", into.capacity());
        }
    }

    #[test]
    fn what_was_cut_is_refused() {
        for (codec, mut packed) in packed(b"what was cut is refused by each of them, wherever it is cut") {
            packed.truncate(packed.len() - 9);
            assert!(Codecs::new(1000).unpack(codec, &packed, &mut Vec::new()).is_err(), "codec {codec}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_fatal(
            plain in proptest::collection::vec(0_u8..4, 0..2000),
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        ) {
            let mut codecs = Codecs::new(10_000);
            for (codec, mut packed) in packed(&plain) {
                for (at, byte) in &changes {
                    let at = at.index(packed.len());
                    packed[at] = *byte;
                }
                let mut into = Vec::new();
                let _ = codecs.unpack(codec, &packed, &mut into);
                prop_assert!(into.len() <= 10_001 + (1 << 20));
            }
        }
    }
}
