//! The delimiters that a message declares.

use crate::decode::RejectionClass;

/// The delimiters of a message. Each is one ASCII character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::decode::hl7) struct Separators {
    pub(in crate::decode::hl7) field: u8,
    pub(in crate::decode::hl7) component: u8,
    pub(in crate::decode::hl7) repetition: u8,
    pub(in crate::decode::hl7) escape: u8,
    pub(in crate::decode::hl7) subcomponent: u8,
}

impl Default for Separators {
    /// The ones that nearly every sender uses.
    fn default() -> Self {
        Self { field: b'|', component: b'^', repetition: b'~', escape: b'\\', subcomponent: b'&' }
    }
}

impl From<Separators> for hl7_parser::message::Separators {
    fn from(ours: Separators) -> Self {
        Self {
            field: ours.field.into(),
            component: ours.component.into(),
            repetition: ours.repetition.into(),
            escape: ours.escape.into(),
            subcomponent: ours.subcomponent.into(),
            lenient_newlines: false,
        }
    }
}

/// The delimiters that MSH-1 and MSH-2 declare, and the fifth encoding character.
pub(in crate::decode::hl7) fn delimiters(
    header: &str,
) -> Result<(Separators, char), RejectionClass> {
    let mut characters = header.chars().skip(3);
    let field = characters.next().ok_or(RejectionClass::Truncated)?;
    let field = delimiter(field).ok_or(RejectionClass::Syntax)?;
    // At most eight are looked at, and doubled ones count once when there are too many.
    let mut declared = [None; 8];
    let mut count = 0;
    let ended = |c: &char| *c != char::from(field) && !matches!(c, '\r' | '\n');
    for (slot, character) in declared.iter_mut().zip(characters.take_while(ended)) {
        *slot = Some(character);
        count += 1;
    }
    if count >= 5 {
        // `^~\\&`: escaped once too often on its way, see `unescape_twice`.
        let mut kept = Vec::from(declared);
        kept.truncate(count);
        kept.dedup();
        kept.resize(declared.len(), None);
        declared.copy_from_slice(&kept);
    }
    let at = |index: usize, usual: u8| match declared.get(index).copied().flatten() {
        None => Ok(usual),
        Some(character) => delimiter(character).ok_or(RejectionClass::Syntax),
    };
    let usual = Separators::default();
    let separators = Separators {
        field,
        component: at(0, usual.component)?,
        repetition: at(1, usual.repetition)?,
        escape: at(2, usual.escape)?,
        subcomponent: at(3, usual.subcomponent)?,
    };
    let all = [
        separators.field,
        separators.component,
        separators.repetition,
        separators.escape,
        separators.subcomponent,
    ];
    let twice = |(index, one): (usize, &u8)| all.iter().skip(index + 1).any(|other| other == one);
    if all.iter().enumerate().any(twice) {
        return Err(RejectionClass::Syntax);
    }
    Ok((separators, declared.get(4).copied().flatten().unwrap_or('#')))
}

/// A character that may be a delimiter.
fn delimiter(character: char) -> Option<u8> {
    let byte = u8::try_from(character).ok()?;
    let usable =
        byte.is_ascii_punctuation() || (byte.is_ascii_control() && !matches!(byte, b'\r' | b'\n'));
    usable.then_some(byte)
}

/// Undoes the escaping of a message that was put through a string literal and not taken out again:
/// its header declares `^~\\\\&`, and every backslash in it is doubled.
pub(in crate::decode::hl7) fn unescape_twice(text: &str) -> Option<String> {
    let header = text.get(4..9)?;
    (header == "^~\\\\&").then(|| text.replace("\\\\", "\\"))
}
