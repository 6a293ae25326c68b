//! The operator's own allow and block lists: a folder of text files, one entry a line.
//!
//! | file | an entry |
//! | --- | --- |
//! | `block-domains.txt`, `allow-domains.txt` | a site's domain; its subdomains are meant too |
//! | `block-bundles.txt`, `allow-bundles.txt` | an app's bundle |
//! | `block-publishers.txt`, `allow-publishers.txt` | a publisher's id, or `exchange/id` with the exchange's configured name |
//! | `block-sellers.txt`, `allow-sellers.txt` | an advertising system's domain, `system/seller`, or a seller's own domain |
//!
//! Entries become hashes, so a list of millions takes eight bytes for each (sixteen where an entry is a pair).

use std::fs;
use std::path::Path;

use haggle_domain::Tag;

use crate::facts::{Facts, Node};
use crate::file::{self, FileError, LineError};
use crate::host::{host, with_parents};
use crate::reason::{Reasons, SafetyReason};

/// The largest list that is read, in bytes.
pub const MAX_LIST_BYTES: u64 = 256 << 20;

/// One list of each kind, for blocking or for allowing.
#[derive(Debug, Default)]
struct Side {
    domains: Words,
    bundles: Words,
    publishers: Pairs,
    sellers: Pairs,
}

/// All lists.
#[derive(Debug, Default)]
pub struct Lists {
    block: Side,
    allow: Side,
}

/// Where a file's entries go.
type Reader = fn(&mut Lists, &[u8]) -> Result<(), LineError>;

/// The names of the files.
const FILES: [(&str, Reader); 8] = [
    ("block-domains.txt", |lists, bytes| lists.block.domains.read(bytes, domain)),
    ("allow-domains.txt", |lists, bytes| lists.allow.domains.read(bytes, domain)),
    ("block-bundles.txt", |lists, bytes| lists.block.bundles.read(bytes, |bundle| Ok(bundle))),
    ("allow-bundles.txt", |lists, bytes| lists.allow.bundles.read(bytes, |bundle| Ok(bundle))),
    ("block-publishers.txt", |lists, bytes| lists.block.publishers.read(bytes)),
    ("allow-publishers.txt", |lists, bytes| lists.allow.publishers.read(bytes)),
    ("block-sellers.txt", |lists, bytes| lists.block.sellers.read(bytes)),
    ("allow-sellers.txt", |lists, bytes| lists.allow.sellers.read(bytes)),
];

impl Lists {
    /// Reads a folder. Lists that are not there are empty; a text file of another name is an error, because a list with
    /// a misspelt name would block nothing.
    ///
    /// # Errors
    /// What cannot be read, and the first line that is wrong.
    pub fn load(folder: &Path) -> Result<Self, FileError> {
        let fail = |error| FileError::Unreadable { path: folder.to_owned(), error };
        let mut lists = Self::default();
        for entry in fs::read_dir(folder).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            if path.extension().is_none_or(|extension| extension != "txt") {
                continue;
            }
            let name = path.file_name().and_then(|name| name.to_str());
            let Some((_, reader)) = FILES.iter().find(|(known, _)| Some(*known) == name) else {
                let known = FILES.map(|(known, _)| known).join(", ");
                return Err(FileError::UnknownName { path, known });
            };
            let bytes = file::read(&path, MAX_LIST_BYTES)?;
            reader(&mut lists, &bytes).map_err(|error| FileError::at(&path, error))?;
        }
        Ok(lists)
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        let side = |side: &Side| {
            side.domains.0.len() + side.bundles.0.len() + side.publishers.0.len() + side.sellers.0.len()
        };
        side(&self.block) + side(&self.allow)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the lists say against a request. Allocates nothing.
    ///
    /// The lists of allowed domains and bundles are one: where either has an entry, a site has to be on the one or an app
    /// on the other. Sellers are those of the supply chain, and without one the publisher's account at the exchange.
    pub fn check(&self, facts: &Facts<'_>) -> Reasons {
        let mut found = Reasons::NONE;
        if self.is_empty() {
            return found;
        }
        let named = |side: &Side| side.names_domain(facts.site) || side.bundles.holds(facts.bundle);
        let only_allowed = !self.allow.domains.0.is_empty() || !self.allow.bundles.0.is_empty();
        if named(&self.block) || (only_allowed && !named(&self.allow)) {
            found.add(SafetyReason::BlockedInventory);
        }
        let published = |side: &Side| {
            let publisher = Tag::of(facts.publisher.trim());
            publisher.is_some()
                && (side.publishers.holds(Tag::NONE, publisher)
                    || side.publishers.holds(Tag::of(facts.exchange), publisher))
        };
        if published(&self.block) || (!self.allow.publishers.0.is_empty() && !published(&self.allow)) {
            found.add(SafetyReason::BlockedPublisher);
        }
        let direct = [Node { system: facts.exchange_domain, seller: facts.publisher, domain: "" }];
        let nodes = match &facts.chain {
            Some(chain) => chain.nodes,
            None => direct.as_slice(),
        };
        let blocked = nodes.iter().any(|node| self.block.names_seller(node));
        let allowed = self.allow.sellers.0.is_empty()
            || (!nodes.is_empty() && nodes.iter().all(|node| self.allow.names_seller(node)));
        if blocked || !allowed {
            found.add(SafetyReason::BlockedSeller);
        }
        found
    }
}

impl Side {
    fn names_domain(&self, site: &str) -> bool {
        !self.domains.0.is_empty() && with_parents(host(site)).any(|domain| self.domains.holds(domain))
    }

    fn names_seller(&self, node: &Node<'_>) -> bool {
        if self.sellers.0.is_empty() {
            return false;
        }
        let (system, seller) = (Tag::of(host(node.system)), Tag::of(node.seller.trim()));
        let alone = |tag: Tag| tag.is_some() && self.sellers.holds(Tag::NONE, tag);
        alone(system)
            || alone(Tag::of(host(node.domain)))
            || (system.is_some() && self.sellers.holds(system, seller))
    }
}

/// Words, as hashes in order.
#[derive(Debug, Default)]
struct Words(Vec<Tag>);

impl Words {
    fn read(&mut self, bytes: &[u8], check: fn(&str) -> Result<&str, String>) -> Result<(), LineError> {
        for entry in file::lines(bytes) {
            let (line, text) = entry?;
            let word = check(file::without_comment(text)).map_err(|problem| LineError { line, problem })?;
            self.0.push(Tag::of(word));
        }
        self.0.sort_unstable();
        self.0.dedup();
        self.0.shrink_to_fit();
        Ok(())
    }

    fn holds(&self, word: &str) -> bool {
        let tag = Tag::of(word.trim());
        tag.is_some() && self.0.binary_search(&tag).is_ok()
    }
}

/// Words that may stand behind another with a slash between, as pairs of hashes in order; the first is
/// [`Tag::NONE`] for a word that stands alone.
#[derive(Debug, Default)]
struct Pairs(Vec<(Tag, Tag)>);

impl Pairs {
    fn read(&mut self, bytes: &[u8]) -> Result<(), LineError> {
        for entry in file::lines(bytes) {
            let (_, text) = entry?;
            let text = file::without_comment(text);
            // The id itself may hold a slash, so both readings are kept.
            self.0.push((Tag::NONE, Tag::of(text)));
            if let Some((first, second)) = text.split_once('/') {
                let (first, second) = (Tag::of(first.trim()), Tag::of(second.trim()));
                if first.is_some() && second.is_some() {
                    self.0.push((first, second));
                }
            }
        }
        self.0.sort_unstable();
        self.0.dedup();
        self.0.shrink_to_fit();
        Ok(())
    }

    fn holds(&self, first: Tag, second: Tag) -> bool {
        self.0.binary_search(&(first, second)).is_ok()
    }
}

/// An entry of a list of domains.
fn domain(text: &str) -> Result<&str, String> {
    match host(text) {
        "" => Err(format!("{text:?} is no domain; write it like news.example.com")),
        host => Ok(host),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::facts::Chain;

    fn lists(files: &[(&str, &str)]) -> Result<Lists, FileError> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        Lists::load(folder.path())
    }

    fn found(files: &[(&str, &str)], facts: &Facts<'_>) -> Vec<SafetyReason> {
        lists(files).unwrap().check(facts).iter().collect()
    }

    fn site(site: &str) -> Facts<'_> {
        Facts { site, ..Facts::default() }
    }

    #[test]
    fn a_blocked_domain_blocks_its_subdomains_alone() {
        let files = [("block-domains.txt", "\u{feff}# bad ones\r\nBad.Example # why\r\nsub.other.example\n")];
        for blocked in
            ["bad.example", "www.BAD.example", "https://a.b.bad.example:443/page", "sub.other.example"]
        {
            assert_eq!(found(&files, &site(blocked)), [SafetyReason::BlockedInventory], "{blocked}");
        }
        for fine in ["notbad.example", "other.example", "bad.example.org", ""] {
            assert_eq!(found(&files, &site(fine)), [], "{fine}");
        }
    }

    #[test]
    fn an_allow_list_with_entries_leaves_out_the_rest() {
        let files = [("allow-domains.txt", "good.example\n"), ("allow-bundles.txt", "com.good\n")];
        assert_eq!(found(&files, &site("news.good.example")), []);
        assert_eq!(found(&files, &Facts { bundle: "com.GOOD", ..Facts::default() }), []);
        for facts in
            [site("other.example"), Facts { bundle: "com.other", ..Facts::default() }, Facts::default()]
        {
            assert_eq!(found(&files, &facts), [SafetyReason::BlockedInventory]);
        }
        assert_eq!(found(&[("allow-domains.txt", "# none yet\n")], &site("other.example")), []);
    }

    #[test]
    fn a_publisher_is_meant_everywhere_or_at_one_exchange() {
        let files = [("block-publishers.txt", "77\nalder/42\na/b\n")];
        let at = |exchange, publisher| found(&files, &Facts { exchange, publisher, ..Facts::default() });
        assert_eq!(at("birch", "77"), [SafetyReason::BlockedPublisher]);
        assert_eq!(at("alder", "42"), [SafetyReason::BlockedPublisher]);
        assert_eq!(at("birch", "a/b"), [SafetyReason::BlockedPublisher]);
        assert_eq!(at("birch", "42"), []);
        assert_eq!(at("", ""), []);
        let allow = [("allow-publishers.txt", "alder/42\n")];
        let at = |exchange, publisher| found(&allow, &Facts { exchange, publisher, ..Facts::default() });
        assert_eq!(at("alder", "42"), []);
        assert_eq!(at("alder", ""), [SafetyReason::BlockedPublisher]);
    }

    #[test]
    fn sellers_are_found_by_system_account_or_domain() {
        let files = [("block-sellers.txt", "shady.example\nssp.example/13\nreseller.example\n")];
        let check = |system, seller, domain| {
            let nodes =
                [Node { system: "fine.example", seller: "1", domain: "" }, Node { system, seller, domain }];
            let chain = Some(Chain { complete: true, version: "1.0", nodes: &nodes });
            found(&files, &Facts { chain, ..Facts::default() })
        };
        assert_eq!(check("SHADY.example", "1", ""), [SafetyReason::BlockedSeller]);
        assert_eq!(check("ssp.example", "13", ""), [SafetyReason::BlockedSeller]);
        assert_eq!(check("ssp.example", "1", "reseller.example"), [SafetyReason::BlockedSeller]);
        assert_eq!(check("ssp.example", "1", ""), []);
        let direct = Facts { exchange_domain: "ssp.example", publisher: "13", ..Facts::default() };
        assert_eq!(found(&files, &direct), [SafetyReason::BlockedSeller]);
        let allow = [("allow-sellers.txt", "ssp.example/13\n")];
        assert_eq!(found(&allow, &direct), []);
        assert_eq!(found(&allow, &Facts::default()), [SafetyReason::BlockedSeller]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = lists(&[("block-domain.txt", "bad.example")]).unwrap_err().to_string();
        assert!(error.contains("is no list that is known; name it one of block-domains.txt"), "{error}");
        let error = lists(&[("block-domains.txt", "good.example\nnot a domain\n")]).unwrap_err().to_string();
        assert!(
            error.ends_with(
                "block-domains.txt:2: \"not a domain\" is no domain; write it like news.example.com"
            ),
            "{error}"
        );
        assert!(
            Lists::load(Path::new("/nowhere/at/all")).unwrap_err().to_string().contains("cannot be read")
        );
        assert!(lists(&[("readme.md", "anything")]).unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in ".{0,60}") {
            for (_, reader) in FILES {
                let mut lists = Lists::default();
                if reader(&mut lists, &bytes).is_ok() {
                    let nodes = [Node { system: &text, seller: &text, domain: &text }];
                    let chain = Some(Chain { complete: true, version: "", nodes: &nodes });
                    lists.check(&Facts { site: &text, bundle: &text, publisher: &text, chain, ..Facts::default() });
                }
            }
        }
    }
}
