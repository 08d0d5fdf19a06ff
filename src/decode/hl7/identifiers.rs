//! Whom an HL7 v2 message names: the fields of its segments that hold people, places and numbers.
//!
//! Components are cut here and not by [`super::fields`], which reads the first line of the first
//! repetition of what is no longer than a code: here every part counts.

use super::er7::Message;
use super::escape::Escapes;
use super::fields::Fields;
use crate::decode::identifiers::Found;
use crate::report::KnownKind::{Address, Contact, Date, Facility, Number, PatientName, PersonName};
use crate::report::{KnownIdentifier, KnownKind};

/// How a field is built.
#[derive(Clone, Copy)]
enum Shape {
    /// XPN: family, given, middle name.
    Name(KnownKind),
    /// XCN, CN, PPN: number, then as XPN. NDL: the same in the first component's parts.
    Person,
    /// CX, EI, EIP, ST: a number in each of so many first components.
    Numbers(usize),
    /// A field whose use each site chooses: number, code or words.
    Free,
    /// TS, DTM, DT.
    Day,
    /// XAD.
    Place,
    /// XTN.
    Phone,
    /// XON: name, and numbers.
    Organisation,
    /// HD, IS.
    Site,
    /// PL: the facility in it.
    Location,
    /// ST: words of a place.
    Words(KnownKind),
}
use Shape::{Day, Free, Location, Name, Numbers, Organisation, Person, Phone, Place, Site, Words};

/// A number; with CX, the facility that gave it is in component 6.
const ID: Shape = Numbers(1);

/// Fields of a segment by their numbers.
type Segment = (&'static [u8; 3], &'static [(usize, Shape)]);

/// Fields by segment. The order is that of the list that is made.
const FIELDS: [Segment; 21] = [
    (
        b"PID",
        &[
            (2, ID),
            (3, ID),
            (4, ID),
            (5, Name(PatientName)),
            (6, Name(PersonName)),
            (7, Day),
            (9, Name(PatientName)),
            (11, Place),
            (12, Words(Address)),
            (13, Phone),
            (14, Phone),
            (18, ID),
            (19, ID),
            (20, ID),
            (21, ID),
            (23, Words(Address)),
            (29, Day),
            (40, Phone),
        ],
    ),
    (b"PD1", &[(3, Organisation), (4, Person)]),
    (b"MRG", &[(1, ID), (2, ID), (3, ID), (4, ID), (5, ID), (6, ID), (7, Name(PatientName))]),
    (
        b"NK1",
        &[
            (2, Name(PersonName)),
            (4, Place),
            (5, Phone),
            (6, Phone),
            (12, ID),
            (13, Organisation),
            (16, Day),
            (26, Name(PersonName)),
            (30, Name(PersonName)),
            (31, Phone),
            (32, Place),
            (33, ID),
            (37, ID),
            (40, Phone),
            (41, Phone),
        ],
    ),
    (
        b"PV1",
        &[
            (3, Location),
            (5, ID),
            (6, Location),
            (7, Person),
            (8, Person),
            (9, Person),
            (11, Location),
            (17, Person),
            (19, ID),
            (39, Site),
            (42, Location),
            (43, Location),
            (44, Day),
            (45, Day),
            (50, ID),
            (52, Person),
        ],
    ),
    (b"PV2", &[(8, Day), (9, Day), (13, Person), (23, Organisation)]),
    (
        b"ORC",
        &[
            (2, ID),
            (3, ID),
            (4, ID),
            (8, Numbers(2)),
            (9, Day),
            (10, Person),
            (11, Person),
            (12, Person),
            (13, Location),
            (14, Phone),
            (15, Day),
            (19, Person),
            (21, Organisation),
            (22, Place),
            (23, Phone),
            (24, Place),
            (33, ID),
        ],
    ),
    (
        b"OBR",
        &[
            (2, ID),
            (3, ID),
            (6, Day),
            (7, Day),
            (8, Day),
            (10, Person),
            (14, Day),
            (16, Person),
            (17, Phone),
            (18, Free),
            (19, Free),
            (20, Free),
            (21, Free),
            (22, Day),
            (28, Person),
            (29, Numbers(2)),
            (32, Person),
            (33, Person),
            (34, Person),
            (35, Person),
            (36, Day),
            (53, ID),
        ],
    ),
    (
        b"TXA",
        &[
            (4, Day),
            (5, Person),
            (6, Day),
            (7, Day),
            (8, Day),
            (9, Person),
            (10, Person),
            (11, Person),
            (12, ID),
            (13, ID),
            (14, ID),
            (15, ID),
            (16, ID),
            (22, Person),
            (23, Person),
        ],
    ),
    (b"OBX", &[(14, Day), (16, Person), (19, Day), (23, Organisation), (24, Place), (25, Person)]),
    (b"MSH", &[(4, Site), (6, Site), (7, Day)]),
    (b"EVN", &[(2, Day), (5, Person), (6, Day), (7, Site)]),
    (b"ROL", &[(4, Person), (11, Place), (12, Phone)]),
    (b"PRT", &[(5, Person), (8, Organisation), (9, Location), (14, Place), (15, Phone)]),
    (b"SPM", &[(2, Numbers(2)), (17, Day), (18, Day), (30, ID)]),
    (b"IPC", &[(1, ID), (2, ID), (3, ID), (4, ID)]),
    (b"DG1", &[(5, Day), (16, Person)]),
    (b"FT1", &[(4, Day), (20, Person), (21, Person)]),
    (
        b"GT1",
        &[
            (2, ID),
            (3, Name(PersonName)),
            (4, Name(PersonName)),
            (5, Place),
            (6, Phone),
            (7, Phone),
            (8, Day),
            (12, ID),
            (16, Name(PersonName)),
            (17, Place),
            (18, Phone),
            (19, ID),
        ],
    ),
    (
        b"IN1",
        &[
            (6, Name(PersonName)),
            (7, Phone),
            (8, ID),
            (16, Name(PersonName)),
            (18, Day),
            (19, Place),
            (36, ID),
            (49, ID),
        ],
    ),
    (b"IN2", &[(2, ID), (6, ID), (8, ID), (26, ID), (61, ID), (63, Phone)]),
];

/// Everything that a message says of people outside of its text.
pub(super) fn of(message: &Message<'_>) -> Vec<KnownIdentifier> {
    let mut reader = Reader { escapes: &message.escapes, found: Found::default() };
    // By segment in the order of the table: the patient comes first, whatever the message's order.
    for (name, fields) in FIELDS {
        for segment in message.segments.iter().filter(|s| s.name_bytes() == *name) {
            if reader.found.is_over() {
                break;
            }
            reader.segment(&message.fields(segment), fields);
        }
    }
    reader.found.into_list()
}

struct Reader<'m> {
    escapes: &'m Escapes,
    found: Found,
}

impl<'m> Reader<'m> {
    fn segment(&mut self, segment: &Fields<'m>, fields: &[(usize, Shape)]) {
        for (field, shape) in fields {
            let raw = segment.raw(*field);
            if raw.is_empty() {
                continue;
            }
            for repetition in raw.split(char::from(self.escapes.separators.repetition)) {
                self.value(*shape, repetition);
            }
        }
    }

    fn value(&mut self, shape: Shape, raw: &'m str) {
        let parts: Vec<&str> = raw.split(char::from(self.escapes.separators.component)).collect();
        // A component, from 1; empty when absent.
        let part = |number: usize| parts.get(number - 1).copied().unwrap_or_default();
        match shape {
            Name(kind) => self.name(kind, [part(1), part(2), part(3)]),
            Person => self.person(&parts),
            Numbers(count) => {
                for number in parts.iter().take(count) {
                    self.add(Number, self.first(number));
                }
                self.add(Facility, self.first(part(6)));
            }
            Free => {
                for value in &parts {
                    let value = self.first(value);
                    if is_number(&value) {
                        self.add(Number, value);
                    }
                }
            }
            Day => {
                let day = self.first(part(1));
                if day.contains(|c: char| c.is_ascii_digit()) {
                    self.add(Date, day);
                }
            }
            Place => self.address(&parts),
            Phone => self.phone(&parts),
            Organisation => {
                self.add(Facility, self.first(part(1)));
                self.add(Number, self.first(part(3)));
                self.add(Number, self.first(part(10)));
            }
            Site => self.add(Facility, self.first(part(1))),
            Location => self.add(Facility, self.first(part(4))),
            Words(kind) => {
                let words: Vec<String> = parts.iter().map(|part| self.whole(part)).collect();
                self.add(kind, words.join("^"));
            }
        }
    }

    /// Names part for part; a family name may have parts of its own.
    fn name(&mut self, kind: KnownKind, parts: [&str; 3]) {
        let name = parts.map(|part| self.whole(part)).join("^");
        self.add(kind, name);
    }

    fn person(&mut self, parts: &[&str]) {
        let part = |number: usize| parts.get(number - 1).copied().unwrap_or_default();
        let has_letters = |raw: &str| raw.contains(char::is_alphabetic);
        let subs: Vec<&str> =
            part(1).split(char::from(self.escapes.separators.subcomponent)).collect();
        let sub = |number: usize| subs.get(number - 1).copied().unwrap_or_default();
        if has_letters(sub(2)) || has_letters(sub(3)) {
            // NDL: number, family, given and middle name; then times and places.
            self.add(Number, self.first(sub(1)));
            self.name(PersonName, [sub(2), sub(3), sub(4)]);
            self.add(Facility, self.first(part(7)));
        } else if has_letters(part(2)) || has_letters(part(3)) {
            self.add(Number, self.first(part(1)));
            self.name(PersonName, [part(2), part(3), part(4)]);
        } else {
            // A number, or a name where a number belongs.
            let alone = self.whole(part(1));
            let numbered = alone.contains(|c: char| c.is_ascii_digit());
            self.add(if numbered { Number } else { PersonName }, alone);
        }
    }

    /// Street, other designation, city, county or state, postal code, and the smaller places.
    fn address(&mut self, parts: &[&str]) {
        let wanted = [1, 2, 3, 4, 5, 8, 9];
        let wanted = wanted.map(|number| parts.get(number - 1).copied().unwrap_or_default());
        let mut lines: Vec<String> = Vec::new();
        for line in wanted {
            // A street may have parts: the whole line, its street, its number.
            for line in line.split(char::from(self.escapes.separators.subcomponent)) {
                let line = self.decoded(line);
                if !line.is_empty() && !lines.contains(&line) {
                    lines.push(line);
                }
            }
        }
        self.add(Address, lines.join("^"));
    }

    fn phone(&mut self, parts: &[&str]) {
        let part = |number: usize| parts.get(number - 1).copied().unwrap_or_default();
        let reaches = |value: &str| {
            value.contains('@') || value.chars().filter(char::is_ascii_digit).count() >= 4
        };
        for number in [1, 4, 9, 12] {
            let value = self.first(part(number));
            if reaches(&value) {
                self.add(Contact, value);
            }
        }
        let number = [self.first(part(6)), self.first(part(7))].concat();
        if reaches(&number) {
            self.add(Contact, number);
        }
    }

    fn add(&mut self, kind: KnownKind, value: impl AsRef<str>) {
        self.found.add(kind, value.as_ref());
    }

    /// The first part of a component.
    fn first(&self, raw: &str) -> String {
        let separator = char::from(self.escapes.separators.subcomponent);
        self.decoded(raw.split(separator).next().unwrap_or_default())
    }

    /// All parts of a component, each once, as words.
    fn whole(&self, raw: &str) -> String {
        let mut words: Vec<String> = Vec::new();
        for part in raw.split(char::from(self.escapes.separators.subcomponent)) {
            let part = self.decoded(part);
            if !part.is_empty() && !words.contains(&part) {
                words.push(part);
            }
        }
        words.join(" ")
    }

    /// Unescaped and trimmed; HL7's null is nothing.
    fn decoded(&self, raw: &str) -> String {
        let raw = raw.trim();
        if raw == "\"\"" {
            return String::new();
        }
        self.escapes.decode(raw).text.trim().to_owned()
    }
}

/// Whether a value is a number and no words: `XR24-001`, `A 12345`, not `CHEST 2 VIEWS`.
fn is_number(value: &str) -> bool {
    let digits = value.chars().filter(char::is_ascii_digit).count();
    digits >= 4 || (digits > 0 && !value.contains(char::is_whitespace))
}
