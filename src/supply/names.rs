//! Which files to ask for: from a list of domains, or from requests.

use std::collections::HashSet;
use std::path::Path;

use haggle_safety::file;
use haggle_safety::host::{host, is_domain};
use haggle_safety::lists::MAX_LIST_BYTES;
use haggle_safety::supply::FileKind;

use super::rows::Row;
use crate::exit::{Exit, ExitError};

/// A file to ask for.
pub(super) type Wanted = (String, FileKind);

/// Files to ask for, each once, in the order in which they were named.
#[derive(Default)]
pub(super) struct Queue {
    known: HashSet<Wanted>,
    pub(super) wanted: Vec<Wanted>,
}

impl Queue {
    /// Adds a file; what is no domain is passed over.
    pub(super) fn add(&mut self, domain: &str, kind: FileKind) {
        let domain = domain.to_ascii_lowercase();
        if is_domain(&domain) && self.known.insert((domain.clone(), kind)) {
            self.wanted.push((domain, kind));
        }
    }

    /// Adds the file of a publisher: it lies at the root of the registrable domain (ads.txt 1.1, section 3.1).
    fn add_publisher(&mut self, domain: &str, kind: FileKind) {
        let domain = host(domain).to_ascii_lowercase();
        self.add(psl::domain_str(&domain).unwrap_or(&domain), kind);
    }

    /// Adds all three files of each domain of a list.
    pub(super) fn add_list(&mut self, path: &Path) -> Result<(), ExitError> {
        let fail = |problem: String| ExitError::new(Exit::IoFailed, problem);
        let bytes = file::read(path, MAX_LIST_BYTES).map_err(|error| fail(error.to_string()))?;
        for entry in file::lines(&bytes) {
            let (line, text) = entry.map_err(|error| fail(format!("{}: {error}", path.display())))?;
            let domain = host(file::without_comment(text));
            if !is_domain(domain) {
                let problem =
                    format!("{}:{line}: {text:?} is no domain; write it like news.example", path.display());
                return Err(fail(problem));
            }
            self.add_publisher(domain, FileKind::AdsTxt);
            self.add_publisher(domain, FileKind::AppAdsTxt);
            self.add(domain, FileKind::SellersJson);
        }
        Ok(())
    }

    /// Adds what requests name: sites, apps, and the systems of their supply chains.
    pub(super) fn add_requests(&mut self, rows: &[Row]) {
        for row in rows {
            let nodes = row.nodes();
            let facts = row.facts("", &nodes);
            self.add_publisher(facts.site, FileKind::AdsTxt);
            self.add_publisher(facts.app_domain, FileKind::AppAdsTxt);
            for node in &nodes {
                self.add(host(node.system), FileKind::SellersJson);
            }
        }
    }
}
