//! What the operator's own files add to what a request says: where an address is, what a category belongs to, and on which
//! lists a site, an app or a user is. Loaded once at the start, and never written to after that.

mod geoip;
mod lists;
mod taxonomies;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::LazyLock;

use haggle_domain::{Basis, Context, Tag, Timestamp};
use haggle_openrtb::{BidRequest, Inventory};
use haggle_safety::host::{host, with_parents};
use haggle_safety::{FileError, file};

use crate::config::{ListKind, Loaded, countries};
use crate::exit::{Exit, ExitError};

use geoip::GeoIp;
use lists::{Members, word_key};
use taxonomies::Taxonomies;

/// How many of a domain's names are looked for: itself and its nearest parents.
const MOST_PARENTS: usize = 8;

/// Why the files cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum SurroundingsError {
    /// A list or a taxonomy is missing or wrong.
    #[error("{0}: {1}")]
    File(String, FileError),
    /// The database of addresses is missing or wrong.
    #[error("geoip_file: {} is no database in MaxMind's format: {problem}; name a .mmdb file of cities or countries", path.display())]
    GeoIp {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

impl From<SurroundingsError> for ExitError {
    fn from(error: SurroundingsError) -> Self {
        Self::new(Exit::Configuration, error)
    }
}

/// All that was loaded.
#[derive(Debug, Default)]
pub struct Surroundings {
    geoip: Option<GeoIp>,
    taxonomies: Taxonomies,
    inventory: Members,
    users: Members,
}

/// The codes of all countries, of two letters and of three.
static COUNTRIES: LazyLock<HashSet<Tag>> =
    LazyLock::new(|| countries::pairs().flat_map(|(two, three)| [Tag::of(two), Tag::of(three)]).collect());

impl Surroundings {
    /// Reads what the configuration names.
    ///
    /// # Errors
    /// The first file that is missing or wrong.
    pub fn load(loaded: &Loaded) -> Result<Self, SurroundingsError> {
        let of_kind = |kind| loaded.lists.iter().filter(move |list| list.kind == kind);
        let members = |kind| {
            let mut reader = lists::Reader::default();
            for list in of_kind(kind) {
                let fail = |error| SurroundingsError::File(format!("list {:?}", list.name), error);
                let bytes = file::read(&list.file, lists::MAX_LIST_BYTES).map_err(fail)?;
                let read = reader.read(list.key, kind, &bytes);
                read.map_err(|error| fail(FileError::at(&list.file, error)))?;
            }
            Ok(reader.finish())
        };
        let mut taxonomies = Taxonomies::default();
        for taxonomy in &loaded.taxonomies {
            let fail = |error| SurroundingsError::File(format!("taxonomy {}", taxonomy.id), error);
            let bytes = file::read(&taxonomy.file, taxonomies::MAX_BYTES).map_err(fail)?;
            let read = taxonomies.read(taxonomy.id, &bytes);
            read.map_err(|error| fail(FileError::at(&taxonomy.file, error)))?;
        }
        Ok(Self {
            geoip: loaded.settings.geoip_file.as_deref().map(GeoIp::open).transpose()?,
            taxonomies,
            inventory: members(ListKind::Inventory)?,
            users: members(ListKind::Users)?,
        })
    }

    /// The country that the request comes from by its address, cut short; ISO 3166-1 alpha-3, and empty where that is not
    /// known. For requests that name no country that there is, because which law holds depends on it.
    pub fn country(&self, request: &BidRequest<'_>) -> &'static str {
        let named = || COUNTRIES.contains(&Tag::of(request.device.geo.country.trim()));
        let Some(geoip) = self.geoip.as_ref().filter(|_| !named()) else {
            return "";
        };
        request.address(Basis::NONE).map_or("", |address| geoip.country(address))
    }

    /// Adds to a request's context what is known of its surroundings, and no more of the user than its basis allows.
    pub fn complete(&self, request: &BidRequest<'_>, context: &mut Context, now: Timestamp) {
        if let Some(geoip) = self.geoip.as_ref().filter(|_| geoip::is_incomplete(context))
            && let Some(address) = request.address(context.basis)
        {
            geoip.complete(address, context, now);
        }
        self.taxonomies.add_parents(&mut context.categories);
        if !self.inventory.is_empty() {
            match request.inventory() {
                Inventory::Domain(name) => {
                    for domain in with_parents(host(name)).take(MOST_PARENTS) {
                        for list in self.inventory.of(word_key(domain)) {
                            if !context.lists.contains(list) {
                                context.lists.push(*list);
                            }
                        }
                    }
                }
                Inventory::Bundle(name) => context.lists.extend_from_slice(self.inventory.of(word_key(name))),
            }
        }
        // A user stands in the context only where the basis allows to target.
        if let Some(user) = context.user.filter(|_| !self.users.is_empty()) {
            context.user_lists.extend_from_slice(self.users.of(user.0));
        }
    }
}
