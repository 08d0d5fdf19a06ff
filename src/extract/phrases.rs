//! Fixed tables of short phrases, looked up many times a report.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::eights::eight;

/// A table whose keys are constants of the program. Its hash is cheap and has no secret: what a
/// sender writes is looked up in it and never put into it.
pub(super) type Phrases<V, P = str> = HashMap<&'static P, V, BuildHasherDefault<Eights>>;

/// Mixes eight bytes at a time.
#[derive(Default)]
pub(super) struct Eights(u64);

impl Hasher for Eights {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let mut at = 0;
        while at < bytes.len() {
            let mixed = (self.0.rotate_left(5) ^ eight(bytes, at)) as u128 * MIX;
            self.0 = (mixed as u64) ^ (mixed >> 64) as u64;
            at += 8;
        }
    }

    /// The byte that ends a text: there is one text in each key.
    #[inline]
    fn write_u8(&mut self, _: u8) {}

    /// The length of a key that is bytes.
    #[inline]
    fn write_usize(&mut self, length: usize) {
        self.0 ^= length as u64;
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

const MIX: u128 = 0x9e37_79b9_7f4a_7c15;
