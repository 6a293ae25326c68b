//! Finds any of many texts and numbers in logs, answers and files.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use haggle_domain::{PrivacyKey, Tag, UserKey};

/// The last bytes of a needle, by which it is looked up.
const END: usize = 8;

/// What must not be found, and what each is called.
#[derive(Default)]
pub struct Needles {
    by_end: HashMap<[u8; END], Vec<(Vec<u8>, String)>>,
}

impl Needles {
    /// Looks for these bytes, which are at least eight.
    pub fn add(&mut self, what: &str, bytes: &[u8]) {
        let end = *bytes.last_chunk().unwrap();
        self.by_end.entry(end).or_default().push((bytes.to_vec(), what.to_owned()));
    }

    /// Looks for a number in either order of its bytes. The greatest byte first is how CBOR and keys have it.
    pub fn add_number(&mut self, what: &str, number: u64) {
        self.add(what, &number.to_le_bytes());
        self.add(what, &number.to_be_bytes());
    }

    /// Looks for a word, in any case that it is folded to, and for what it is hashed to.
    pub fn add_word(&mut self, what: &str, word: &str) {
        self.add(what, word.as_bytes());
        self.add(what, word.to_uppercase().as_bytes());
        self.add_number(&format!("{what} as a tag"), Tag::of(word).0);
        for (form, number) in keys(word) {
            self.add_number(&format!("{what} as {form}"), number);
        }
    }

    /// Looks for a user's keys no more.
    pub fn allow_user(&mut self, id: &str) {
        for (_, number) in keys(id) {
            self.by_end.remove(&number.to_le_bytes());
            self.by_end.remove(&number.to_be_bytes());
        }
    }

    /// The name of a needle that is there.
    pub fn find(&self, haystack: &[u8]) -> Option<&str> {
        haystack.windows(END).enumerate().find_map(|(start, window)| {
            // Files that are laid out in advance are mostly this.
            if window == [0; END] {
                return None;
            }
            let before = &haystack[..start + END];
            let (_, what) = self.by_end.get(window)?.iter().find(|(needle, _)| before.ends_with(needle))?;
            Some(&**what)
        })
    }

    /// The names of a needle and of the file below a folder that has it.
    pub fn find_below(&self, folder: &Path) -> Option<String> {
        fs::read_dir(folder).unwrap().map(Result::unwrap).find_map(|entry| {
            if entry.file_type().unwrap().is_dir() {
                return self.find_below(&entry.path());
            }
            let found = self.find(&fs::read(entry.path()).unwrap())?;
            Some(format!("{found} in {}", entry.path().display()))
        })
    }
}

/// The names under which a user is kept.
fn keys(id: &str) -> [(&'static str, u64); 2] {
    let user = UserKey::of(id);
    [("a user's key", user.0), ("a privacy key", PrivacyKey::of(user).0)]
}
