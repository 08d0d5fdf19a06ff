use super::*;

#[test]
fn a_comparison_sign_is_not_markup() {
    for text in ["nodule <5 mm", "a < b & c > d", "<<>>", "5<x>3"] {
        assert_eq!(to_plain(text.to_owned()), text);
    }
}

#[test]
fn html_structure_becomes_lines_and_entities_characters() {
    let html = "<html><head><title>No</title><style>p{}</style></head><body><p>FINDINGS:</p>\n\
                <br/>Heart &amp; lungs\n   normal.<p>IMPRESSION: &lt;5&nbsp;mm nodule&#46;</p></body></html>";
    assert_eq!(
        from_html(html).trim(),
        "FINDINGS:\n\nHeart & lungs normal.\nIMPRESSION: <5 mm nodule."
    );
}

#[test]
fn a_link_in_plain_text_goes_and_the_lines_stay() {
    let text = "See <A HREF=\"http://x/?a=1&b=2\">images</A>.\nNo effusion.".to_owned();
    assert_eq!(to_plain(text), "See images.\nNo effusion.");
}

#[test]
fn rtf_keeps_the_words_and_drops_the_tables() {
    let rtf = "{\\rtf1\\ansi\\ansicpg1252{\\fonttbl{\\f0 Arial;}}{\\*\\generator X;}\\pard\\f0 \
               FINDINGS:\\par R\\'f6ntgen \\u8211?5 mm.\\line \\b No\\b0  effusion.\\par}";
    assert_eq!(from_rtf(rtf).trim(), "FINDINGS:\nRöntgen –5 mm.\nNo effusion.");
}

#[test]
fn bytes_outside_the_code_page_of_rtf_are_read_without_a_replacement_character() {
    assert_eq!(from_rtf("{\\rtf1\\ansicpg932 \\'83\\'8c mm}"), "レ mm");
    assert_eq!(from_rtf("{\\rtf1\\ansicpg932 \\'83 mm}"), "ƒ mm");
}

#[test]
fn broken_markup_neither_panics_nor_swallows_the_text() {
    for text in ["<p>a<", "<p", "<br>&#xFFFFFFFF;&", "{\\rtf1 \\'zz\\u\\", "<script>x", "}}}\\"] {
        let _ = to_plain(text.to_owned());
    }
    assert_eq!(to_plain("<b>bold</b> <not closed".into()), "bold <not closed");
}
