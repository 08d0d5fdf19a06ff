//! Who is this report? Assigning authority and filler order number, with fall-backs that say so.

use super::fields::Fields;
use super::group::Group;
use super::{Header, Warnings};
use crate::decode::note;
use crate::report::{Phi, ReportKey, Warning};

/// Identity of one report.
#[derive(Clone)]
pub(super) struct Identity {
    pub(super) key: ReportKey,
    pub(super) accession_number: Phi<String>,
    pub(super) warnings: Warnings,
}

/// An entity identifier (EI): number and the namespace that makes it unique.
struct Entity {
    number: String,
    authority: String,
}

/// Finds the identity of an order or a document.
///
/// Filler order number: OBR-3, ORC-3, TXA-15. Without one: the document's number (TXA-12; for an
/// addendum or a replacement the parent's, TXA-13), then the placer's (OBR-2, ORC-2, TXA-14). MSH-10
/// is never used: real senders repeat it across patients.
pub(super) fn of(
    header: &Header<'_>,
    group: Option<&Group<'_>>,
    txa: Option<&Fields<'_>>,
) -> Option<Identity> {
    let obr = group.and_then(|group| group.obr.as_ref());
    let orc = group.and_then(|group| group.orc.as_ref());
    let entity = |segment: Option<&Fields<'_>>, field| segment.and_then(|s| read(s, field));
    let filler = entity(obr, 3).or_else(|| entity(orc, 3)).or_else(|| entity(txa, 15));
    let mut warnings = Warnings::new();
    let found = filler.or_else(|| {
        note(&mut warnings, Warning::FillerNumberMissing);
        let parent = matches!(header.trigger.as_str(), "T05" | "T06" | "T09" | "T10")
            .then(|| entity(txa, 13))
            .flatten();
        parent
            .or_else(|| entity(txa, 12))
            .or_else(|| entity(obr, 2))
            .or_else(|| entity(orc, 2))
            .or_else(|| entity(txa, 14))
    })?;
    let authority = if found.authority.is_empty() {
        note(&mut warnings, Warning::AuthorityMissing);
        let facility = header.msh.value(4, 1);
        if facility.is_empty() {
            header.msh.value(3, 1).into_owned()
        } else {
            facility.into_owned()
        }
    } else {
        found.authority
    };
    Some(Identity {
        key: ReportKey::new(&authority, &found.number),
        accession_number: Phi::new(found.number),
        warnings,
    })
}

/// Reads an EI. Some senders put the namespace into a subcomponent.
fn read(segment: &Fields<'_>, field: usize) -> Option<Entity> {
    let entity = segment.parse(field);
    let [number, namespace, universal] = entity.values();
    if number.is_empty() {
        return None;
    }
    let nested = namespace.is_empty() && entity.has_subcomponents();
    let authority = if nested { entity.part(1, 1, 2) } else { namespace };
    let authority = if authority.is_empty() { universal } else { authority };
    Some(Entity { number: number.into_owned(), authority: authority.into_owned() })
}
