//! HL7 v2 messages, as differently as senders write them.

use super::Layout;
use super::dice::Dice;
use super::order::{Change, Order};

/// A report message in one of the HL7 layouts.
pub(super) fn report(layout: Layout, order: &Order) -> Vec<u8> {
    let withdrawn = order.change == Change::Withdrawn;
    let segments = match layout {
        Layout::Lines => {
            let body = lines(&order.document(), |n, line| {
                format!(
                    "OBX|{n}|TX|{}^{}||{}||||||{}",
                    order.exam.code,
                    order.exam.text,
                    escape(line),
                    order.hl7_status()
                )
            });
            result(order, "2.3", "RADNET", withdrawn, body)
        }
        Layout::Repetitions => {
            let text = escape(&order.document());
            let paragraphs: Vec<String> =
                text.split("\n\n").map(|part| part.replace('\n', r"\.br\")).collect();
            let body = vec![format!(
                "OBX|1|FT|RPT^REPORT TEXT^L||{}||||||{}",
                paragraphs.join("~"),
                order.hl7_status()
            )];
            result(order, "2.4", "SYNAPSE", withdrawn, body)
        }
        Layout::Notes => {
            let mut body =
                vec![format!("OBX|1|TX|XR^XRAY^L||See Comments||||||{}", order.hl7_status())];
            body.extend(lines(&order.document(), |n, line| format!("NTE|{n}||{}", escape(line))));
            result(order, "2.3.1", "CLINIC", withdrawn, body)
        }
        Layout::Document => document(order, withdrawn),
        _ => {
            let (findings, impression) = order.texts();
            let mut body = Vec::new();
            for (suffix, text) in [("GDT", findings), ("IMP", impression)] {
                if !text.is_empty() {
                    let text = escape(text).replace('\n', r"\.br\");
                    let (n, exam) = (body.len() + 1, order.exam);
                    body.push(format!(
                        "OBX|{n}|TX|{}&{suffix}^{}^{}||{text}||||||{}",
                        exam.code,
                        exam.text,
                        exam.system,
                        order.hl7_status()
                    ));
                }
            }
            result(order, "2.5.1", "POWERRAD", withdrawn, body)
        }
    };
    framed(layout, order, &segments)
}

/// Final status for a report that was sent before; OBX-11 `U`, no text.
pub(super) fn promotion(order: &Order) -> String {
    let body = vec![format!("OBX|1|TX|{}&GDT^{}||||||||U", order.exam.code, order.exam.text)];
    joined(&result(order, "2.5.1", "POWERRAD", false, body), "\r")
}

/// A complete blood count.
pub(super) fn laboratory(order: &Order, dice: &mut Dice) -> String {
    let mut segments = vec![
        header(order, "2.5.1", "LABSYS", "ORU^R01^ORU_R01"),
        patient(order),
        format!(
            "OBR|1||{}^LAB|58410-2^CBC panel^LN|||{}|||||||||||||||{}||HM|F",
            order.accession.replace("DEMO", "DEMO-LAB"),
            order.examined_hl7(),
            order.changed_hl7()
        ),
    ];
    let values = [
        ("718-7", "Hemoglobin", 90 + dice.below(80), "g/L"),
        ("6690-2", "Leukocytes", 4 + dice.below(12), "10*9/L"),
        ("777-3", "Platelets", 120 + dice.below(300), "10*9/L"),
    ];
    for (n, (code, name, value, unit)) in (1..).zip(values) {
        segments.push(format!("OBX|{n}|NM|{code}^{name}^LN||{value}|{unit}|||||F"));
    }
    joined(&segments, "\r")
}

/// An admission: no result at all.
pub(super) fn admission(order: &Order) -> String {
    let segments = [
        header(order, "2.5.1", "ADTSYS", "ADT^A01^ADT_A01"),
        format!("EVN|A01|{}", order.changed_hl7()),
        patient(order),
        "PV1|1|I|4W^412^1".to_owned(),
    ];
    joined(&segments, "\r")
}

/// An `ORU^R01` with its result segments.
fn result(
    order: &Order,
    version: &str,
    application: &str,
    withdrawn: bool,
    body: Vec<String>,
) -> Vec<String> {
    let kind = if version == "2.5.1" { "ORU^R01^ORU_R01" } else { "ORU^R01" };
    let exam = order.exam;
    let (orderer, reader) = (order.orderer, order.doctor);
    let alternate =
        if version == "2.3" { String::new() } else { format!("^{}^{}^LN", exam.loinc, exam.text) };
    let mut segments = vec![header(order, version, application, kind), patient(order)];
    if version != "2.3" {
        let class = if order.number.is_multiple_of(3) { "E" } else { "I" };
        segments.push(format!("PV1|1|{class}|ED^12^1"));
        segments
            .push(format!("ORC|RE|{}^EHR|{}^{}", order.placer, order.accession, order.authority));
    }
    segments.push(format!(
        "OBR|1|{}^EHR|{}^{}|{}^{}^{}{alternate}|||{}|||||||||77^{}^{}||||||{}||{}|{}||||||{}|88&{}&{}",
        order.placer,
        order.accession,
        order.authority,
        exam.code,
        escape(exam.text),
        exam.system,
        order.examined_hl7(),
        upper(orderer.0),
        upper(orderer.1),
        order.changed_hl7(),
        exam.section,
        order.hl7_status(),
        format_args!("^{}", escape(order.indication)),
        upper(reader.0),
        upper(reader.1),
    ));
    if withdrawn {
        segments.push(format!("OBX|1|TX|{}^{}||REPORT WITHDRAWN||||||X", exam.code, exam.text));
    } else {
        segments.extend(body);
    }
    segments
}

/// An `MDM^T02`; a withdrawn document is `MDM^T11`.
fn document(order: &Order, withdrawn: bool) -> Vec<String> {
    let event = match order.change {
        Change::Withdrawn => "T11",
        Change::Corrected => "T10",
        _ => "T02",
    };
    let exam = order.exam;
    let status = match order.change {
        Change::First if order.preliminary => "PA",
        _ => "AU",
    };
    let mut segments = vec![
        header(order, "2.5", "DICTATE", &format!("MDM^{event}^MDM_T02")),
        format!("EVN|{event}|{}", order.changed_hl7()),
        patient(order),
        "PV1|1|O|RAD^^".to_owned(),
        format!(
            "OBR|1|{}^EHR|{}^{}|{}^{}^{}|||{}|||||||||||||||{}||{}|{}",
            order.placer,
            order.accession,
            order.authority,
            exam.code,
            escape(exam.text),
            exam.system,
            order.examined_hl7(),
            order.changed_hl7(),
            exam.section,
            order.hl7_status()
        ),
        format!(
            "TXA|1|DI|TX|{}||{}|{}||88^{}^{}|||DOC{}^{}||{}^EHR|{}^{}||{status}||AV",
            order.examined_hl7(),
            order.examined_hl7(),
            order.changed_hl7(),
            upper(order.doctor.0),
            upper(order.doctor.1),
            order.accession,
            order.authority,
            order.placer,
            order.accession,
            order.authority
        ),
    ];
    if !withdrawn {
        segments.extend(lines(&order.document(), |n, line| {
            format!("OBX|{n}|TX|&GDT^{}||{}||||||{}", exam.text, escape(line), order.hl7_status())
        }));
    }
    segments
}

fn header(order: &Order, version: &str, application: &str, kind: &str) -> String {
    format!(
        "MSH|^~\\&|{application}|{}|HUB|HIE|{}||{kind}|MSG{}{}|{}|{version}||||||UNICODE UTF-8",
        order.facility,
        order.changed_hl7(),
        order.number,
        order.hl7_status(),
        order.processing
    )
}

fn patient(order: &Order) -> String {
    let (family, given) = order.patient;
    format!(
        "PID|1||{}^^^{}^MR||{}^{}^^^^^L||{}|{}",
        order.patient_id,
        order.authority,
        upper(family),
        upper(given),
        order.birth,
        order.sex
    )
}

fn upper(name: &str) -> String {
    name.to_uppercase()
}

/// One segment a line of text; blank lines stay, as senders send them.
fn lines(text: &str, segment: impl Fn(usize, &str) -> String) -> Vec<String> {
    (1..).zip(text.split('\n')).map(|(n, line)| segment(n, line)).collect()
}

/// The delimiters of MSH-2, and the escape character itself.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str(r"\E\"),
            '|' => out.push_str(r"\F\"),
            '^' => out.push_str(r"\S\"),
            '~' => out.push_str(r"\R\"),
            '&' => out.push_str(r"\T\"),
            _ => out.push(c),
        }
    }
    out
}

/// Bytes as the sender's system leaves them: MLLP framed, ended by LF, or as the standard says.
fn framed(layout: Layout, order: &Order, segments: &[String]) -> Vec<u8> {
    match layout {
        Layout::Suffixes if order.number.is_multiple_of(4) => {
            format!("\x0b{}\x1c\r", joined(segments, "\r")).into_bytes()
        }
        Layout::Notes => joined(segments, "\n").into_bytes(),
        Layout::Lines if order.number.is_multiple_of(5) => joined(segments, "\r\n").into_bytes(),
        _ => joined(segments, "\r").into_bytes(),
    }
}

fn joined(segments: &[String], end: &str) -> String {
    segments.iter().flat_map(|segment| [segment.as_str(), end]).collect()
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn delimiters_in_text_are_escaped() {
        assert_eq!(escape(r"a|b^c~d&e\f"), r"a\F\b\S\c\R\d\T\e\E\f");
    }
}
