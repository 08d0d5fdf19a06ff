//! White space and characters of report text, made one.

/// Cleans one line: invisible characters go, every kind of blank is one space, typographic quotes
/// and dashes are plain.
pub(super) fn line(text: &str) -> String {
    let text = text.trim_ascii();
    let clean = |pair: &[u8]| pair != b"  ";
    if text.bytes().all(|b| matches!(b, b' '..=b'~')) && text.as_bytes().windows(2).all(clean) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        let plain = match character {
            '\u{2018}' | '\u{2019}' | '\u{201b}' | '\u{2032}' => '\'',
            '\u{201c}' | '\u{201d}' | '\u{2033}' => '"',
            '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
            // Soft hyphen, zero-width characters, direction marks, byte order mark.
            '\u{ad}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'
            | '\u{feff}' => {
                continue;
            }
            c if c.is_whitespace() => ' ',
            c if c.is_control() => ' ',
            c => c,
        };
        if plain == ' ' && (out.is_empty() || out.ends_with(' ')) {
            continue;
        }
        out.push(plain);
    }
    while out.ends_with(' ') {
        out.pop();
    }
    out
}

/// Joins the lines of a section: a line that was wrapped goes on with the next one, every other line
/// stands by itself. Empty lines end a sentence and are dropped.
pub(super) fn join<'l>(lines: impl Iterator<Item = &'l str>) -> String {
    let mut out = String::new();
    let mut last_length = 0;
    let mut broken = true;
    for line in lines {
        if line.is_empty() {
            broken = true;
            continue;
        }
        if !out.is_empty() {
            let wrapped = !broken && is_wrapped(&out, last_length, line);
            out.push(if wrapped { ' ' } else { '\n' });
        }
        out.push_str(line);
        last_length = line.chars().count();
        broken = false;
    }
    out
}

/// Shorter lines than this, in characters, were rather ended than wrapped.
const WRAP_WIDTH: usize = 45;

fn is_wrapped(before: &str, last_length: usize, next: &str) -> bool {
    if before.ends_with(['.', '!', '?', ':', ';']) || begins_item(next) {
        return false;
    }
    let lower = next.chars().next().is_some_and(char::is_lowercase);
    lower || before.ends_with([',', '-', '(']) || last_length >= WRAP_WIDTH
}

/// `1.`, `2)`, `-`, `*`, `•` at the start of a line.
fn begins_item(line: &str) -> bool {
    if line.starts_with(['*', '•']) || line.starts_with("- ") {
        return true;
    }
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let after = line.get(digits..).unwrap_or_default();
    matches!(digits, 1 | 2)
        && after.starts_with(['.', ')'])
        && after.get(1..).is_none_or(|rest| rest.starts_with(' ') || rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invisible_and_typographic_characters_become_plain() {
        assert_eq!(
            line("\u{a0} patient\u{2019}s\u{0}  lung\u{ad}s \u{2013} \u{201c}clear\u{201d}\t"),
            "patient's lungs - \"clear\""
        );
    }

    #[test]
    fn wrapped_lines_are_one_sentence_and_items_are_not() {
        let joined = |text: &str| join(text.lines().map(str::trim));
        assert_eq!(
            joined("1. Small\n   left effusion.\n2. No PTX"),
            "1. Small left effusion.\n2. No PTX"
        );
        assert_eq!(
            joined(
                "Posteroanterior and lateral chest radiographs show patchy bibasilar\nOpacities"
            ),
            "Posteroanterior and lateral chest radiographs show patchy bibasilar Opacities"
        );
        assert_eq!(joined("Heart normal\nLungs clear"), "Heart normal\nLungs clear");
        assert_eq!(joined("Heart normal\n\nand lungs clear"), "Heart normal\nand lungs clear");
    }
}
