//! What a request asks: OpenAI's chat completions, and the report within.

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, StrDeserializer};
use serde_json::Value;

use super::ResponseSupport;
use crate::report::{LabelledSection, Phi, SectionKind};

/// A request that could be read. It holds report text: no `Debug`.
pub(super) struct Asked {
    /// All system messages, joined by a newline.
    pub(super) system: String,
    /// All user messages, joined by a newline.
    pub(super) user: String,
    /// Model asked for.
    pub(super) model: Option<String>,
    /// Number of messages.
    pub(super) messages: usize,
    /// Bytes of all messages' text.
    pub(super) bytes: usize,
    /// Sections of the report; `None` when no user message has one.
    pub(super) report: Option<Vec<LabelledSection>>,
    /// Whether log probabilities are asked for.
    pub(super) logprobs: bool,
    says_json: bool,
    n: u64,
    stream: bool,
    format: Option<Format>,
}

/// A refusal with status 400. Fixed words: nothing of the request is in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) message: &'static str,
    pub(super) code: Option<&'static str>,
}

impl Refusal {
    const fn plain(message: &'static str) -> Self {
        Self { message, code: None }
    }
}

#[derive(Deserialize)]
struct Body {
    model: Option<String>,
    messages: Vec<Message>,
    response_format: Option<Format>,
    logprobs: Option<bool>,
    n: Option<u64>,
    stream: Option<bool>,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    content: Option<Content>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    text: Option<String>,
}

#[derive(Deserialize)]
struct Format {
    #[serde(rename = "type")]
    kind: String,
    json_schema: Option<Value>,
}

impl Message {
    fn text(self) -> String {
        match self.content {
            None => String::new(),
            Some(Content::Text(text)) => text,
            Some(Content::Parts(parts)) => parts.into_iter().filter_map(|part| part.text).collect(),
        }
    }
}

/// Reads a request's body.
pub(super) fn read(body: &[u8]) -> Result<Asked, Refusal> {
    // The library's own words may quote the text.
    let body: Body = serde_json::from_slice(body)
        .map_err(|_| Refusal::plain("the body is no request to complete a chat"))?;
    if body.messages.is_empty() {
        return Err(Refusal::plain("messages is empty"));
    }
    let mut asked = Asked {
        system: String::new(),
        user: String::new(),
        model: body.model,
        messages: body.messages.len(),
        bytes: 0,
        report: None,
        logprobs: body.logprobs.unwrap_or(false),
        says_json: false,
        n: body.n.unwrap_or(1),
        stream: body.stream.unwrap_or(false),
        format: body.response_format,
    };
    for message in body.messages {
        let from_user = message.role == "user";
        // Newer models take the system's words under the name `developer`.
        let from_system = message.role == "system" || message.role == "developer";
        let text = message.text();
        asked.bytes += text.len();
        asked.says_json |= text.to_ascii_lowercase().contains("json");
        // The first: later ones ask to repair an answer.
        if from_user && asked.report.is_none() {
            asked.report = sections(&text);
        }
        let joined = match (from_user, from_system) {
            (true, _) => &mut asked.user,
            (_, true) => &mut asked.system,
            _ => continue,
        };
        if !joined.is_empty() {
            joined.push('\n');
        }
        joined.push_str(&text);
    }
    Ok(asked)
}

impl Asked {
    /// Whether the server can do what is asked. `named`: the path names the model already.
    pub(super) fn check(&self, support: ResponseSupport, named: bool) -> Result<(), Refusal> {
        if self.model.is_none() && !named {
            return Err(Refusal::plain("you must provide a model parameter"));
        }
        if self.n != 1 {
            return Err(Refusal::plain("n must be 1"));
        }
        if self.stream {
            return Err(Refusal::plain("stream is not supported"));
        }
        match self.format.as_ref().map(|format| (format.kind.as_str(), &format.json_schema)) {
            None | Some(("text", _)) => {}
            Some(("json_object", _)) if self.says_json => {}
            Some(("json_object", _)) => {
                return Err(Refusal::plain(
                    "'messages' must contain the word 'json' in some form, to use \
                     'response_format' of type 'json_object'",
                ));
            }
            Some(("json_schema", _)) if support == ResponseSupport::JsonModeOnly => {
                return Err(Refusal {
                    message: "response_format json_schema is not supported",
                    code: Some("unsupported"),
                });
            }
            Some(("json_schema", Some(format)))
                if format.get("name").is_some_and(Value::is_string)
                    && format.get("schema").is_some_and(Value::is_object) => {}
            Some(("json_schema", _)) => {
                return Err(Refusal::plain(
                    "response_format.json_schema wants a name and a schema",
                ));
            }
            Some(_) => return Err(Refusal::plain("response_format.type is not known")),
        }
        if self.report.is_none() {
            return Err(Refusal::plain("no user message holds a <report>"));
        }
        Ok(())
    }
}

/// The sections of the report in a message, their text byte for byte; `None` when it has no report.
fn sections(message: &str) -> Option<Vec<LabelledSection>> {
    const OPEN: &str = "<section kind=\"";
    const CLOSE: &str = "\n</section>";
    let (_, mut rest) = message.split_once("<report>")?;
    let mut found = Vec::new();
    while let Some((_, after)) = rest.split_once(OPEN) {
        let Some((kind, after)) = after.split_once("\">") else { break };
        // The line break stays in front: an empty text then has its closing tag like any other.
        let (text, after) = after.split_once(CLOSE).unwrap_or((after, ""));
        let text = text.strip_prefix('\n').unwrap_or(text);
        found.push(LabelledSection { kind: section_kind(kind), text: Phi::from(text) });
        rest = after;
    }
    Some(found)
}

fn section_kind(name: &str) -> SectionKind {
    let name: StrDeserializer<'_, ValueError> = name.into_deserializer();
    SectionKind::deserialize(name).unwrap_or(SectionKind::Body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_sections(message: &str) -> Option<Vec<(SectionKind, String)>> {
        let plain = |section: LabelledSection| (section.kind, section.text.into_inner());
        Some(sections(message)?.into_iter().map(plain).collect())
    }

    #[test]
    fn sections_are_read_byte_for_byte() {
        let message = "<report>\n<section kind=\"findings\">\nHeart < 15 cm.\n\n Clear.\n</section>\n\
                       <section kind=\"impression\">\n</section>\n<section kind=\"odd\">\nx\n</section>\n\
                       </report>";
        assert_eq!(
            read_sections(message).unwrap(),
            [
                (SectionKind::Findings, "Heart < 15 cm.\n\n Clear.".to_owned()),
                (SectionKind::Impression, String::new()),
                (SectionKind::Body, "x".to_owned()),
            ]
        );
        assert_eq!(read_sections("no report"), None);
        assert_eq!(read_sections("<report>").unwrap(), []);
    }

    #[test]
    fn the_first_report_counts_and_all_user_messages_are_kept() {
        let body = serde_json::json!({"model": "m", "messages": [
            {"role": "system", "content": "Label."},
            {"role": "user", "content": [{"type": "text", "text":
                "<report>\n<section kind=\"body\">\nClear.\n</section>\n</report>"}]},
            {"role": "assistant", "content": "nonsense"},
            {"role": "user", "content": "Not <report> but JSON, please."},
        ]});
        let asked = read(body.to_string().as_bytes()).ok().unwrap();
        let report = asked.report.as_ref().unwrap();
        assert_eq!((report.len(), report[0].text.expose().as_str()), (1, "Clear."));
        assert_eq!(asked.system, "Label.");
        assert!(asked.user.ends_with("</report>\nNot <report> but JSON, please."));
        assert_eq!(asked.check(ResponseSupport::Schema, false), Ok(()));
    }

    #[test]
    fn a_body_that_is_no_request_is_refused_in_fixed_words() {
        for body in ["", "[]", "{\"messages\": []}", "{\"messages\": \"Jane Doe\"}"] {
            let refusal = read(body.as_bytes()).err().unwrap();
            assert!(!refusal.message.contains("Doe"));
        }
    }
}
