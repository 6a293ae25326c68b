//! Escaping straight into the output: text in JSON, and text in an HTML attribute in JSON.

/// Appends `text` as the inside of a JSON string (RFC 8259 section 7).
pub(crate) fn push_json(out: &mut Vec<u8>, text: &str) {
    push_escaped(out, text, |byte, out| match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        _ => push_json_byte(out, byte),
    });
}

/// Appends `text` as the inside of a quoted HTML attribute (HTML standard, section 13.1.2.3), itself inside a JSON
/// string.
pub(crate) fn push_html_in_json(out: &mut Vec<u8>, text: &str) {
    push_escaped(out, text, |byte, out| match byte {
        b'"' => out.extend_from_slice(b"&quot;"),
        b'\'' => out.extend_from_slice(b"&#39;"),
        b'&' => out.extend_from_slice(b"&amp;"),
        b'<' => out.extend_from_slice(b"&lt;"),
        b'>' => out.extend_from_slice(b"&gt;"),
        _ => push_json_byte(out, byte),
    });
}

/// The bytes that either escape may have to change. A table, because a chain of comparisons per byte is most of the
/// cost of writing a response.
const SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        special[byte] = matches!(byte as u8, 0..=0x1f | b'"' | b'\\' | b'&' | b'<' | b'>' | b'\'');
        byte += 1;
    }
    special
};

/// Copies runs of bytes that need no care and hands the others to `escape`.
fn push_escaped(out: &mut Vec<u8>, text: &str, escape: impl Fn(u8, &mut Vec<u8>)) {
    let mut rest = text.as_bytes();
    // All special bytes are ASCII, so no character is cut in two. Bytes that one of the two escapes leaves alone
    // come back from `push_json_byte` as they are.
    while let Some(at) = rest.iter().position(|&byte| SPECIAL[usize::from(byte)]) {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        if let Some((&byte, after)) = special.split_first() {
            escape(byte, out);
            rest = after;
        }
    }
    out.extend_from_slice(rest);
}

fn push_json_byte(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match byte {
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

    proptest! {
        #[test]
        fn json_reads_back(text in any::<String>()) {
            prop_assert_eq!(parsed(push_json, &text), text);
        }

        #[test]
        fn attributes_read_back_and_never_end_early(text in "[\\x00-\\x7f\u{e9}\u{2028}\u{1f600}]{0,40}") {
            let attribute = parsed(push_html_in_json, &text);
            prop_assert!(!attribute.contains(['"', '\'', '<', '>']));
            prop_assert_eq!(unescaped(&attribute), text);
        }
    }
}
