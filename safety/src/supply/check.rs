//! A request's seller and supply chain, held against the store.

use std::collections::HashMap;

use haggle_domain::Tag;

use super::ads_txt::Relation;
use super::sellers::{Seller, SellerType};
use super::store::{Publisher, Store};
use crate::facts::{Chain, Facts, Node};
use crate::host::{host, trimmed, with_parents};
use crate::reason::{Reasons, SafetyReason};

/// Longer chains are not looked into: no real one has so many hands in it.
const MOST_NODES: usize = 32;

/// As what an account is authorised.
#[derive(Clone, Copy, Default)]
struct Authorisation {
    direct: bool,
    reseller: bool,
}

impl Authorisation {
    fn is_some(self) -> bool {
        self.direct || self.reseller
    }
}

impl Store {
    /// What is wrong with a request's supply. Allocates nothing.
    ///
    /// With a chain, its first node's account has to be in the inventory's `ads.txt` and every node's seller in its
    /// system's `sellers.json`; without one, the publisher's account at the exchange takes the first node's place, where
    /// the exchange's domain is known.
    pub fn check(&self, facts: &Facts<'_>) -> Reasons {
        let mut found = Reasons::NONE;
        let direct = [Node { system: facts.exchange_domain, seller: facts.publisher, domain: "" }];
        let nodes = match &facts.chain {
            Some(chain) => {
                check_chain(chain, facts.exchange_domain, &mut found);
                chain.nodes.get(..MOST_NODES).unwrap_or(chain.nodes)
            }
            None if facts.exchange_domain.is_empty() || facts.publisher.is_empty() => return found,
            None => direct.as_slice(),
        };
        let Some(first) = nodes.first().filter(|node| is_whole(node)) else { return found };
        let inventory = host(if facts.site.is_empty() { facts.app_domain } else { facts.site });
        let files = if facts.site.is_empty() { &self.apps } else { &self.sites };
        let publisher = with_parents(inventory).find_map(|domain| files.get(&Tag::of(domain)));
        let authorisation = publisher.map(|publisher| authorisation(files, publisher, first));
        match authorisation {
            None => found.add(SafetyReason::AdsTxtUnavailable),
            Some(authorisation) if !authorisation.is_some() => found.add(SafetyReason::UnauthorisedSeller),
            Some(_) => {}
        }
        for (position, node) in nodes.iter().enumerate().filter(|(_, node)| is_whole(node)) {
            let Some(sellers) = self.systems.get(&Tag::of(host(node.system))) else { continue };
            let Some(seller) = find(sellers, Tag::of(trimmed(node.seller))) else {
                found.add(SafetyReason::UnlistedSeller);
                continue;
            };
            let fits = if position == 0 {
                publisher.zip(authorisation).is_none_or(|(publisher, authorisation)| {
                    !authorisation.is_some() || fits(seller, authorisation, publisher, inventory)
                })
            } else {
                // Who buys from the node before sells what is not its own.
                seller.kind != SellerType::Publisher || seller.passthrough
            };
            if !fits {
                found.add(SafetyReason::SellerTypeMismatch);
            }
        }
        found
    }
}

fn is_whole(node: &Node<'_>) -> bool {
    !trimmed(node.system).is_empty() && !trimmed(node.seller).is_empty()
}

fn check_chain(chain: &Chain<'_>, exchange_domain: &str, found: &mut Reasons) {
    let known = matches!(trimmed(chain.version), "" | "1" | "1.0");
    let sized = (1..=MOST_NODES).contains(&chain.nodes.len());
    if !known || !sized || !chain.nodes.iter().take(MOST_NODES).all(is_whole) {
        found.add(SafetyReason::MalformedChain);
    }
    if !chain.complete {
        found.add(SafetyReason::IncompleteChain);
    }
    if let Some(last) = chain.nodes.last()
        && !exchange_domain.is_empty()
        && !host(last.system).eq_ignore_ascii_case(exchange_domain)
    {
        found.add(SafetyReason::ForeignChain);
    }
}

/// As what a file, or that of a partner whom it names, authorises an account.
fn authorisation(files: &HashMap<Tag, Publisher>, publisher: &Publisher, node: &Node<'_>) -> Authorisation {
    let account = (Tag::of(host(node.system)), Tag::of(trimmed(node.seller)));
    let own = recorded(publisher, account);
    if own.is_some() {
        return own;
    }
    let partners = publisher.partners.iter().filter_map(|partner| files.get(partner));
    partners.map(|partner| recorded(partner, account)).find(|found| found.is_some()).unwrap_or_default()
}

fn recorded(publisher: &Publisher, (system, seller): (Tag, Tag)) -> Authorisation {
    let records = &publisher.records;
    let from = records.partition_point(|record| (record.system, record.seller) < (system, seller));
    let mut authorisation = Authorisation::default();
    let same =
        records.iter().skip(from).take_while(|record| (record.system, record.seller) == (system, seller));
    for record in same {
        match record.relation {
            Relation::Direct => authorisation.direct = true,
            Relation::Reseller => authorisation.reseller = true,
        }
    }
    authorisation
}

fn find(sellers: &[Seller], id: Tag) -> Option<&Seller> {
    sellers.binary_search_by_key(&id, |seller| seller.id).ok().and_then(|at| sellers.get(at))
}

/// Whether a seller is what `ads.txt` calls it: a direct account is a publisher's, and where `ads.txt` names owner or
/// manager, theirs (ads.txt 1.1, section 3.2.1); a reseller's an intermediary's.
fn fits(seller: &Seller, authorisation: Authorisation, publisher: &Publisher, inventory: &str) -> bool {
    if seller.passthrough {
        return true;
    }
    let own = || {
        !seller.domain.is_some()
            || publisher.owners.is_empty()
            || publisher.owners.contains(&seller.domain)
            || with_parents(inventory).any(|domain| Tag::of(domain) == seller.domain)
    };
    match seller.kind {
        SellerType::Publisher => authorisation.direct && own(),
        SellerType::Intermediary => authorisation.reseller,
        SellerType::Both => true,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;
    use crate::supply::FileKind;

    fn store() -> Store {
        let folder = tempfile::tempdir().unwrap();
        for (kind, domain, text) in [
            (
                FileKind::AdsTxt,
                "news.example",
                "OWNERDOMAIN=publisher.example\nINVENTORYPARTNERDOMAIN=partner.example\n\
                 ssp.example, 1, DIRECT\nssp.example, 2, RESELLER\nssp.example, 3, DIRECT\nssp.example, 5, DIRECT\n\
                 alder.example, 77, DIRECT\nssp.example, 9, DIRECT\nssp.example, 6, DIRECT\n",
            ),
            (FileKind::AdsTxt, "partner.example", "ssp.example, 4, DIRECT\n"),
            (
                FileKind::AdsTxt,
                "closed.example",
                "placeholder.example.com, placeholder, DIRECT, placeholder\n",
            ),
            (FileKind::AppAdsTxt, "games.example", "ssp.example, 1, DIRECT\n"),
            (
                FileKind::SellersJson,
                "ssp.example",
                r#"{"sellers":[
                    {"seller_id":"1","seller_type":"PUBLISHER","domain":"publisher.example"},
                    {"seller_id":"2","seller_type":"INTERMEDIARY"},
                    {"seller_id":"3","seller_type":"INTERMEDIARY"},
                    {"seller_id":"4","seller_type":"BOTH"},
                    {"seller_id":"5","seller_type":"PUBLISHER","domain":"stranger.example"},
                    {"seller_id":"6","seller_type":"INTERMEDIARY","is_passthrough":1}
                ]}"#,
            ),
            (
                FileKind::SellersJson,
                "alder.example",
                r#"{"sellers":[{"seller_id":"50","seller_type":"INTERMEDIARY"},
                {"seller_id":"77","seller_type":"PUBLISHER"}]}"#,
            ),
        ] {
            let path = kind.path(folder.path(), domain);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Store::load(folder.path()).unwrap().0
    }

    const fn node<'a>(system: &'a str, seller: &'a str) -> Node<'a> {
        Node { system, seller, domain: "" }
    }

    const ALDER: Node<'_> = node("alder.example", "50");

    fn facts<'a>(nodes: &'a [Node<'a>]) -> Facts<'a> {
        let chain = Some(Chain { complete: true, version: "1.0", nodes });
        Facts { site: "www.news.example", exchange_domain: "alder.example", chain, ..Facts::default() }
    }

    fn found(facts: &Facts<'_>) -> Vec<SafetyReason> {
        store().check(facts).iter().collect()
    }

    #[test]
    fn an_authorised_chain_that_ends_at_the_asker_is_fine() {
        assert_eq!(found(&facts(&[node("SSP.example", "1"), ALDER])), []);
        assert_eq!(found(&facts(&[node("ssp.example", "2"), ALDER])), []);
        // The partner whom the file names authorises the shared inventory.
        assert_eq!(found(&facts(&[node("ssp.example", "4"), ALDER])), []);
        assert_eq!(found(&facts(&[node("ssp.example", "6"), ALDER])), []);
    }

    #[test]
    fn a_seller_whom_the_publisher_does_not_name_is_unauthorised() {
        let unlisted = [SafetyReason::UnauthorisedSeller, SafetyReason::UnlistedSeller];
        assert_eq!(found(&facts(&[node("ssp.example", "8"), ALDER])), unlisted);
        assert_eq!(found(&facts(&[node("other.example", "1"), ALDER])), [SafetyReason::UnauthorisedSeller]);
        let closed = Facts { site: "closed.example", ..facts(&[ALDER]) };
        assert_eq!(found(&closed), [SafetyReason::UnauthorisedSeller]);
    }

    #[test]
    fn sellers_have_to_be_listed_and_be_what_they_are_called() {
        let first = |seller| found(&facts(&[node("ssp.example", seller), ALDER]));
        assert_eq!(first("9"), [SafetyReason::UnlistedSeller]);
        assert_eq!(first("3"), [SafetyReason::SellerTypeMismatch], "direct, but an intermediary");
        assert_eq!(first("5"), [SafetyReason::SellerTypeMismatch], "another publisher's account");
        let second = [node("ssp.example", "1"), node("alder.example", "77")];
        assert_eq!(found(&facts(&second)), [SafetyReason::SellerTypeMismatch], "a publisher who resells");
    }

    #[test]
    fn a_chain_has_to_be_whole() {
        let good = [node("ssp.example", "1"), ALDER];
        let with = |chain| found(&Facts { chain: Some(chain), ..facts(&[]) });
        let whole = Chain { complete: true, version: "1.0", nodes: &good };
        assert_eq!(with(whole), []);
        assert_eq!(with(Chain { version: "", ..whole }), []);
        assert_eq!(with(Chain { complete: false, ..whole }), [SafetyReason::IncompleteChain]);
        assert_eq!(with(Chain { version: "2.0", ..whole }), [SafetyReason::MalformedChain]);
        assert_eq!(with(Chain { nodes: &[], ..whole }), [SafetyReason::MalformedChain]);
        assert_eq!(with(Chain { nodes: &good[..1], ..whole }), [SafetyReason::ForeignChain]);
        let hollow = [good[0], node("alder.example", "")];
        assert_eq!(with(Chain { nodes: &hollow, ..whole }), [SafetyReason::MalformedChain]);
        let long = vec![good[0]; 33];
        assert!(with(Chain { nodes: &long, ..whole }).contains(&SafetyReason::MalformedChain));
    }

    #[test]
    fn without_a_chain_the_publishers_account_at_the_exchange_counts() {
        let direct = |publisher| found(&Facts { chain: None, publisher, ..facts(&[]) });
        assert_eq!(direct("77"), []);
        assert_eq!(direct("50"), [SafetyReason::UnauthorisedSeller]);
        assert_eq!(direct(""), []);
        assert_eq!(found(&Facts { site: "news.example", publisher: "50", ..Facts::default() }), []);
    }

    #[test]
    fn without_its_file_inventory_is_neither_good_nor_bad() {
        let nodes = [node("ssp.example", "1"), ALDER];
        for site in ["unknown.example", "example", "not a domain"] {
            assert_eq!(found(&Facts { site, ..facts(&nodes) }), [SafetyReason::AdsTxtUnavailable], "{site}");
        }
        let app = |app_domain| found(&Facts { site: "", bundle: "com.game", app_domain, ..facts(&nodes) });
        assert_eq!(app("games.example"), []);
        assert_eq!(app("news.example"), [SafetyReason::AdsTxtUnavailable]);
        assert_eq!(app(""), [SafetyReason::AdsTxtUnavailable]);
    }

    proptest! {
        #[test]
        fn no_request_makes_it_panic(words in prop::collection::vec(".{0,20}", 6), count in 0usize..40) {
            let nodes = vec![node(&words[0], &words[1]); count];
            let chain = Some(Chain { complete: true, version: &words[2], nodes: &nodes });
            let facts = Facts { site: &words[3], app_domain: &words[4], exchange_domain: &words[5], chain, ..Facts::default() };
            store().check(&facts);
        }
    }
}
