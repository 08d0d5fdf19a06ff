//! A payload that was compressed on its way, opened with a limit.

use std::io::Read as _;

use flate2::bufread::MultiGzDecoder;

use super::RejectionClass;

/// Reports compress three- to tenfold, batches of alike messages somewhat more. What grows beyond this
/// is made to do harm.
const MOST_GROWTH: usize = 20;
/// A payload may grow by any factor up to this, in bytes: a small batch of alike messages does.
const SMALL: usize = 64 * 1024;

/// To how many bytes a payload of this length may be opened, all that is compressed in it together.
pub(super) fn most_opened(length: usize) -> usize {
    length.saturating_mul(MOST_GROWTH).max(SMALL)
}

/// Whether it begins like gzip with the deflate method, the only one there is.
pub(super) fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x1f\x8b\x08")
}

/// Opens it, up to `most` bytes.
///
/// # Errors
/// It is cut, broken, or longer than that; no more is ever held.
pub(super) fn open(bytes: &[u8], most: usize) -> Result<Vec<u8>, RejectionClass> {
    // Its last four bytes say how long it was, so that memory need not be taken twice as it grows.
    let said = bytes.last_chunk().map_or(0, |said| u32::from_le_bytes(*said));
    let said = usize::try_from(said).unwrap_or(usize::MAX);
    let mut opened = Vec::with_capacity(said.min(most).saturating_add(1));
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    match MultiGzDecoder::new(bytes).take(limit).read_to_end(&mut opened) {
        Ok(_) if opened.len() > most => Err(RejectionClass::Oversize),
        Ok(_) => Ok(opened),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            Err(RejectionClass::Truncated)
        }
        Err(_) => Err(RejectionClass::Syntax),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write as _;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_was_compressed_comes_back_and_what_is_cut_or_broken_does_not() {
        let packed = gzip(b"MSH|^~\\&|A");
        assert_eq!(open(&packed, 100).as_deref(), Ok(&b"MSH|^~\\&|A"[..]));
        assert_eq!(open(&packed[..packed.len() - 4], 100), Err(RejectionClass::Truncated));
        let mut broken = packed.clone();
        broken[12] ^= 0xff;
        assert!(open(&broken, 100).is_err());
    }

    #[test]
    fn a_bomb_is_stopped_at_the_limit() {
        let bomb = gzip(&vec![b'A'; 50 << 20]);
        assert!(bomb.len() < 60_000);
        assert_eq!(open(&bomb, most_opened(bomb.len())), Err(RejectionClass::Oversize));
        let fair = gzip("OBX|1|TX|||FINDINGS: clear.\r".repeat(2000).as_bytes());
        assert!(open(&fair, most_opened(fair.len())).is_ok());
        assert_eq!(open(&fair, 1000), Err(RejectionClass::Oversize));
    }
}
