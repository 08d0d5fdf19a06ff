//! What a message says of people outside of its reports' text.

use super::Phi;

/// What the message says an identifier is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KnownKind {
    /// The patient's name, legal, alias or maiden (PID-5, PID-9, `Patient.name`).
    PatientName,
    /// Anybody else's: doctors, technicians, next of kin (PV1-7, OBR-16, OBR-32, NK1-2).
    PersonName,
    /// Record, visit, account, order, accession, security, licence number.
    Number,
    /// Birth, admission, exam: `19450312`, `1945-03-12`, with or without time.
    Date,
    /// Street, city, postal code; components parted by `^`, `,` or line ends.
    Address,
    /// Telephone, fax, e-mail.
    Contact,
    /// Hospital, clinic, practice, assigning facility.
    Facility,
}

impl KnownKind {
    /// All kinds.
    pub const ALL: [Self; 7] = [
        Self::PatientName,
        Self::PersonName,
        Self::Number,
        Self::Date,
        Self::Address,
        Self::Contact,
        Self::Facility,
    ];

    /// Machine name, as in escalations (`patient_name`).
    pub const fn name(self) -> &'static str {
        match self {
            Self::PatientName => "patient_name",
            Self::PersonName => "person_name",
            Self::Number => "number",
            Self::Date => "date",
            Self::Address => "address",
            Self::Contact => "contact",
            Self::Facility => "facility",
        }
    }

    /// The kind of that name. A newer build may know more of them.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// An identifier that the message holds outside of the report's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownIdentifier {
    /// What it is.
    pub kind: KnownKind,
    /// As the message wrote it: `DOE^JANE^Q`, `Doe, Jane`, `Jane Doe`. Of a field with more
    /// components (XCN), only those of the name: a type code is no name.
    pub value: Phi<String>,
}

impl KnownIdentifier {
    /// Most identifiers of one message that are looked for.
    pub const MOST: usize = 512;
    /// Longest value that is looked for, in bytes.
    pub const LONGEST: usize = 1024;

    /// Wraps a value.
    pub fn new(kind: KnownKind, value: impl Into<Phi<String>>) -> Self {
        Self { kind, value: value.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_kinds_round_trip_and_are_distinct() {
        for kind in KnownKind::ALL {
            assert_eq!(KnownKind::from_name(kind.name()), Some(kind));
        }
        assert_eq!(KnownKind::from_name("surname"), None);
    }
}
