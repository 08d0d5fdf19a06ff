//! What is fed, and what must become of it.

use radstream::demo::generator::message;

use crate::checker::{self, DemoFeed, Expected};
use crate::support::records::NewRecord;

/// Messages `0..messages` of the made-up hospital, some of them replaced by poison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feed {
    pub seed: u64,
    pub messages: u64,
    /// Of a hundred messages, how many are poison of one of the twelve kinds.
    pub poison_percent: u64,
    /// Of a hundred messages, how many are as large as brokers take them by default.
    pub large_percent: u64,
    /// All of them in the first partition.
    pub hot: bool,
}

/// Bytes of a large message. The brokers' default limit is 1,048,588, headers and frames included.
const LARGE: usize = 1_000_000;

impl Feed {
    pub fn new(seed: u64, messages: u64) -> Self {
        Self { seed, messages, poison_percent: 0, large_percent: 0, hot: false }
    }

    /// A message's place among a hundred.
    fn drawn(&self, number: u64) -> u64 {
        // A multiplier that is prime to a hundred spreads them.
        (number.wrapping_mul(37).wrapping_add(self.seed)) % 100
    }

    /// The poison that stands in a message's place, if any.
    pub fn poison(&self, number: u64) -> Option<Poison> {
        (self.drawn(number) < self.poison_percent)
            .then(|| Poison::ALL[(number / 100) as usize % Poison::ALL.len()])
    }

    /// A message of HL7 v2 that is to be large gets a segment of the sender's own, as some put images there.
    fn filled(&self, number: u64, mut message: Vec<u8>) -> Vec<u8> {
        if self.drawn(number) < self.large_percent && message.starts_with(b"MSH|") {
            if message.last() != Some(&b'\r') {
                message.push(b'\r');
            }
            message.extend_from_slice(b"ZIM|1|");
            message.resize(LARGE, b'A');
        }
        message
    }

    /// The records to write.
    pub fn records(&self) -> impl Iterator<Item = NewRecord> + use<> {
        let feed = *self;
        (0..self.messages).map(move |number| {
            let made = message(feed.seed, number);
            let value = feed
                .poison(number)
                .map_or_else(|| feed.filled(number, made.payload), Poison::bytes);
            let partition = feed.hot.then_some(0);
            NewRecord { key: made.key, value: Some(value), partition, ..NewRecord::default() }
                .with_header(<Self as checker::Feed>::NUMBER, number.to_string())
        })
    }

    /// How many findings events and dead letters there must be.
    pub fn totals(&self) -> (usize, usize) {
        use checker::Feed as _;
        (0..self.messages).fold((0, 0), |(events, letters), number| match self.expected(number) {
            Expected::Finding(_) => (events + 1, letters),
            Expected::Letter => (events, letters + 1),
            Expected::Nothing => (events, letters),
        })
    }
}

impl checker::Feed for Feed {
    fn messages(&self) -> u64 {
        self.messages
    }

    fn expected(&self, number: u64) -> Expected {
        match self.poison(number) {
            Some(_) => Expected::Letter,
            None => DemoFeed { seed: self.seed, messages: self.messages }.expected(number),
        }
    }
}

/// A message that cannot become a finding, whatever the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poison {
    /// No bytes.
    Empty,
    /// A line of a log.
    Stray,
    /// HL7 that ends within its header.
    CutHeader,
    /// HL7 whose delimiters repeat.
    Delimiters,
    /// JSON that ends in the middle.
    CutJson,
    /// JSON, but an array.
    JsonArray,
    /// A FHIR report whose status is a number.
    WrongType,
    /// XML that does not end.
    CutXml,
    /// XML with a document type.
    Doctype,
    /// Gzip whose content is damaged.
    Gzip,
    /// An Avro file cut after its magic.
    Avro,
    /// Random bytes.
    Noise,
}

impl Poison {
    pub const ALL: [Self; 12] = [
        Self::Empty,
        Self::Stray,
        Self::CutHeader,
        Self::Delimiters,
        Self::CutJson,
        Self::JsonArray,
        Self::WrongType,
        Self::CutXml,
        Self::Doctype,
        Self::Gzip,
        Self::Avro,
        Self::Noise,
    ];

    /// The message.
    pub fn bytes(self) -> Vec<u8> {
        match self {
            Self::Empty => Vec::new(),
            Self::Stray => b"2026-11-28T06:12:44Z WARN interface engine: connection reset".to_vec(),
            Self::CutHeader => b"MSH|^~".to_vec(),
            Self::Delimiters => b"MSH|||||RIS|HOSP|||20261128||ORU^R01|1|P|2.5\r".to_vec(),
            Self::CutJson => br#"{"resourceType":"DiagnosticReport","status":"fin"#.to_vec(),
            Self::JsonArray => br#"["DiagnosticReport"]"#.to_vec(),
            Self::WrongType => br#"{"resourceType":"DiagnosticReport","status":7}"#.to_vec(),
            Self::CutXml => b"<DiagnosticReport xmlns=\"http://hl7.org/fhir\"><status val".to_vec(),
            Self::Doctype => {
                b"<!DOCTYPE a [<!ENTITY b \"c\">]><DiagnosticReport>&b;</DiagnosticReport>".to_vec()
            }
            Self::Gzip => [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..], &[0xff; 40]].concat(),
            Self::Avro => b"Obj\x01\x04".to_vec(),
            Self::Noise => (0..64u8).map(|n| n.wrapping_mul(151) | 0x80).collect(),
        }
    }
}
