//! What the identifier of an observation (OBX-3) says: a section, or that it is no text.

use std::borrow::Cow;

use super::fields::Fields;
use crate::decode::{SourceProfile, section_code};
use crate::report::SectionKind;

/// What an observation identifier says.
#[derive(Clone, Copy, Default)]
pub(super) struct Named {
    pub(super) section: Option<SectionKind>,
    pub(super) by_profile: bool,
    /// The source profile says that it is no report text.
    pub(super) left_out: bool,
}

/// Observations of one report mostly carry the same identifier: the last answer is kept.
pub(super) struct SectionCache<'m> {
    profile: Option<&'m SourceProfile>,
    last: Option<(&'m str, Named)>,
}

impl<'m> SectionCache<'m> {
    pub(super) const fn new(profile: Option<&'m SourceProfile>) -> Self {
        Self { profile, last: None }
    }

    pub(super) fn of(&mut self, obx: &Fields<'m>) -> Named {
        let raw = obx.raw(3);
        match self.last {
            Some((known, named)) if known == raw => named,
            _ => {
                let named = name(obx, self.profile);
                self.last = Some((raw, named));
                named
            }
        }
    }
}

/// What the identifier says: to the source profile first, then by the codes everybody knows.
fn name(obx: &Fields<'_>, profile: Option<&SourceProfile>) -> Named {
    if let Some(profile) = profile {
        let identifier = obx.parse(3);
        let (code, suffix) = (identifier.value(1), identifier.part(1, 1, 2));
        let (text, other) = (identifier.value(2), identifier.value(4));
        let joined = format!("{code}&{suffix}");
        let mut known = vec![&*joined, &*code, &*suffix, &*text, &*other];
        known.retain(|identifier| !matches!(*identifier, "" | "&"));
        if known.is_empty() {
            known.push(""); // a profile can speak of observations without identifier, too
        }
        let left_out = !profile.holds_text(&known);
        if let Some(section) = profile.section(known) {
            return Named { section, by_profile: true, left_out };
        }
        return Named { section: section_of(obx), by_profile: false, left_out };
    }
    Named { section: section_of(obx), ..Named::default() }
}

fn section_of(obx: &Fields<'_>) -> Option<SectionKind> {
    if obx.raw(3).trim().is_empty() {
        return None;
    }
    let identifier = obx.parse(3);
    let values: [Cow<'_, str>; 5] = identifier.values();
    let of_triplet = |first: usize| {
        let value = |component: usize| values.get(component - 1).map_or("", |value| &**value);
        let (code, text) = (value(first), value(first + 1));
        if !identifier.has_subcomponents() {
            let says = !(code.is_empty() && text.is_empty());
            return says.then(|| section_code::section(code, "", text)).flatten();
        }
        let suffix = identifier.part(1, first, 2);
        section_code::section(code, &suffix, text)
            .or_else(|| section_code::section("", &identifier.part(1, first + 1, 2), ""))
    };
    of_triplet(1).or_else(|| of_triplet(4))
}
