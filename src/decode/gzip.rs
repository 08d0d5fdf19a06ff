//! A payload that was compressed on its way, opened with a limit.

use std::io::Read as _;

use flate2::bufread::MultiGzDecoder;

use super::RejectionClass;

/// Reports compress five- to tenfold, batches of alike messages more. What grows beyond this is made
/// to do harm.
const MOST_GROWTH: usize = 100;
/// Small payloads may grow by any factor up to this, in bytes.
const SMALL: usize = 64 * 1024;

/// Whether it begins like gzip with the deflate method, the only one there is.
pub(super) fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x1f\x8b\x08")
}

/// Opens it, up to `most` bytes.
///
/// # Errors
/// It is cut, broken, or grows beyond what is allowed; no more than that is ever held.
pub(super) fn open(bytes: &[u8], most: usize) -> Result<Vec<u8>, RejectionClass> {
    let most = most.min(bytes.len().saturating_mul(MOST_GROWTH).max(SMALL));
    let mut opened = Vec::new();
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
        assert_eq!(open(&bomb, 1 << 30), Err(RejectionClass::Oversize));
        let fair = gzip("OBX|1|TX|||FINDINGS: clear.\r".repeat(2000).as_bytes());
        assert!(open(&fair, 1 << 20).is_ok());
        assert_eq!(open(&fair, 1000), Err(RejectionClass::Oversize));
    }
}
