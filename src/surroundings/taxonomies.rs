//! What a content category belongs to, for taxonomies whose codes do not say it.
//!
//! A taxonomy is a file of tab-separated values with a column for a category's id and one for its parent's, as IAB Tech Lab
//! publishes its content taxonomies 2.0 to 3.1.

use std::collections::HashMap;

use haggle_domain::Tag;
use haggle_safety::LineError;
use smallvec::SmallVec;

/// The largest file that is read, in bytes; those published have less than a tenth of it.
pub(super) const MAX_BYTES: u64 = 4 << 20;
/// Lines before which the columns must be named.
const HEADER_WITHIN: usize = 10;
/// The most tiers of a taxonomy; those published have four.
const MOST_TIERS: usize = 16;
/// The most categories of a request, with those that they belong to.
const MOST_CATEGORIES: usize = 64;

/// Each category's parent, in any taxonomy.
#[derive(Debug, Default)]
pub(super) struct Taxonomies(HashMap<Tag, Tag>);

impl Taxonomies {
    /// Adds a taxonomy, by its number in AdCOM 1.0's list.
    ///
    /// # Errors
    /// The first line that is wrong.
    pub(super) fn read(&mut self, taxonomy: u8, bytes: &[u8]) -> Result<(), LineError> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let read = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let line = read.iter().filter(|byte| **byte == b'\n').count() + 1;
            LineError { line, problem: "is not UTF-8; save the file as UTF-8 text".to_owned() }
        })?;
        let (mut columns, mut last) = (None, 1);
        let mut parents: Vec<(usize, Tag, Tag)> = Vec::new();
        let wrong = |line, problem: &str| LineError { line, problem: problem.to_owned() };
        for (text, line) in text.trim_start_matches('\u{feff}').lines().zip(1..) {
            if text.trim().is_empty() {
                continue;
            }
            last = line;
            let cells: SmallVec<[&str; 12]> = text.split('\t').map(plain).collect();
            let Some((id, parent)) = columns else {
                let named = |names: [&str; 3]| {
                    cells.iter().position(|cell| names.iter().any(|name| cell.eq_ignore_ascii_case(name)))
                };
                let id = named(["unique id", "id", "unique_id"]);
                columns = id.zip(named(["parent", "parent id", "parent_id"]));
                if columns.is_none() && line >= HEADER_WITHIN {
                    break;
                }
                continue;
            };
            let id = Tag::category(taxonomy, cells.get(id).unwrap_or(&""));
            if !id.is_some() {
                return Err(wrong(
                    line,
                    "has no unique id; each line below the names of the columns needs one",
                ));
            }
            let parent = Tag::category(taxonomy, cells.get(parent).unwrap_or(&""));
            if parent.is_some() {
                parents.push((line, id, parent));
                self.0.insert(id, parent);
            }
        }
        if columns.is_none() {
            return Err(wrong(
                last,
                "no line names the columns \"Unique ID\" and \"Parent\"; save the taxonomy as tab-separated values, as IAB \
                 Tech Lab publishes it",
            ));
        }
        for (line, id, _) in parents {
            let above = std::iter::successors(self.0.get(&id), |above| self.0.get(above));
            if above.take(MOST_TIERS + 1).count() > MOST_TIERS {
                return Err(wrong(line, "belongs to itself, or to more than 16 tiers; correct its parent"));
            }
        }
        Ok(())
    }

    /// Adds to categories what they belong to, each once, as far as there is room.
    pub(super) fn add_parents(&self, categories: &mut SmallVec<[Tag; 8]>) {
        if self.0.is_empty() {
            return;
        }
        // It grows while it is walked through.
        let mut position = 0;
        while let Some(category) = categories.get(position) {
            if let Some(parent) = self.0.get(category)
                && categories.len() < MOST_CATEGORIES
                && !categories.contains(parent)
            {
                categories.push(*parent);
            }
            position += 1;
        }
    }
}

/// A cell without spaces and the quotes that spreadsheets put around some.
fn plain(cell: &str) -> &str {
    let cell = cell.trim();
    cell.strip_prefix('"').and_then(|cell| cell.strip_suffix('"')).unwrap_or(cell).trim()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "Relational ID System\t\t\tTiers\nUnique ID\tParent\tName\tTier 1\n\
                        1\t\tVehicles\tVehicles\n2\t1\tBodies\tVehicles\n3\t2\tVans\tVehicles\nJL7\t\tShows\tShows\n";

    fn read(text: &str) -> Result<Taxonomies, String> {
        let mut taxonomies = Taxonomies::default();
        taxonomies.read(7, text.as_bytes()).map_err(|error| error.to_string())?;
        Ok(taxonomies)
    }

    fn with_parents(taxonomies: &Taxonomies, codes: &[&str]) -> Vec<Tag> {
        let mut categories = codes.iter().map(|code| Tag::category(7, code)).collect();
        taxonomies.add_parents(&mut categories);
        categories.to_vec()
    }

    #[test]
    fn a_category_belongs_to_all_above_it() {
        let taxonomies = read(GOOD).unwrap();
        let tags = |codes: &[&str]| codes.iter().map(|code| Tag::category(7, code)).collect::<Vec<_>>();
        assert_eq!(with_parents(&taxonomies, &["3"]), tags(&["3", "2", "1"]));
        assert_eq!(with_parents(&taxonomies, &["2", "3", "JL7", "99"]), tags(&["2", "3", "JL7", "99", "1"]));
        let mut other = [Tag::category(6, "3")].into_iter().collect();
        taxonomies.add_parents(&mut other);
        assert_eq!(other.len(), 1, "another taxonomy's code");
    }

    #[test]
    fn the_columns_may_stand_anywhere_and_be_quoted() {
        let taxonomies = read("\u{feff}Name\t\"Parent ID\"\t\"Unique ID\"\r\nVans\t 1 \t\"2\"\r\n").unwrap();
        assert_eq!(with_parents(&taxonomies, &["2"]).len(), 2);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, says) in [
            ("a\tb\n1\t2\n", "line 2: no line names the columns \"Unique ID\" and \"Parent\""),
            ("", "line 1: no line names"),
            ("Unique ID\tParent\n1\t\n\t1\tx\n", "line 3: has no unique id"),
            ("Unique ID\tParent\n1\t2\n2\t3\n3\t1\n", "line 2: belongs to itself"),
            ("Unique ID\tParent\n1\t1\n", "line 2: belongs to itself"),
        ] {
            let told = read(text).unwrap_err();
            assert!(told.starts_with(says), "{told}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_run_on(bytes in "(Unique ID\tParent\n)?([0-9]\t[0-9]\n){0,20}.{0,20}") {
            let mut taxonomies = Taxonomies::default();
            let _ = taxonomies.read(7, bytes.as_bytes());
            // Also where a loop was refused, which nobody goes on with.
            let mut categories = (0..10).map(|code| Tag::category(7, &code.to_string())).collect();
            taxonomies.add_parents(&mut categories);
            prop_assert!(categories.len() <= 64);
        }
    }
}
