//! Text that is written as the standards say comes out as it went in: every escape, any delimiters,
//! every character set that is read; and any cut of any valid message gives outcomes.

#![allow(clippy::indexing_slicing, reason = "a test may stop there")]

mod intake_support;

use encoding_rs::Encoding;
use intake_support::{Message, outcomes, report};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use radstream::report::Warning;

/// Delimiters: field, component, repetition, escape, subcomponent.
type Delimiters = [char; 5];

const USUAL: Delimiters = ['|', '^', '~', '\\', '&'];

/// Five different signs, none of which the tests use for something else.
fn delimiters() -> impl Strategy<Value = Delimiters> {
    let signs = "|^~\\&!$%*;=?@`}".chars().collect::<Vec<_>>();
    let mixed = prop::sample::subsequence(signs, 5).prop_shuffle();
    prop_oneof![Just(USUAL), mixed.prop_map(|signs| signs.try_into().expect("five signs")),]
}

/// A piece of text and how HL7 v2 writes it.
#[derive(Clone, Debug)]
enum Piece {
    Plain(String),
    /// One of the five delimiters, by its number.
    Delimiter(usize),
    Truncation,
    /// A command of formatted text, and what it stands for.
    Command(&'static str, &'static str),
    /// Characters as the bytes of their UTF-8.
    Bytes(String),
}

fn piece() -> impl Strategy<Value = Piece> {
    const COMMANDS: [(&str, &str); 16] = [
        ("H", ""),
        ("N", ""),
        (".br", "\n"),
        (".ce", "\n"),
        (".sp", "\n"),
        (".sp1", "\n"),
        (".sp+3", "\n\n\n"),
        (".sk", " "),
        (".sk4", "    "),
        (".in+2", ""),
        (".in-2", ""),
        (".ti4", ""),
        (".fi", ""),
        (".nf", ""),
        ("X0A", "\n"),
        ("X0D0A", "\n"),
    ];
    prop_oneof![
        4 => "[A-Za-z0-9 .,:()/é名-]{1,12}".prop_map(Piece::Plain),
        3 => (0_usize..5).prop_map(Piece::Delimiter),
        1 => Just(Piece::Truncation),
        3 => select(&COMMANDS[..]).prop_map(|(name, text)| Piece::Command(name, text)),
        1 => "[a-zäß中]{1,3}".prop_map(Piece::Bytes),
    ]
}

fn text_of(pieces: &[Piece], signs: Delimiters) -> String {
    let text = |piece: &Piece| match piece {
        Piece::Plain(text) | Piece::Bytes(text) => text.clone(),
        Piece::Delimiter(number) => signs[*number].to_string(),
        Piece::Truncation => "#".to_owned(),
        Piece::Command(_, text) => (*text).to_owned(),
    };
    pieces.iter().map(text).collect()
}

fn written(pieces: &[Piece], signs: Delimiters) -> String {
    let escape = signs[3];
    let write = |piece: &Piece| match piece {
        Piece::Plain(text) => text.clone(),
        Piece::Delimiter(number) => {
            format!("{escape}{}{escape}", ["F", "S", "R", "E", "T"][*number])
        }
        Piece::Truncation => format!("{escape}P{escape}"),
        Piece::Command(name, _) => format!("{escape}{name}{escape}"),
        Piece::Bytes(text) => {
            let hex: String = text.bytes().map(|byte| format!("{byte:02X}")).collect();
            format!("{escape}X{hex}{escape}")
        }
    };
    pieces.iter().map(write).collect()
}

/// A message with these delimiters and one line of text.
fn message(signs: Delimiters, charset: &str, value: &str) -> String {
    let frame =
        Message::with_obx(&["OBX|1|FT|71046&IMP^XR CHEST^C4||VALUE||||||F"]).charset(charset);
    let number = |c: char| USUAL.iter().position(|usual| *usual == c);
    let changed: String =
        frame.text().chars().map(|c| number(c).map_or(c, |number| signs[number])).collect();
    changed.replace("VALUE", value)
}

/// The text of the only report, and whether it was told that the character set was guessed.
fn read(bytes: &[u8]) -> (String, bool) {
    let report = report(bytes);
    let blocks: Vec<&str> = report.blocks.iter().map(|b| b.text.expose().as_str()).collect();
    (blocks.join("\n"), report.warnings.contains(&Warning::CharsetGuessed))
}

/// Names of HL7 table 0211 (and of WHATWG, which senders write as well) with what they stand for.
const CHARSETS: [(&str, &str); 27] = [
    ("8859/1", "windows-1252"),
    ("8859/2", "iso-8859-2"),
    ("8859/3", "iso-8859-3"),
    ("8859/4", "iso-8859-4"),
    ("8859/5", "iso-8859-5"),
    ("8859/6", "iso-8859-6"),
    ("8859/7", "iso-8859-7"),
    ("8859/8", "iso-8859-8"),
    ("8859/9", "windows-1254"),
    ("8859/15", "iso-8859-15"),
    ("ISO 8859-10", "iso-8859-10"),
    ("iso-8859-13", "iso-8859-13"),
    ("iso-8859-14", "iso-8859-14"),
    ("windows-1250", "windows-1250"),
    ("windows-1251", "windows-1251"),
    ("windows-1252", "windows-1252"),
    ("windows-1253", "windows-1253"),
    ("koi8-r", "koi8-r"),
    ("macintosh", "macintosh"),
    ("UNICODE UTF-8", "utf-8"),
    ("UNICODE", "utf-8"),
    ("GB 18030-2000", "gb18030"),
    ("BIG-5", "big5"),
    ("KS X 1001", "euc-kr"),
    ("ISO IR14", "shift_jis"),
    ("~ISO IR87", "iso-2022-jp"),
    ("~ISO IR159", "iso-2022-jp"),
];

/// Letters that a set has and ASCII has not.
fn letters(encoding: &'static Encoding) -> Vec<char> {
    let scripts = ['\u{a1}'..='\u{17f}', '\u{386}'..='\u{3ce}', '\u{401}'..='\u{45f}']
        .into_iter()
        .chain(['\u{5d0}'..='\u{5ea}', '\u{621}'..='\u{64a}', '\u{3042}'..='\u{30f6}'])
        .chain(['\u{4e00}'..='\u{4f00}', '\u{ac00}'..='\u{ac80}', '\u{2013}'..='\u{2022}']);
    let has = |c: &char| {
        let text = c.to_string();
        let (bytes, _, unmappable) = encoding.encode(&text);
        let back = encoding.decode_without_bom_handling_and_without_replacement(&bytes);
        !unmappable && back.is_some_and(|back| back == text)
    };
    scripts.flatten().filter(|c| c.is_alphabetic()).filter(has).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn text_with_every_escape_and_any_delimiters_comes_back(
        signs in delimiters(),
        pieces in prop::collection::vec(piece(), 1..14),
    ) {
        let text = text_of(&pieces, signs);
        prop_assume!(!text.trim().is_empty());
        // The escape sign before a command is read as a sender that escapes twice.
        prop_assume!(!text.contains(&format!("{}.", signs[3])));
        let payload = message(signs, "UNICODE UTF-8", &format!("Said: {} end", written(&pieces, signs)));
        let report = report(payload.as_bytes());
        let [block] = &report.blocks[..] else { panic!("{} blocks", report.blocks.len()) };
        prop_assert_eq!(block.text.expose(), &format!("Said: {text} end"));
        prop_assert!(!report.warnings.contains(&Warning::UnknownEscape));
    }

    #[test]
    fn any_cut_of_any_valid_message_gives_outcomes(
        signs in delimiters(),
        charset in select(&CHARSETS[..]),
        lines in prop::collection::vec(prop::collection::vec(piece(), 0..6), 1..6),
        ending in select(&["\r", "\n", "\r\n"][..]),
        framed in any::<bool>(),
        cuts in prop::collection::vec(any::<Index>(), 24),
    ) {
        let value: Vec<String> = lines.iter().map(|line| written(line, signs)).collect();
        let separator = format!("{0}{0}{0}{0}{0}{0}F\rOBX{0}2{0}FT{0}{0}{0}", signs[0]);
        let text = message(signs, charset.0, &value.join(&separator)).replace('\r', ending);
        let encoding = Encoding::for_label(charset.1.as_bytes()).expect("a known set");
        let (encoded, _, _) = encoding.encode(&text);
        let payload = if framed { [b"\x0b", &*encoded, b"\x1c\r"].concat() } else { encoded.into_owned() };
        for cut in cuts {
            let at = cut.index(payload.len() + 1);
            prop_assert!(!outcomes(&payload[..at]).is_empty());
            prop_assert!(!outcomes(&payload[at..]).is_empty());
        }
    }

    #[test]
    fn text_of_every_character_set_comes_back(
        charset in select(&CHARSETS[..]),
        places in prop::collection::vec(any::<Index>(), 1..40),
        escaped in any::<bool>(),
    ) {
        let (name, label) = charset;
        let encoding = Encoding::for_label(label.as_bytes()).expect("a known set");
        let letters = letters(encoding);
        let words: String = places.iter().enumerate().fold(String::new(), |mut text, (place, index)| {
            text.push(*index.get(&letters));
            if place % 5 == 4 { text.push(' ') }
            text
        });
        let text = format!("Said: {words}| end.");
        let value = if escaped {
            let (bytes, _, _) = encoding.encode(&words);
            let hex: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
            format!("Said: \\X{hex}\\\\F\\ end.")
        } else {
            format!("Said: {words}\\F\\ end.")
        };
        let (payload, _, unmappable) = {
            let text = message(USUAL, name, &value);
            let (bytes, encoding, unmappable) = encoding.encode(&text);
            (bytes.into_owned(), encoding, unmappable)
        };
        prop_assert!(!unmappable);
        // Bytes that are UTF-8 as well are read as UTF-8, and that is told.
        let ambiguous = label != "utf-8" && label != "iso-2022-jp" && std::str::from_utf8(&payload).is_ok();
        let (read, guessed) = read(&payload);
        prop_assert!(read == text || (guessed && ambiguous), "{name}: {read:?} of {text:?}");
        if !ambiguous {
            prop_assert!(!guessed, "{name}: a declared set that fits is no guess");
        }
    }
}

#[test]
fn every_single_byte_of_a_declared_set_comes_back_or_the_message_is_refused() {
    for (name, label) in CHARSETS {
        let encoding = Encoding::for_label(label.as_bytes()).expect("a known set");
        if !encoding.is_single_byte() {
            continue;
        }
        for byte in 0xa0..=0xff_u8 {
            let mut payload = message(USUAL, name, "Said: VALUE end.").into_bytes();
            let at = payload.windows(5).position(|part| part == b"VALUE").expect("a place");
            payload.splice(at..at + 5, [byte]);
            match encoding.decode_without_bom_handling_and_without_replacement(&[byte]) {
                Some(text) => {
                    assert_eq!(read(&payload), (format!("Said: {text} end."), false), "{name}");
                }
                None => {
                    assert_eq!(outcomes(&payload), ["dead_letter(charset)"], "{name} {byte:#x}")
                }
            }
        }
    }
}
