//! Lists of sites, apps and users: for each entry, which lists hold it.
//!
//! An entry is a hash of eight bytes. All lists of a kind are one table in the order of the hashes, with four bytes for each
//! that say which lists, and half a byte that says where to look: 12.5 bytes an entry. A look-up reads one stretch of some
//! eight hashes.

use std::collections::HashMap;

use haggle_domain::{ListKey, Tag, UserKey};
use haggle_safety::host::host;
use haggle_safety::{LineError, file};

use crate::config::ListKind;

/// The largest list that is read, in bytes.
pub(super) const MAX_LIST_BYTES: u64 = haggle_safety::lists::MAX_LIST_BYTES;
/// The longest entry, in bytes: longer than any domain, bundle or id.
const LONGEST_ENTRY: usize = 256;
/// Hashes that share a stretch: two to this power, on average.
const STRETCH_BITS: u32 = 3;

/// The hash of a domain or bundle.
pub(super) fn word_key(word: &str) -> u64 {
    Tag::of(word).0
}

/// The hash of a user's id: the one that stands for them everywhere.
pub(super) fn user_key(id: &str) -> u64 {
    UserKey::of(id).0
}

/// Gathers entries.
#[derive(Default)]
pub(super) struct Reader {
    lists: Vec<ListKey>,
    /// An entry's hash, and the position of its list.
    entries: Vec<(u64, u32)>,
}

impl Reader {
    /// Adds a list's entries, one a line.
    ///
    /// # Errors
    /// The first line that is no entry.
    pub(super) fn read(&mut self, list: ListKey, kind: ListKind, bytes: &[u8]) -> Result<(), LineError> {
        let position = u32::try_from(self.lists.len()).unwrap_or(u32::MAX);
        self.lists.push(list);
        for line in file::lines(bytes) {
            let (line, text) = line?;
            let entry = file::without_comment(text);
            let key = key(kind, entry).map_err(|problem| LineError { line, problem })?;
            self.entries.push((key, position));
        }
        Ok(())
    }

    /// The table of all that was read.
    pub(super) fn finish(mut self) -> Members {
        self.entries.sort_unstable();
        self.entries.dedup();
        let count = self.entries.chunk_by(|one, other| one.0 == other.0).count();
        let mut members = Members {
            keys: Vec::with_capacity(count),
            sets_of: Vec::with_capacity(count),
            ..Members::default()
        };
        let mut known: HashMap<Vec<u32>, u32> = HashMap::new();
        for holders in self.entries.chunk_by(|one, other| one.0 == other.0) {
            let positions: Vec<u32> = holders.iter().map(|(_, position)| *position).collect();
            let next = u32::try_from(known.len()).unwrap_or(u32::MAX);
            let set = *known.entry(positions).or_insert_with_key(|positions| {
                let lists = positions.iter().filter_map(|position| self.lists.get(*position as usize));
                members.sets.push(lists.copied().collect());
                next
            });
            members.keys.extend(holders.first().map(|(key, _)| *key));
            members.sets_of.push(set);
        }
        members.index();
        members
    }
}

fn key(kind: ListKind, entry: &str) -> Result<u64, String> {
    let plain = entry.len() <= LONGEST_ENTRY && !entry.contains(char::is_whitespace);
    match kind {
        ListKind::Users if plain => Ok(user_key(entry)),
        ListKind::Users => Err(format!(
            "{entry:?} is no user id; write one a line, at most {LONGEST_ENTRY} bytes without spaces"
        )),
        ListKind::Inventory if plain && !entry.contains("//") => match host(entry) {
            // A bundle may be a bare number.
            "" if entry.contains('/') => Err(not_inventory(entry)),
            "" => Ok(word_key(entry)),
            host if host == entry.trim_end_matches('.') => Ok(word_key(host)),
            _ => Err(not_inventory(entry)),
        },
        ListKind::Inventory => Err(not_inventory(entry)),
    }
}

fn not_inventory(entry: &str) -> String {
    format!(
        "{entry:?} is no site or app; write a domain like news.example.com or a bundle, without scheme and path"
    )
}

/// Which lists hold an entry.
#[derive(Debug, Default)]
pub(super) struct Members {
    /// In rising order.
    keys: Vec<u64>,
    /// The position in `sets` of the lists that hold the key at the same place.
    sets_of: Vec<u32>,
    /// Each combination of lists that occurs.
    sets: Vec<Box<[ListKey]>>,
    /// Where the keys begin whose first bits are a number or above it, by that number.
    starts: Vec<u32>,
    /// How many bits of a key are not looked at for that.
    shift: u32,
}

impl Members {
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The lists that hold an entry, by its hash.
    pub(super) fn of(&self, key: u64) -> &[ListKey] {
        self.find(key).unwrap_or_default()
    }

    fn find(&self, key: u64) -> Option<&[ListKey]> {
        let stretch = usize::try_from(key >> self.shift).ok()?;
        let start = *self.starts.get(stretch)? as usize;
        let end = *self.starts.get(stretch + 1)? as usize;
        let within = self.keys.get(start..end)?.iter().position(|known| *known == key)?;
        let set = *self.sets_of.get(start + within)?;
        self.sets.get(set as usize).map(|set| &**set)
    }

    /// Hashes are spread evenly, so their first bits say where they are.
    fn index(&mut self) {
        let bits = self.keys.len().checked_ilog2().unwrap_or(0).saturating_sub(STRETCH_BITS).max(1);
        self.shift = u64::BITS - bits;
        let mut position = 0;
        self.starts = (0..=1_u64 << bits)
            .map(|stretch| {
                let before = |key: &u64| key >> self.shift < stretch;
                while self.keys.get(position).is_some_and(before) {
                    position += 1;
                }
                u32::try_from(position).unwrap_or(u32::MAX)
            })
            .collect();
    }

    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.keys.capacity() * 8 + self.sets_of.capacity() * 4 + self.starts.capacity() * 4
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    fn members(kind: ListKind, lists: &[(&str, &str)]) -> Result<Members, String> {
        let mut reader = Reader::default();
        for (name, text) in lists {
            reader.read(ListKey::of(name), kind, text.as_bytes()).map_err(|error| error.to_string())?;
        }
        Ok(reader.finish())
    }

    #[test]
    fn an_entry_knows_its_lists() {
        let lists = members(
            ListKind::Inventory,
            &[
                ("news", "News.Example # paid\n\n# apps\ncom.example.app\nnews.example\n"),
                ("all", "news.example.\n6448311069\n"),
            ],
        )
        .unwrap();
        let of = |word| lists.of(word_key(word)).to_vec();
        assert_eq!(of("news.example"), [ListKey::of("news"), ListKey::of("all")]);
        assert_eq!(of("COM.example.app"), [ListKey::of("news")]);
        assert_eq!(of("6448311069"), [ListKey::of("all")]);
        assert!(of("other.example").is_empty() && Members::default().of(7).is_empty());
    }

    #[test]
    fn a_line_that_is_no_entry_is_named() {
        for wrong in ["https://news.example", "news.example/sport", "two words", "a.example:8080"] {
            let error =
                members(ListKind::Inventory, &[("l", &format!("good.example\n{wrong}\n"))]).unwrap_err();
            assert!(
                error.starts_with("line 2: ") && error.contains("is no site or app; write a domain"),
                "{error}"
            );
        }
        let error = members(ListKind::Users, &[("l", "u1\n\nu 2\n")]).unwrap_err();
        assert!(error.starts_with("line 3: \"u 2\" is no user id"), "{error}");
        assert!(members(ListKind::Users, &[("l", &"x".repeat(257))]).is_err());
    }

    #[test]
    fn an_entry_takes_few_bytes() {
        let text: String = (0..100_000).map(|number| format!("user-{number}\n")).collect();
        let members = members(ListKind::Users, &[("one", &text), ("two", &text)]).unwrap();
        let each = members.bytes() as f64 / 100_000.0;
        assert!(each < 13.0, "{each} bytes an entry");
        assert_eq!(members.of(user_key("user-99999")).len(), 2);
    }

    proptest! {
        #[test]
        fn it_holds_what_was_put_in_and_nothing_else(
            entries in prop::collection::vec((0_u16..400, 0_usize..5), 0..300),
        ) {
            let names = ["a", "b", "c", "d", "e"];
            let mut texts = [const { String::new() }; 5];
            let mut expected: BTreeMap<u16, BTreeSet<usize>> = BTreeMap::new();
            for (entry, list) in entries {
                texts[list].push_str(&format!("user{entry}\n"));
                expected.entry(entry).or_default().insert(list);
            }
            let lists: Vec<_> = names.iter().copied().zip(texts.iter().map(String::as_str)).collect();
            let members = members(ListKind::Users, &lists).unwrap();
            for entry in 0..400 {
                let wanted: Vec<_> =
                    expected.get(&entry).into_iter().flatten().map(|list| ListKey::of(names[*list])).collect();
                prop_assert_eq!(members.of(user_key(&format!("user{entry}"))), &wanted[..]);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), key: u64) {
            for kind in [ListKind::Inventory, ListKind::Users] {
                let mut reader = Reader::default();
                let _ = reader.read(ListKey::of("l"), kind, &bytes);
                reader.finish().of(key);
            }
        }
    }
}
