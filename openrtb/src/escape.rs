//! Escaping straight into the output: text in JSON, and text in HTML, XML or JSON that is itself in JSON.

use crate::request::plain_length;

/// Appends `text` as the inside of a JSON string (RFC 8259 section 7).
pub(crate) fn push_json(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    loop {
        let (plain, special) = rest.split_at(plain_length(rest));
        out.extend_from_slice(plain);
        let Some((byte, others)) = special.split_first() else { return };
        push_json_byte(out, *byte);
        rest = others;
    }
}

/// Appends `text` as the inside of a JSON string, itself inside a JSON string.
pub(crate) fn push_json_in_json(out: &mut Vec<u8>, text: &str) {
    const SPECIAL: Special = special(b"\"\\");
    push_escaped(out, text, &SPECIAL, |rest, out| {
        match rest[0] {
            b'"' => out.extend_from_slice(br#"\\\""#),
            b'\\' => out.extend_from_slice(br"\\\\"),
            control => {
                // What escapes it inside begins with a backslash, and has no other byte that outside is special.
                out.push(b'\\');
                push_json_byte(out, control);
            }
        }
        1
    });
}

/// Appends `text` as the inside of a quoted HTML attribute (HTML standard, section 13.1.2.3), itself inside a JSON
/// string.
pub(crate) fn push_html_in_json(out: &mut Vec<u8>, text: &str) {
    const SPECIAL: Special = special(b"\"\\&<>'");
    push_escaped(out, text, &SPECIAL, |rest, out| {
        push_entity(out, rest[0]);
        1
    });
}

/// Appends `text` as the inside of an XML element or quoted attribute, itself inside a JSON string. What XML cannot
/// hold (XML 1.0 section 2.2) is replaced by U+FFFD.
pub(crate) fn push_xml_in_json(out: &mut Vec<u8>, text: &str) {
    const SPECIAL: Special = special(b"\"\\&<>'\xef");
    push_escaped(out, text, &SPECIAL, |rest, out| match *rest {
        // A reader makes a space or a line feed of them unless they are escaped.
        [b'\t', ..] => push_all(out, b"&#9;", 1),
        [b'\n', ..] => push_all(out, b"&#10;", 1),
        [b'\r', ..] => push_all(out, b"&#13;", 1),
        [0..=0x1f, ..] => push_all(out, REPLACEMENT, 1),
        [0xef, 0xbf, 0xbe | 0xbf, ..] => push_all(out, REPLACEMENT, 3),
        _ => {
            push_entity(out, rest[0]);
            1
        }
    });
}

/// Appends `text` as CDATA, itself inside a JSON string. What would end it, and the carriage return, which a reader
/// makes a line feed of, stand between two sections; what XML cannot hold is replaced by U+FFFD.
pub(crate) fn push_cdata_in_json(out: &mut Vec<u8>, text: &str) {
    const SPECIAL: Special = special(b"\"\\]\xef");
    out.extend_from_slice(b"<![CDATA[");
    push_escaped(out, text, &SPECIAL, |rest, out| match *rest {
        [b']', b']', b'>', ..] => push_all(out, b"]]]]><![CDATA[>", 3),
        [b'\r', ..] => push_all(out, b"]]>&#13;<![CDATA[", 1),
        [b'\t' | b'\n', ..] => {
            push_json_byte(out, rest[0]);
            1
        }
        [0..=0x1f, ..] => push_all(out, REPLACEMENT, 1),
        [0xef, 0xbf, 0xbe | 0xbf, ..] => push_all(out, REPLACEMENT, 3),
        _ => {
            push_json_byte(out, rest[0]);
            1
        }
    });
    out.extend_from_slice(b"]]>");
}

/// U+FFFD in UTF-8.
const REPLACEMENT: &[u8] = b"\xef\xbf\xbd";

/// The bytes that an escape may have to change. A table, because a chain of comparisons per byte is most of the cost of
/// writing a response.
type Special = [bool; 256];

/// The control characters, which JSON does not hold as they are, and `bytes`.
const fn special(bytes: &[u8]) -> Special {
    let mut special = [false; 256];
    let mut control = 0;
    while control < 0x20 {
        special[control] = true;
        control += 1;
    }
    let mut index = 0;
    while index < bytes.len() {
        special[bytes[index] as usize] = true;
        index += 1;
    }
    special
}

/// Copies runs of bytes that need no care. Where one does, `escape` gets the rest of the text, which is never empty, and
/// says how many of its bytes it has written. Those are whole characters, because it leaves alone what begins with a
/// byte that is not ASCII, or knows the whole of it.
#[inline]
fn push_escaped(
    out: &mut Vec<u8>,
    text: &str,
    special: &Special,
    escape: impl Fn(&[u8], &mut Vec<u8>) -> usize,
) {
    let mut rest = text.as_bytes();
    while let Some(at) = first_special(rest, special) {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        let written = escape(special, out);
        rest = special.get(written..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

/// The place of the first special byte. Eight are looked up without a branch between them.
#[inline]
fn first_special(bytes: &[u8], special: &Special) -> Option<usize> {
    let is_special = |&byte: &u8| special[usize::from(byte)];
    let (chunks, rest) = bytes.as_chunks::<8>();
    for (index, chunk) in chunks.iter().enumerate() {
        if chunk.iter().fold(false, |any, byte| any | is_special(byte)) {
            return chunk.iter().position(is_special).map(|at| index * 8 + at);
        }
    }
    rest.iter().position(is_special).map(|at| chunks.len() * 8 + at)
}

/// Appends what stands for `length` bytes of the text.
fn push_all(out: &mut Vec<u8>, replacement: &[u8], length: usize) -> usize {
    out.extend_from_slice(replacement);
    length
}

/// What HTML and XML escape, and the others as JSON does.
fn push_entity(out: &mut Vec<u8>, byte: u8) {
    match byte {
        b'"' => out.extend_from_slice(b"&quot;"),
        b'\'' => out.extend_from_slice(b"&#39;"),
        b'&' => out.extend_from_slice(b"&amp;"),
        b'<' => out.extend_from_slice(b"&lt;"),
        b'>' => out.extend_from_slice(b"&gt;"),
        _ => push_json_byte(out, byte),
    }
}

fn push_json_byte(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        0..=0x1f => {
            out.extend_from_slice(b"\\u00");
            out.extend([HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
        _ => out.push(byte),
    }
}

/// Appends a number.
pub(crate) fn push_integer(out: &mut Vec<u8>, value: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(push: fn(&mut Vec<u8>, &str), text: &str) -> String {
        let mut out = vec![b'"'];
        push(&mut out, text);
        out.push(b'"');
        serde_json::from_slice(&out).unwrap()
    }

    /// What a browser makes of an attribute's value.
    fn unescaped(html: &str) -> String {
        html.replace("&quot;", "\"")
            .replace("&#39;", "'")
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&amp;", "&")
    }

    /// What an XML reader makes of a document.
    fn xml_text(document: &str) -> (String, String) {
        let document = roxmltree::Document::parse(document).unwrap();
        let root = document.root_element();
        let text =
            root.descendants().filter(roxmltree::Node::is_text).filter_map(|node| node.text()).collect();
        (root.attribute("a").unwrap_or_default().to_owned(), text)
    }

    /// The text, without what XML cannot hold.
    fn sayable(text: &str) -> String {
        let forbidden = |c: char| matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}');
        text.replace(forbidden, "\u{fffd}")
    }

    #[test]
    fn nothing_ends_a_section_early() {
        for text in [
            "]]>",
            "]]]>",
            "]]>]]>",
            "]]",
            "a]]>b\r\n\tc",
            "<![CDATA[",
            "\u{0}\u{ffff}\u{fffd}\u{ff01}",
            "",
            "&amp;",
        ] {
            let (_, read) = xml_text(&format!("<x>{}</x>", parsed(push_cdata_in_json, text)));
            assert_eq!(read, sayable(text), "{text:?}");
        }
    }

    /// What markup might trip over, besides any other text.
    fn texts() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>(),
            "[\\x00-\\x7f\u{e9}\u{2028}\u{1f600}\u{f000}\u{fffd}\u{fffe}\u{ffff}]{0,40}",
            "[\\]>\\[<!&;\"'\\\\\r\n\t]{0,20}",
        ]
    }

    proptest! {
        #[test]
        fn json_reads_back(text in texts()) {
            prop_assert_eq!(parsed(push_json, &text), text);
        }

        #[test]
        fn json_in_json_reads_back(text in texts()) {
            let inner = format!("\"{}\"", parsed(push_json_in_json, &text));
            prop_assert_eq!(serde_json::from_str::<String>(&inner).unwrap(), text);
        }

        #[test]
        fn attributes_read_back_and_never_end_early(text in texts()) {
            let attribute = parsed(push_html_in_json, &text);
            prop_assert!(!attribute.contains(['"', '\'', '<', '>']));
            prop_assert_eq!(unescaped(&attribute), text);
        }

        #[test]
        fn xml_reads_back(text in texts()) {
            let inside = parsed(push_xml_in_json, &text);
            let section = parsed(push_cdata_in_json, &text);
            prop_assert_eq!(
                xml_text(&format!("<x a=\"{inside}\">{inside}</x>")),
                (sayable(&text), sayable(&text))
            );
            prop_assert_eq!(xml_text(&format!("<x>{section}</x>")).1, sayable(&text));
        }
    }
}
