//! Sorts the segments of a message into groups: one per order, with its observations and notes.
//!
//! An order group begins at OBR and takes the ORC before it. A new PID ends it, so patients are
//! never mixed. Notes belong to what stands before them.

use super::er7::Message;
use super::fields::Fields;

/// An OBX with the notes that follow it.
pub(super) struct Observation<'m> {
    pub(super) obx: Fields<'m>,
    pub(super) notes: Vec<Fields<'m>>,
}

/// One order of one patient.
#[derive(Default)]
pub(super) struct Group<'m> {
    pub(super) orc: Option<Fields<'m>>,
    pub(super) obr: Option<Fields<'m>>,
    /// In physical order; OBX-1 is not trusted.
    pub(super) observations: Vec<Observation<'m>>,
    /// The site's own segment that holds its accession number, where a profile names one.
    pub(super) local: Option<Fields<'m>>,
    /// Notes directly under the order.
    pub(super) notes: Vec<Fields<'m>>,
    /// Which PID of the message it stands under; 0 when none came before.
    pub(super) patient: usize,
}

/// The groups of a message, and its document header if it is an MDM.
pub(super) struct Body<'m> {
    pub(super) groups: Vec<Group<'m>>,
    pub(super) txa: Option<Fields<'m>>,
    /// Observations after TXA: the content of a document, whatever orders it answers.
    pub(super) content: Group<'m>,
}

/// Where a note belongs.
#[derive(Clone, Copy)]
enum Owner {
    Nobody,
    Order,
    Observation,
}

/// `local` names a segment of the site's own to keep with the order it stands in.
pub(super) fn read<'m>(message: &'m Message<'m>, local: Option<&[u8; 3]>) -> Body<'m> {
    let mut body = Body { groups: Vec::new(), txa: None, content: Group::default() };
    let mut open: Option<Group<'m>> = None;
    let mut orc: Option<Fields<'m>> = None;
    let mut owner = Owner::Nobody;
    let mut patient = 0;
    for segment in message.segments.iter().skip(1) {
        let fields = || message.fields(segment);
        match &segment.name_bytes() {
            b"PID" => {
                body.groups.extend(open.take());
                orc = None;
                patient += 1;
                owner = Owner::Nobody;
            }
            b"PD1" | b"NK1" | b"PV1" | b"PV2" | b"SPM" | b"EVN" => owner = Owner::Nobody,
            b"ORC" => {
                body.groups.extend(open.take());
                orc = Some(fields());
                owner = Owner::Nobody;
            }
            b"OBR" => {
                body.groups.extend(open.take());
                let obr = Some(fields());
                open = Some(Group { orc: orc.take(), obr, patient, ..Group::default() });
                owner = Owner::Order;
            }
            b"TXA" => {
                body.groups.extend(open.take());
                body.txa = Some(fields());
                owner = Owner::Nobody;
            }
            b"OBX" => {
                let observation = Observation { obx: fields(), notes: Vec::new() };
                if body.txa.is_some() {
                    body.content.observations.push(observation);
                } else {
                    // OBX without OBR: an order of which only the ORC, or nothing, was sent.
                    let group = open.get_or_insert_with(|| Group {
                        orc: orc.take(),
                        patient,
                        ..Group::default()
                    });
                    if group.observations.is_empty() {
                        group.observations.reserve(8);
                    }
                    group.observations.push(observation);
                }
                owner = Owner::Observation;
            }
            b"NTE" => {
                let target =
                    if body.txa.is_some() { Some(&mut body.content) } else { open.as_mut() };
                let Some(group) = target else { continue };
                match owner {
                    Owner::Order => group.notes.push(fields()),
                    Owner::Observation => {
                        if let Some(last) = group.observations.last_mut() {
                            last.notes.push(fields());
                        }
                    }
                    Owner::Nobody => {}
                }
            }
            name if Some(name) == local => {
                if let Some(group) = &mut open {
                    group.local.get_or_insert_with(fields);
                }
            }
            _ => {}
        }
    }
    body.groups.extend(open);
    if let Some(orc) = orc {
        // An ORC that no OBR follows still identifies the order of a document.
        body.groups.push(Group { orc: Some(orc), patient, ..Group::default() });
    }
    body
}
