//! Writes databases in MaxMind's format (MaxMind DB File Format Specification 2.0), as small as tests need them.

use std::net::IpAddr;

use serde_json::{Value, json};

/// Where a branch of the tree leads.
#[derive(Clone, Copy)]
enum Record {
    Nothing,
    Node(usize),
    Data(usize),
}

/// A database of networks, each an address, the length of its prefix and its entry. An IPv4 network lies below `::/96`.
pub fn database(networks: &[(&str, u8, Value)]) -> Vec<u8> {
    let mut nodes = vec![[Record::Nothing; 2]];
    let mut data = Vec::new();
    for (address, length, entry) in networks {
        let (bits, length) = match address.parse().unwrap() {
            IpAddr::V4(address) => (u128::from(address.to_bits()), length + 96),
            IpAddr::V6(address) => (address.to_bits(), *length),
        };
        let offset = data.len();
        write(entry, &mut data);
        let mut at = 0;
        for depth in 0..length {
            let side = usize::from(bits >> (127 - depth) & 1 == 1);
            if depth + 1 == length {
                nodes[at][side] = Record::Data(offset);
            } else if let Record::Node(next) = nodes[at][side] {
                at = next;
            } else {
                nodes.push([Record::Nothing; 2]);
                nodes[at][side] = Record::Node(nodes.len() - 1);
                at = nodes.len() - 1;
            }
        }
    }
    let mut out = Vec::new();
    for record in nodes.iter().flatten() {
        let value = match record {
            Record::Nothing => nodes.len(),
            Record::Node(node) => *node,
            Record::Data(offset) => nodes.len() + 16 + offset,
        };
        out.extend(u32::try_from(value).unwrap().to_be_bytes());
    }
    out.extend([0; 16]);
    out.extend(data);
    out.extend(b"\xab\xcd\xefMaxMind.com");
    let metadata = json!({
        "binary_format_major_version": 2, "binary_format_minor_version": 0, "build_epoch": 1,
        "database_type": "Test-City", "description": { "en": "For tests" }, "ip_version": 6, "languages": ["en"],
        "node_count": nodes.len(), "record_size": 32,
    });
    write(&metadata, &mut out);
    out
}

fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::String(text) => {
            head(2, text.len(), out);
            out.extend(text.as_bytes());
        }
        Value::Number(number) if number.is_u64() => {
            head(5, 2, out);
            out.extend(u16::try_from(number.as_u64().unwrap()).unwrap().to_be_bytes());
        }
        Value::Number(number) => {
            head(3, 8, out);
            out.extend(number.as_f64().unwrap().to_be_bytes());
        }
        Value::Object(entries) => {
            head(7, entries.len(), out);
            for (key, value) in entries {
                write(&json!(key), out);
                // The metadata's wider numbers.
                match key.as_str() {
                    "build_epoch" => out.extend([1, 2, 1]),
                    "node_count" => {
                        head(6, 4, out);
                        out.extend(u32::try_from(value.as_u64().unwrap()).unwrap().to_be_bytes());
                    }
                    _ => write(value, out),
                }
            }
        }
        Value::Array(items) => {
            head(11, items.len(), out);
            items.iter().for_each(|item| write(item, out));
        }
        Value::Null | Value::Bool(_) => panic!("nothing that these databases hold"),
    }
}

fn head(kind: u8, size: usize, out: &mut Vec<u8>) {
    let (short, more) = if size < 29 { (size, None) } else { (29, Some(size - 29)) };
    let short = u8::try_from(short).unwrap();
    match kind {
        1..=7 => out.push(kind << 5 | short),
        _ => out.extend([short, kind - 7]),
    }
    out.extend(more.map(|more| u8::try_from(more).unwrap()));
}
