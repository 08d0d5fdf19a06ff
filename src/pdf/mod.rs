//! The text of PDF documents, taken out by a process of its own.
//!
//! PDF is a language of programs and compressed parts, and its parsers are the classic way into a
//! system. So the parser runs in a child (`radstream read-pdf`, which is this program), without our
//! environment, with limits that the kernel enforces: memory, processor time, no files written. What
//! goes wrong there, a panic, an endless loop or a bomb, costs one attachment.
//!
//! The child reads the document from standard input and writes the text and [`END`] to standard
//! output.

mod layout;
mod limits;

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, bounded};

use crate::decode::{PdfText, ReadPdf};
use crate::telemetry::names;

/// Name of the hidden command that is the child.
pub const COMMAND: &str = "read-pdf";
/// What ends the text of a document that was read whole.
const END: &[u8] = b"\0end of text\n";
/// Longest text, bytes. Reports are kilobytes.
const MOST_TEXT: usize = 1 << 20;
/// Longest wait for the child, in case it sleeps instead of working.
const PATIENCE: Duration = Duration::from_secs(15);

/// Reads documents through children.
#[derive(Clone, Debug)]
pub struct PdfProcess {
    program: PathBuf,
    patience: Duration,
}

impl PdfProcess {
    /// Children of this very program.
    ///
    /// # Errors
    /// The system does not say where the program lies.
    pub fn of_this_program() -> std::io::Result<Self> {
        std::env::current_exe().map(Self::of)
    }

    /// Children of the radstream executable at `program`.
    pub const fn of(program: PathBuf) -> Self {
        Self { program, patience: PATIENCE }
    }

    fn ask(&self, pdf: &[u8]) -> std::io::Result<PdfText> {
        let mut child = Command::new(&self.program)
            .arg(COMMAND)
            .env_clear() // secrets among it
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let answer = std::thread::scope(|scope| {
            let (answer_in, answer) = bounded(1);
            scope.spawn(move || {
                let mut text = Vec::new();
                let most = MOST_TEXT + END.len() + 1;
                let read = output.map(|output| {
                    output.take(u64::try_from(most).unwrap_or(u64::MAX)).read_to_end(&mut text)
                });
                // Nobody waits any more: the child was too slow.
                drop(answer_in.send(matches!(read, Some(Ok(_))).then_some(text)));
            });
            scope.spawn(move || {
                // A child that has given up does not read to the end.
                drop(input.map(|mut input| input.write_all(pdf)));
            });
            let answer = answer.recv_timeout(self.patience);
            // Ends the pipes, and with them both threads. It may have ended by itself.
            drop(child.kill());
            answer
        });
        let status = child.wait()?;
        Ok(match answer {
            Ok(Some(mut text)) if text.ends_with(END) => {
                text.truncate(text.len() - END.len());
                match String::from_utf8(text) {
                    Ok(text) if text.trim().is_empty() => PdfText::Empty,
                    Ok(text) => PdfText::Text(text),
                    Err(_) => PdfText::Unreadable,
                }
            }
            Ok(Some(text)) if text.len() > MOST_TEXT => PdfText::OverLimit,
            Err(RecvTimeoutError::Timeout) => PdfText::OverLimit,
            _ if limits::was_stopped(status) => PdfText::OverLimit,
            _ => PdfText::Unreadable,
        })
    }
}

impl ReadPdf for PdfProcess {
    fn read(&self, pdf: &[u8]) -> PdfText {
        let text = self.ask(pdf).unwrap_or_else(|problem| {
            tracing::warn!(%problem, "a PDF could not be read: no process could be started");
            PdfText::Unreadable
        });
        let outcome = match &text {
            PdfText::Text(_) => "text",
            PdfText::Empty => "empty",
            PdfText::Unreadable => "unreadable",
            PdfText::OverLimit => "over_limit",
        };
        metrics::counter!(names::PDF_DOCUMENTS_TOTAL, "outcome" => outcome).increment(1);
        text
    }
}

/// The child: limits itself, reads a document, writes its text. Gives the exit code.
pub fn child(input: &mut dyn Read, output: &mut dyn Write) -> u8 {
    if limits::take_on().is_err() {
        return limits::NOT_LIMITED;
    }
    let mut pdf = Vec::new();
    if input.read_to_end(&mut pdf).is_err() {
        return limits::UNREADABLE;
    }
    let text = match layout::text(&pdf) {
        Ok(text) => text,
        Err(layout::Refused::OverLimit) => return limits::OVER_LIMIT,
        Err(layout::Refused::Unreadable) => return limits::UNREADABLE,
    };
    let written = output
        .write_all(text.as_bytes())
        .and_then(|()| output.write_all(END))
        .and_then(|()| output.flush());
    if written.is_ok() { 0 } else { limits::UNREADABLE }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A program that takes the place of the child.
    fn standing_in(script: &str) -> (tempfile::TempDir, PdfProcess) {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("child");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let patience = Duration::from_millis(300);
        (folder, PdfProcess { program, patience })
    }

    #[test]
    fn a_child_that_sleeps_is_not_waited_for() {
        let (_folder, reader) = standing_in("exec sleep 3600");
        assert!(reader.read(&vec![b'x'; 1 << 20]) == PdfText::OverLimit);
    }

    #[test]
    fn text_without_its_end_is_no_text_and_too_much_is_not_kept() {
        let (_folder, mut reader) = standing_in("printf 'Lungs clear.'");
        reader.patience = PATIENCE;
        assert!(reader.read(b"x") == PdfText::Unreadable);
        let (_folder, mut reader) = standing_in("exec cat /dev/zero");
        reader.patience = PATIENCE;
        assert!(reader.read(b"x") == PdfText::OverLimit);
    }

    #[test]
    fn no_program_is_an_attachment_left_unread() {
        let reader = PdfProcess::of(PathBuf::from("/nowhere/radstream"));
        assert!(reader.read(b"x") == PdfText::Unreadable);
    }
}
