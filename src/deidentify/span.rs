//! Places in a text that identify somebody, and their union.

use serde::Serialize;

/// What kind of identifier was replaced, as counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Patient, relative, doctor, anybody else with a name.
    Person,
    /// Record, visit, account, order, accession, security number, or any long number.
    Number,
    /// Day or month of a calendar, year of a birth. Another year alone stays.
    Date,
    /// Time of day.
    Time,
    /// Age over 89.
    Age,
    /// Street, city, postal code.
    Address,
    /// Telephone, fax, pager.
    Phone,
    /// E-mail address.
    Email,
    /// URL, host name, IP address.
    Link,
    /// Hospital, clinic, practice.
    Facility,
    /// Serial, model or lot number of a device; vehicle.
    Device,
}

impl Kind {
    /// All kinds, in the order of [`Counts`](super::Counts).
    pub const ALL: [Self; 11] = [
        Self::Person,
        Self::Number,
        Self::Date,
        Self::Time,
        Self::Age,
        Self::Address,
        Self::Phone,
        Self::Email,
        Self::Link,
        Self::Facility,
        Self::Device,
    ];

    /// Machine name (`person`), as metrics label it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Number => "number",
            Self::Date => "date",
            Self::Time => "time",
            Self::Age => "age",
            Self::Address => "address",
            Self::Phone => "phone",
            Self::Email => "email",
            Self::Link => "link",
            Self::Facility => "facility",
            Self::Device => "device",
        }
    }

    /// First word of the surrogate (`Person` of `Person A`).
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Person => "Person",
            Self::Number => "Number",
            Self::Date => "Date",
            Self::Time => "Time",
            Self::Age => "over 89",
            Self::Address => "Address",
            Self::Phone => "Phone",
            Self::Email => "Email",
            Self::Link => "Link",
            Self::Facility => "Facility",
            Self::Device => "Device",
        }
    }
}

/// Bytes `start..end` of a text identify somebody.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) kind: Kind,
    /// Equal keys are the same person, day or number, and get the same surrogate. PHI.
    pub(super) key: String,
}

/// Joins spans that overlap. Of two, the one found first says what the union is: known identifiers
/// are found before patterns, and precise patterns before loose ones.
pub(super) fn union(found: Vec<Span>) -> Vec<Span> {
    let mut ranked: Vec<(usize, Span)> = found.into_iter().enumerate().collect();
    ranked.sort_by_key(|(rank, span)| (span.start, *rank));
    let mut joined: Vec<(usize, Span)> = Vec::with_capacity(ranked.len());
    for (rank, span) in ranked {
        match joined.last_mut() {
            Some((best, last)) if span.start < last.end => {
                last.end = last.end.max(span.end);
                if rank < *best {
                    *best = rank;
                    last.kind = span.kind;
                    last.key = span.key;
                }
            }
            _ => joined.push((rank, span)),
        }
    }
    joined.into_iter().map(|(_, span)| span).collect()
}
