//! Who is this report? Assigning authority and filler order number, with fall-backs that say so.

use super::fields::Fields;
use super::group::Group;
use super::{Header, Warnings};
use crate::decode::{FieldPath, FieldUse, note};
use crate::report::{Phi, ReportKey, Warning};

/// Identity of one report.
#[derive(Clone)]
pub(super) struct Identity {
    pub(super) key: ReportKey,
    pub(super) accession_number: Phi<String>,
    pub(super) warnings: Warnings,
    /// Fields it was taken from; only when somebody asked.
    pub(super) fields: Vec<FieldUse>,
}

/// An entity identifier (EI): number and the namespace that makes it unique.
struct Entity {
    number: String,
    authority: String,
    /// Segment and field it was read from.
    from: ([u8; 3], usize),
}

/// Finds the identity of an order or a document.
///
/// Filler order number: OBR-3, ORC-3, TXA-15. Without one: the document's number (TXA-12; for an
/// addendum or a replacement the parent's, TXA-13), then the placer's (OBR-2, ORC-2, TXA-14). MSH-10
/// is never used: real senders repeat it across patients. A source profile may name another field,
/// which then goes before all of these.
pub(super) fn of(
    header: &Header<'_>,
    group: Option<&Group<'_>>,
    txa: Option<&Fields<'_>>,
) -> Option<Identity> {
    let obr = group.and_then(|group| group.obr.as_ref());
    let orc = group.and_then(|group| group.orc.as_ref());
    let entity = |segment: Option<&Fields<'_>>, field| segment.and_then(|s| read(s, field));
    let named = header.profile.and_then(|profile| profile.accession.as_ref()).and_then(|path| {
        let segment = match path.segment_name() {
            "OBR" => obr,
            "ORC" => orc,
            "TXA" => txa,
            _ => group.and_then(|group| group.local.as_ref()),
        };
        read_path(segment?, path)
    });
    let unnamed =
        named.is_none() && header.profile.is_some_and(|profile| profile.accession.is_some());
    let filler =
        named.or_else(|| entity(obr, 3)).or_else(|| entity(orc, 3)).or_else(|| entity(txa, 15));
    let mut warnings = Warnings::new();
    if unnamed {
        note(&mut warnings, Warning::FillerNumberMissing);
    }
    let found = filler.or_else(|| {
        note(&mut warnings, Warning::FillerNumberMissing);
        let parent = matches!(&*header.trigger, "T05" | "T06" | "T09" | "T10")
            .then(|| entity(txa, 13))
            .flatten();
        parent
            .or_else(|| entity(txa, 12))
            .or_else(|| entity(obr, 2))
            .or_else(|| entity(orc, 2))
            .or_else(|| entity(txa, 14))
    })?;
    let own = header.profile.and_then(|profile| profile.authority.as_deref());
    let (authority, authority_from) = if !found.authority.is_empty() {
        (found.authority, None)
    } else if let Some(own) = own {
        (own.to_owned(), Some("the profile"))
    } else {
        note(&mut warnings, Warning::AuthorityMissing);
        let facility = header.msh.value(4, 1);
        if facility.is_empty() {
            (header.msh.value(3, 1).into_owned(), Some("MSH-3"))
        } else {
            (facility.into_owned(), Some("MSH-4"))
        }
    };
    let fields = if header.traced {
        let (segment, field) = found.from;
        let number_from = format!("{}-{field}", String::from_utf8_lossy(&segment));
        let authority_from = authority_from.map_or_else(|| number_from.clone(), ToOwned::to_owned);
        vec![FieldUse::new("number", number_from), FieldUse::new("authority", authority_from)]
    } else {
        Vec::new()
    };
    Some(Identity {
        key: ReportKey::new(&authority, &found.number),
        accession_number: Phi::new(found.number),
        warnings,
        fields,
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
    let from = (segment.name(), field);
    Some(Entity { number: number.into_owned(), authority: authority.into_owned(), from })
}

/// Reads the field that a profile names. Another component than the first is a plain text.
fn read_path(segment: &Fields<'_>, path: &FieldPath) -> Option<Entity> {
    if path.component == 1 {
        return read(segment, path.field);
    }
    let number = segment.value(path.field, path.component).into_owned();
    let from = (path.segment, path.field);
    (!number.is_empty()).then(|| Entity { number, authority: String::new(), from })
}
