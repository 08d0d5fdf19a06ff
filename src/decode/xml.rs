//! HL7 v2 in XML (`urn:hl7-org:v2xml`, and what integration engines make of it) → the same message in
//! ER7, which is then read like any other.
//!
//! Groups are transparent: segments are taken wherever they stand. `OBX.5` is field 5 of OBX, repeated
//! elements are repetitions, `CX.4` a component, `HD.1` a subcomponent: only the number after the last
//! dot counts, so that `PID.3.4.1` is understood as well. Document type definitions are refused.

use std::fmt::Write as _;

use roxmltree::{Document, Node, ParsingOptions};

use super::charset;
use super::{Rejection, RejectionClass};

/// Most XML nodes of a message: each takes about 70 bytes of memory.
const MOST_NODES: u32 = 1_000_000;
/// Highest number of a field, and of a component or subcomponent, that is read. The standard's
/// highest are 113 and 23; a hostile one would be written out as so many separators.
const HIGHEST_FIELD: usize = 250;
const HIGHEST_PART: usize = 40;
/// Where the root element must begin.
const PROLOG: usize = 4096;

/// Whether the root element is that of an HL7 v2 message: `ORU_R01`, `MDM_T02`, `HL7Message`, or any
/// in the namespace of v2.xml.
pub(super) fn is_hl7(bytes: &[u8]) -> bool {
    let head = bytes.get(..bytes.len().min(PROLOG)).unwrap_or_default();
    let head = String::from_utf8_lossy(head);
    let mut rest = head.trim_start();
    // Declaration, comments, processing instructions.
    while rest.starts_with("<?") || rest.starts_with("<!--") {
        let end = if rest.starts_with("<?") { "?>" } else { "-->" };
        let Some((_, after)) = rest.split_once(end) else { return false };
        rest = after.trim_start();
    }
    let Some(tag) = rest.strip_prefix('<').and_then(|r| r.split_once('>')).map(|(tag, _)| tag)
    else {
        return false;
    };
    let name = tag.split([' ', '\t', '\r', '\n', '/']).next().unwrap_or_default();
    let local = name.rsplit(':').next().unwrap_or_default();
    let structure = |name: &str| {
        name.split_once('_').is_some_and(|(kind, event)| {
            let upper = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit();
            kind.len() == 3 && event.len() == 3 && kind.chars().chain(event.chars()).all(upper)
        })
    };
    structure(local) || local == "HL7Message" || tag.contains("urn:hl7-org:v2xml")
}

/// Rewrites a message as ER7 in UTF-8.
///
/// # Errors
/// Not well-formed, too large, or without MSH.
pub(super) fn to_er7(bytes: &[u8]) -> Result<String, Rejection> {
    let refused = |class| Rejection::new(class, "payload");
    let declared = declared_encoding(bytes);
    let text = charset::decode(bytes, &declared, b'~', Some("UTF-8"))
        .ok_or_else(|| refused(RejectionClass::Charset))?;
    let options = ParsingOptions { nodes_limit: MOST_NODES, ..ParsingOptions::default() };
    let document = Document::parse_with_options(&text.text, options).map_err(|error| {
        refused(match error {
            roxmltree::Error::NodesLimitReached => RejectionClass::Oversize,
            roxmltree::Error::UnclosedRootNode | roxmltree::Error::UnexpectedEndOfStream => {
                RejectionClass::Truncated
            }
            _ => RejectionClass::Syntax,
        })
    })?;
    let mut er7 = String::with_capacity(text.text.len());
    for node in document.descendants().filter(Node::is_element) {
        let name = node.tag_name().name();
        if is_segment_name(name) && is_segment(node, name) {
            segment(node, name, &mut er7)?;
        }
    }
    if er7.starts_with("MSH|") { Ok(er7) } else { Err(refused(RejectionClass::UnknownFormat)) }
}

/// `encoding` of the XML declaration, empty when not given.
fn declared_encoding(bytes: &[u8]) -> String {
    let head = bytes.get(..bytes.len().min(256)).unwrap_or_default();
    let head = String::from_utf8_lossy(head);
    let declaration = head.split("?>").next().unwrap_or_default();
    let after = declaration.split_once("encoding").map_or("", |(_, after)| after);
    after.split(['"', '\'']).nth(1).unwrap_or_default().to_owned()
}

fn is_segment_name(name: &str) -> bool {
    name.len() == 3
        && name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
}

/// Whether its children are its fields: `OBX.1` in `OBX`.
fn is_segment(node: Node<'_, '_>, name: &str) -> bool {
    let fields = |child: Node<'_, '_>| {
        child.tag_name().name().strip_prefix(name).is_some_and(|rest| rest.starts_with('.'))
    };
    node.children().filter(Node::is_element).all(fields)
}

fn segment(node: Node<'_, '_>, name: &str, er7: &mut String) -> Result<(), Rejection> {
    if !er7.is_empty() {
        er7.push('\r');
    }
    er7.push_str(name);
    let header = name == "MSH";
    // MSH-1 and MSH-2 are the separators, and we write our own.
    let mut at = if header {
        er7.push_str("|^~\\&");
        2
    } else {
        0
    };
    let mut charset_written = !header;
    for field in node.children().filter(Node::is_element) {
        let number = number_of(field)
            .filter(|n| *n <= HIGHEST_FIELD)
            .ok_or_else(|| Rejection::new(RejectionClass::Syntax, name))?;
        if header && number <= 2 {
            continue;
        }
        if header && !charset_written && number >= 18 {
            advance(&mut at, 18, '|', er7);
            er7.push_str("UNICODE UTF-8");
            charset_written = true;
        }
        if header && number == 18 {
            continue;
        }
        if number == at {
            er7.push('~');
        } else if number > at {
            advance(&mut at, number, '|', er7);
        } else {
            // Out of order: there is no place for it any more.
            return Err(Rejection::new(RejectionClass::Syntax, name));
        }
        parts(field, '^', er7)?;
    }
    if !charset_written {
        advance(&mut at, 18, '|', er7);
        er7.push_str("UNICODE UTF-8");
    }
    Ok(())
}

fn advance(at: &mut usize, to: usize, separator: char, er7: &mut String) {
    er7.extend(std::iter::repeat_n(separator, to.saturating_sub(*at)));
    *at = to;
}

/// The parts of a field or component, or its text when it has none.
fn parts(node: Node<'_, '_>, separator: char, er7: &mut String) -> Result<(), Rejection> {
    let structured = |child: &Node<'_, '_>| child.is_element() && !is_escape(*child);
    if !node.children().any(|child| structured(&child)) || separator == '\0' {
        text(node, er7);
        return Ok(());
    }
    let below = if separator == '^' { '&' } else { '\0' };
    let mut at = 1;
    for part in node.children().filter(structured) {
        let number = number_of(part).filter(|n| (1..=HIGHEST_PART).contains(n) && *n >= at);
        let Some(number) = number else {
            return Err(Rejection::new(RejectionClass::Syntax, "payload"));
        };
        advance(&mut at, number, separator, er7);
        parts(part, below, er7)?;
    }
    Ok(())
}

/// `<escape V=".br"/>` stands for an escape sequence.
fn is_escape(node: Node<'_, '_>) -> bool {
    node.tag_name().name() == "escape" && node.has_attribute("V")
}

/// Text with what would separate escaped.
fn text(node: Node<'_, '_>, er7: &mut String) {
    let start = er7.len();
    for child in node.descendants() {
        if child.is_text() {
            for c in child.text().unwrap_or_default().chars() {
                match c {
                    '|' => er7.push_str("\\F\\"),
                    '^' => er7.push_str("\\S\\"),
                    '&' => er7.push_str("\\T\\"),
                    '~' => er7.push_str("\\R\\"),
                    '\\' => er7.push_str("\\E\\"),
                    // The indentation of the element, or a line break in its text.
                    '\r' | '\n' | '\t' | ' ' if er7.len() == start => {}
                    '\n' => er7.push_str("\\X0A\\"),
                    '\r' => {}
                    other => er7.push(other),
                }
            }
        } else if is_escape(child) {
            let sequence = child.attribute("V").unwrap_or_default();
            // Writing to a String cannot fail.
            write!(er7, "\\{}\\", sequence.replace(['\\', '|', '\r', '\n'], "")).ok();
        }
    }
    let kept = er7.trim_end_matches([' ', '\t']).len();
    er7.truncate(kept.max(start));
    while er7.len() >= start + 5 && er7.ends_with("\\X0A\\") {
        let kept = er7.len() - 5;
        er7.truncate(kept);
        let kept = er7.trim_end_matches([' ', '\t']).len();
        er7.truncate(kept.max(start));
    }
}

/// The number after the last dot of an element's name.
fn number_of(node: Node<'_, '_>) -> Option<usize> {
    node.tag_name().name().rsplit('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_repetitions_components_and_groups_become_separators() {
        let xml = r#"<?xml version="1.0"?><ORU_R01 xmlns="urn:hl7-org:v2xml">
            <MSH><MSH.1>|</MSH.1><MSH.2>^~\&amp;</MSH.2><MSH.9><MSG.1>ORU</MSG.1><MSG.2>R01</MSG.2></MSH.9></MSH>
            <ORU_R01.PATIENT_RESULT><ORU_R01.PATIENT><PID>
              <PID.3><CX.1>1</CX.1><CX.4><HD.1>A</HD.1><HD.3>ISO</HD.3></CX.4></PID.3><PID.3><CX.1>2</CX.1></PID.3>
            </PID></ORU_R01.PATIENT>
            <OBX><OBX.2>TX</OBX.2><OBX.5>a &amp; b | c<escape V=".br"/>d</OBX.5><OBX.11>F</OBX.11></OBX>
            </ORU_R01.PATIENT_RESULT></ORU_R01>"#;
        assert!(is_hl7(xml.as_bytes()));
        assert_eq!(
            to_er7(xml.as_bytes()).unwrap().split('\r').collect::<Vec<_>>(),
            [
                r"MSH|^~\&|||||||ORU^R01|||||||||UNICODE UTF-8",
                "PID|||1^^^A&&ISO~2",
                r"OBX||TX|||a \T\ b \F\ c\.br\d||||||F",
            ]
        );
    }

    #[test]
    fn other_documents_are_not_messages() {
        for xml in [
            "<html><body>MSH</body></html>",
            "<ClinicalDocument xmlns='urn:hl7-org:v3'/>",
            "<DiagnosticReport xmlns='http://hl7.org/fhir'/>",
            "<!DOCTYPE ORU_R01 []><ORU_R01/>",
            "<",
        ] {
            assert!(!is_hl7(xml.as_bytes()), "{xml}");
        }
    }

    #[test]
    fn broken_cut_and_hostile_documents_are_refused_by_class() {
        let class = |xml: &str| to_er7(xml.as_bytes()).map_err(|refused| refused.class);
        assert_eq!(class("<ORU_R01><MSH><MSH.3>A</MSH.3>"), Err(RejectionClass::Truncated));
        assert_eq!(class("<ORU_R01><MSH></PID></ORU_R01>"), Err(RejectionClass::Syntax));
        assert_eq!(class("<ORU_R01/>"), Err(RejectionClass::UnknownFormat));
        let far = "<ORU_R01><MSH><MSH.4000000000/></MSH></ORU_R01>";
        assert_eq!(class(far), Err(RejectionClass::Syntax));
        let entity =
            "<!DOCTYPE x [<!ENTITY a 'aaaa'>]><ORU_R01><MSH><MSH.3>&a;</MSH.3></MSH></ORU_R01>";
        assert_eq!(class(entity), Err(RejectionClass::Syntax));
        let wide = format!("<ORU_R01>{}</ORU_R01>", "<a/>".repeat(1_000_001));
        assert_eq!(class(&wide), Err(RejectionClass::Oversize));
        let deep =
            format!("<ORU_R01>{}{}</ORU_R01>", "<a>".repeat(400_000), "</a>".repeat(400_000));
        assert_eq!(class(&deep), Err(RejectionClass::UnknownFormat));
    }
}
