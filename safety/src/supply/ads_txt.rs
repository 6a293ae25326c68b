//! `ads.txt` and `app-ads.txt` (IAB Tech Lab, "ads.txt Specification", version 1.1, section 3).

use haggle_domain::Tag;

use crate::host::{host, is_domain};

/// The most records that one file's list may have. The longest real ones have some tens of thousands.
const MOST_RECORDS: usize = 200_000;
/// The most domains that a variable may be repeated with.
const MOST_DOMAINS: usize = 256;

/// Whose account it is that inventory is sold through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Relation {
    /// The publisher's own.
    Direct,
    /// Another's.
    Reseller,
}

/// A record: this account of this advertising system may sell the inventory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Authorised {
    /// The advertising system's domain.
    pub system: Tag,
    /// The account there.
    pub seller: Tag,
    /// Whose account it is.
    pub relation: Relation,
}

/// A file, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdsTxt {
    /// Who may sell, in order of system and account.
    pub records: Vec<Authorised>,
    /// `OWNERDOMAIN`: the business that owns the inventory.
    pub owner: Option<String>,
    /// `MANAGERDOMAIN`: who manages its sale, without the country that may follow.
    pub managers: Vec<String>,
    /// `SUBDOMAIN`: subdomains that have files of their own.
    pub subdomains: Vec<String>,
    /// `INVENTORYPARTNERDOMAIN`: partners whose files authorise for shared inventory (section 3.5.5).
    pub partners: Vec<String>,
    /// `placeholder.example.com, placeholder, DIRECT, placeholder` says that nobody at all may sell (section 3.2.1).
    pub nobody: bool,
    /// Lines that say neither a record nor a variable.
    pub bad_lines: usize,
}

impl AdsTxt {
    /// Reads a file. What a line says wrong is counted and passed over, as the specification asks (section 3.1): one bad
    /// line must not take the authorisation from all others. Bytes that are not UTF-8 spoil their line alone.
    pub fn parse(bytes: &[u8]) -> Self {
        let mut read = Self::default();
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        // A carriage return alone ends a line as well (section 3.1 names CR, LF and CRLF).
        for line in bytes.split(|byte| matches!(byte, b'\n' | b'\r')) {
            let said = line.split(|byte| *byte == b'#').next().unwrap_or(line);
            match std::str::from_utf8(said) {
                Ok(said) if said.trim().is_empty() => {}
                Ok(said) if read.line(said).is_some() => {}
                _ => read.bad_lines += 1,
            }
        }
        read.records.sort_unstable();
        read.records.dedup();
        read.records.shrink_to_fit();
        read
    }

    fn line(&mut self, said: &str) -> Option<()> {
        // Behind a semicolon stands an extension (section 3.1).
        let said = said.split(';').next().unwrap_or("").trim();
        let first = said.split(',').next().unwrap_or("");
        if let Some((name, value)) = said.split_once('=').filter(|(name, _)| first.len() > name.len()) {
            return self.variable(name.trim(), value.trim());
        }
        let mut fields = said.split(',').map(str::trim);
        let (system, seller, relation) = (fields.next()?, fields.next()?, fields.next()?);
        // Some write a comment behind the relation without its mark.
        let relation = match relation.split_whitespace().next()? {
            word if word.eq_ignore_ascii_case("DIRECT") => Relation::Direct,
            word if word.eq_ignore_ascii_case("RESELLER") => Relation::Reseller,
            _ => return None,
        };
        let system = host(system);
        if !is_domain(system) || seller.is_empty() || self.records.len() >= MOST_RECORDS {
            return None;
        }
        if system.eq_ignore_ascii_case("placeholder.example.com") {
            self.nobody = true;
            return Some(());
        }
        self.records.push(Authorised { system: Tag::of(system), seller: Tag::of(seller), relation });
        Some(())
    }

    fn variable(&mut self, name: &str, value: &str) -> Option<()> {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        let list = if is("OWNERDOMAIN") {
            // It may be said once; what follows is wrong (section 3.2.1), and the first holds.
            if self.owner.is_some() {
                return None;
            }
            self.owner = Some(domain(value)?);
            return Some(());
        } else if is("MANAGERDOMAIN") {
            &mut self.managers
        } else if is("SUBDOMAIN") {
            &mut self.subdomains
        } else if is("INVENTORYPARTNERDOMAIN") {
            &mut self.partners
        } else {
            // CONTACT, and variables that are yet to come.
            return Some(());
        };
        let domain = domain(value.split(',').next()?)?;
        if list.len() >= MOST_DOMAINS {
            return None;
        }
        list.push(domain);
        Some(())
    }

    /// Whether it says anything at all: a page that was sent in its place says nothing.
    pub fn says_something(&self) -> bool {
        self.nobody || !self.records.is_empty() || !self.subdomains.is_empty() || !self.partners.is_empty()
    }
}

fn domain(text: &str) -> Option<String> {
    let host = host(text);
    is_domain(host).then(|| host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(system: &str, seller: &str, relation: Relation) -> Authorised {
        Authorised { system: Tag::of(system), seller: Tag::of(seller), relation }
    }

    #[test]
    fn records_variables_and_oddities_are_read_as_the_specification_says() {
        let text = b"\xef\xbb\xbf# ads.txt of a publisher\r\n\
            Exchange.Example, 1234 , direct, f08c47fec0942fa0 # the main one\r\
            ssp.example,Ab-9,RESELLER;ext=1\n\
            ssp.example,Ab-9,RESELLER\n\
            https://www.other.example/,7,DIRECT please\n\
            \n\
            CONTACT=ads@publisher.example\n\
            OwnerDomain = Publisher.Example\n\
            OWNERDOMAIN=second.example\n\
            MANAGERDOMAIN=manager.example, US\n\
            subdomain=news.publisher.example\n\
            INVENTORYPARTNERDOMAIN=partner.example\n\
            not a record\n\
            exchange.example, 5\n\
            exchange.example, , DIRECT\n\
            exchange.example, 6, SOMETIMES\n\
            localhost, 6, DIRECT\n\
            \xff, 6, DIRECT\n";
        let read = AdsTxt::parse(text);
        let mut expected = vec![
            record("exchange.example", "1234", Relation::Direct),
            record("ssp.example", "ab-9", Relation::Reseller),
            record("www.other.example", "7", Relation::Direct),
        ];
        expected.sort_unstable();
        assert_eq!(read.records, expected);
        assert_eq!(read.owner.as_deref(), Some("publisher.example"));
        assert_eq!(read.managers, ["manager.example"]);
        assert_eq!(read.subdomains, ["news.publisher.example"]);
        assert_eq!(read.partners, ["partner.example"]);
        assert_eq!(read.bad_lines, 7);
        assert!(read.says_something() && !read.nobody);
    }

    #[test]
    fn a_seller_id_may_hold_an_equals_sign() {
        let read = AdsTxt::parse(b"exchange.example, id=5, DIRECT");
        assert_eq!(read.records, [record("exchange.example", "id=5", Relation::Direct)]);
    }

    #[test]
    fn the_placeholder_says_that_nobody_may_sell() {
        let read = AdsTxt::parse(b"placeholder.example.com, placeholder, DIRECT, placeholder");
        assert!(read.nobody && read.records.is_empty() && read.says_something());
    }

    #[test]
    fn a_page_in_its_place_says_nothing() {
        let read =
            AdsTxt::parse(b"<!DOCTYPE html>\n<html><body class=\"a\">Not found, sorry</body></html>\n");
        assert!(!read.says_something());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..400),
            near in "[a-z.,;=# \r\nDIRECTSUBOMAN0-9]{0,200}",
        ) {
            AdsTxt::parse(&bytes);
            AdsTxt::parse(near.as_bytes());
        }
    }
}
