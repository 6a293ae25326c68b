//! `sellers.json` (IAB Tech Lab, "Sellers.json", version 1.0).

use std::fmt;
use std::io::Read;

use haggle_domain::Tag;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};

/// The most sellers that are kept of one system.
const MOST_SELLERS: usize = 4_000_000;

/// What a seller is to the advertising system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SellerType {
    /// The owner of the inventory, who is paid directly.
    Publisher,
    /// One who sells others' inventory.
    Intermediary,
    /// Both.
    Both,
}

/// One seller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seller {
    /// `seller_id`.
    pub id: Tag,
    /// `seller_type`.
    pub kind: SellerType,
    /// `domain`; [`Tag::NONE`] where it is absent or confidential.
    pub domain: Tag,
    /// `is_passthrough`: the account only carries what the next one sells.
    pub passthrough: bool,
}

/// A file, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sellers {
    /// The sellers in order of ids.
    pub sellers: Vec<Seller>,
    /// Entries that say no id or no known type.
    pub bad_entries: usize,
}

impl Sellers {
    /// Reads a file from a stream, entry by entry, so that a file of hundreds of megabytes never stands in memory whole.
    ///
    /// # Errors
    /// Where it is not JSON, or has no list of sellers.
    pub fn parse(reader: impl Read) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Document {
            sellers: Sellers,
        }
        let document: Document = serde_json::from_reader(reader).map_err(|error| error.to_string())?;
        let mut read = document.sellers;
        read.sellers.sort_unstable();
        read.sellers.dedup_by_key(|seller| seller.id);
        read.sellers.shrink_to_fit();
        Ok(read)
    }
}

impl<'de> Deserialize<'de> for Sellers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Sellers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of sellers")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Sellers, A::Error> {
                let mut read = Sellers::default();
                while let Some(entry) = entries.next_element::<Entry>()? {
                    match entry.compact() {
                        Some(seller) if read.sellers.len() < MOST_SELLERS => read.sellers.push(seller),
                        _ => read.bad_entries += 1,
                    }
                }
                Ok(read)
            }
        }
        deserializer.deserialize_seq(Entries)
    }
}

/// An entry as it is written: whatever stands in a field, so that one bad entry spoils itself alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    Seller(Box<Fields>),
    Other(IgnoredAny),
}

#[derive(Deserialize)]
struct Fields {
    #[serde(default)]
    seller_id: Loose,
    #[serde(default)]
    seller_type: Loose,
    #[serde(default)]
    domain: Loose,
    #[serde(default)]
    is_confidential: Loose,
    #[serde(default)]
    is_passthrough: Loose,
}

/// A text, or a number where some write one.
#[derive(Deserialize, Default)]
#[serde(untagged)]
enum Loose {
    Text(String),
    Number(i64),
    #[default]
    Absent,
    Other(IgnoredAny),
}

impl Loose {
    fn tag(&self) -> Tag {
        match self {
            Self::Text(text) => Tag::of(text.trim()),
            Self::Number(number) => Tag::of(&number.to_string()),
            Self::Absent | Self::Other(_) => Tag::NONE,
        }
    }

    fn is_one(&self) -> bool {
        match self {
            Self::Text(text) => text == "1",
            Self::Number(number) => *number == 1,
            Self::Absent | Self::Other(_) => false,
        }
    }
}

impl Entry {
    fn compact(&self) -> Option<Seller> {
        let Self::Seller(fields) = self else { return None };
        let Loose::Text(kind) = &fields.seller_type else { return None };
        let kind = match kind.trim() {
            kind if kind.eq_ignore_ascii_case("PUBLISHER") => SellerType::Publisher,
            kind if kind.eq_ignore_ascii_case("INTERMEDIARY") => SellerType::Intermediary,
            kind if kind.eq_ignore_ascii_case("BOTH") => SellerType::Both,
            _ => return None,
        };
        let id = fields.seller_id.tag();
        let domain = if fields.is_confidential.is_one() { Tag::NONE } else { fields.domain.tag() };
        id.is_some().then_some(Seller { id, kind, domain, passthrough: fields.is_passthrough.is_one() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sellers_are_read_and_bad_entries_counted() {
        let text = r#"{"contact_email":"a@b.example","version":"1.0","identifiers":[{"name":"TAG-ID","value":"1"}],
            "sellers":[
                {"seller_id":"10","name":"News","domain":"news.example","seller_type":"PUBLISHER"},
                {"seller_id":11,"seller_type":"intermediary","is_confidential":1,"domain":"hidden.example"},
                {"seller_id":"12","seller_type":"BOTH","is_passthrough":1,"domain":"both.example","ext":{"a":[1]}},
                {"seller_id":"13","seller_type":"FRIEND"},
                {"seller_type":"PUBLISHER"}, 7, null
            ]}"#;
        let read = Sellers::parse(text.as_bytes()).unwrap();
        assert_eq!(read.bad_entries, 4);
        let of = |id: &str| *read.sellers.iter().find(|seller| seller.id == Tag::of(id)).unwrap();
        assert_eq!((of("10").kind, of("10").domain), (SellerType::Publisher, Tag::of("news.example")));
        assert_eq!((of("11").kind, of("11").domain), (SellerType::Intermediary, Tag::NONE));
        assert_eq!((of("12").kind, of("12").passthrough), (SellerType::Both, true));
        assert!(read.sellers.windows(2).all(|pair| pair[0].id < pair[1].id));
    }

    #[test]
    fn what_is_no_sellers_json_is_refused() {
        for text in ["<html>", "{}", "[]", r#"{"sellers":{}}"#, r#"{"sellers":[{"seller_id":"1""#, ""] {
            assert!(Sellers::parse(text.as_bytes()).is_err(), "{text}");
        }
        let deep = format!(r#"{{"sellers":[{}"#, "[".repeat(100_000));
        assert!(Sellers::parse(deep.as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), near in r#"[\[\]{}",:a-z0-9]{0,120}"#) {
            let _ = Sellers::parse(bytes.as_slice());
            let _ = Sellers::parse(format!(r#"{{"sellers":{near}}}"#).as_bytes());
        }
    }
}
