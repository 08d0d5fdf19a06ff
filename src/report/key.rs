//! Which report it is.

use std::borrow::Cow;
use std::fmt;

/// Stable identity of a report across its versions: assigning authority + filler order number
/// (accession). Never the message's control id, which real senders repeat across patients.
///
/// It is the Kafka key of everything we publish. `authority|number`, where a bar or a backslash in
/// either has a backslash before it: else `A|B` with `C` and `A` with `B|C` would be one report. Both
/// parts may be PHI, so `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReportKey(String);

impl ReportKey {
    /// Builds the key. Surrounding white space is not part of an identifier.
    pub fn new(assigning_authority: &str, filler_order_number: &str) -> Self {
        Self([escaped(assigning_authority), "|".into(), escaped(filler_order_number)].concat())
    }

    /// The key as published. The caller answers for where it goes.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// A part of a key. Ordinary ones stay byte for byte as they are.
fn escaped(part: &str) -> Cow<'_, str> {
    let part = part.trim();
    if part.contains(['|', '\\']) {
        Cow::Owned(part.replace('\\', "\\\\").replace('|', "\\|"))
    } else {
        Cow::Borrowed(part)
    }
}

impl fmt::Debug for ReportKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<report key>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_key_ignores_padding() {
        assert_eq!(ReportKey::new(" RIS", "A1 "), ReportKey::new("RIS", "A1"));
    }

    #[test]
    fn an_ordinary_key_is_authority_bar_number() {
        assert_eq!(ReportKey::new("urn:oid:1.2.3", "A-1/7 x").expose(), "urn:oid:1.2.3|A-1/7 x");
    }

    #[test]
    fn no_two_pairs_have_one_key() {
        let parts = ["A", "B", "A|B", "B|C", "C", "|", "||", "\\", "\\|", "|\\", "A\\", "\\A", ""];
        let mut seen = std::collections::BTreeMap::new();
        for authority in parts {
            for number in parts {
                let key = ReportKey::new(authority, number);
                let before = seen.insert(key, (authority, number));
                assert_eq!(before, None, "and {:?}", (authority, number));
            }
        }
        assert_eq!(ReportKey::new("A|B", "C").expose(), "A\\|B|C");
    }
}
