//! The local store: a folder of files as they were fetched, and their compiled form in memory.
//!
//! | in it | what |
//! | --- | --- |
//! | `ads.txt/DOMAIN.txt` | a site's `ads.txt` |
//! | `app-ads.txt/DOMAIN.txt` | an app developer's `app-ads.txt` |
//! | `sellers.json/DOMAIN.json` | an advertising system's `sellers.json` |
//! | `index.json` | when and from where each was fetched |
//!
//! The files are the publishers' own, byte for byte, so they can be read, kept and replaced by hand.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};

use haggle_domain::{Tag, Timestamp};
use serde::{Deserialize, Serialize};

use super::ads_txt::{AdsTxt, Authorised};
use super::sellers::{Seller, Sellers};
use crate::file::{self, FileError};
use crate::host::is_domain;

/// The three kinds of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileKind {
    /// A site's authorised sellers.
    AdsTxt,
    /// An app's authorised sellers.
    AppAdsTxt,
    /// An advertising system's sellers.
    SellersJson,
}

impl FileKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::AdsTxt, Self::AppAdsTxt, Self::SellersJson];

    /// The file's name on the web, which is also its folder's in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AdsTxt => "ads.txt",
            Self::AppAdsTxt => "app-ads.txt",
            Self::SellersJson => "sellers.json",
        }
    }

    /// The largest file that is fetched and read, in bytes. The largest exchange's `sellers.json` has above a hundred
    /// megabytes.
    pub const fn max_bytes(self) -> u64 {
        match self {
            Self::AdsTxt | Self::AppAdsTxt => 10 << 20,
            Self::SellersJson => 256 << 20,
        }
    }

    const fn extension(self) -> &'static str {
        match self {
            Self::AdsTxt | Self::AppAdsTxt => "txt",
            Self::SellersJson => "json",
        }
    }

    /// Where a domain's file lies in a store.
    pub fn path(self, store: &Path, domain: &str) -> PathBuf {
        store.join(self.as_str()).join(format!("{}.{}", domain.to_ascii_lowercase(), self.extension()))
    }

    /// Whether a fetched file is what its name says, and what it holds: records or sellers, and how much of it is bad.
    ///
    /// # Errors
    /// Why it is not.
    pub fn examine(self, path: &Path) -> Result<(usize, usize), String> {
        match self {
            Self::AdsTxt | Self::AppAdsTxt => {
                let bytes = file::read(path, self.max_bytes()).map_err(|error| error.to_string())?;
                let read = AdsTxt::parse(&bytes);
                if read.says_something() {
                    return Ok((read.records.len(), read.bad_lines));
                }
                Err(format!("holds no record; {} lines are of another kind", read.bad_lines))
            }
            Self::SellersJson => {
                let file = file::open(path, self.max_bytes()).map_err(|error| error.to_string())?;
                let reader = BufReader::new(file);
                let read = Sellers::parse(reader).map_err(|error| format!("is no sellers.json: {error}"))?;
                Ok((read.sellers.len(), read.bad_entries))
            }
        }
    }
}

/// A store that cannot be loaded, and why.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file or the folder cannot be read, is too large, or has a name that is no domain.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file is not what its name says.
    #[error("{} {problem}; delete it, or fetch it again with haggle supply refresh", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

/// What was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Files of each kind, in the order of [`FileKind::ALL`].
    pub files: [usize; 3],
    /// Records of `ads.txt` and `app-ads.txt`.
    pub records: usize,
    /// Sellers.
    pub sellers: usize,
    /// Lines and entries that say nothing that is understood.
    pub bad: usize,
}

/// A publisher's file, compiled.
#[derive(Debug)]
pub(super) struct Publisher {
    pub(super) records: Box<[Authorised]>,
    /// Owner and managers, as the file names them.
    pub(super) owners: Box<[Tag]>,
    pub(super) partners: Box<[Tag]>,
}

impl Publisher {
    fn new(read: AdsTxt) -> Self {
        let tags = |domains: &[String]| domains.iter().map(|domain| Tag::of(domain)).collect::<Vec<_>>();
        let mut owners = tags(&read.managers);
        owners.extend(read.owner.as_deref().map(Tag::of));
        Self {
            records: read.records.into_boxed_slice(),
            owners: owners.into_boxed_slice(),
            partners: tags(&read.partners).into_boxed_slice(),
        }
    }
}

/// The store in memory: immutable, and looked up by hashes without allocating.
#[derive(Debug, Default)]
pub struct Store {
    pub(super) sites: HashMap<Tag, Publisher>,
    pub(super) apps: HashMap<Tag, Publisher>,
    pub(super) systems: HashMap<Tag, Box<[Seller]>>,
}

impl Store {
    /// Loads a folder. Hidden files are passed over; a folder of a kind may be missing.
    ///
    /// # Errors
    /// The first file that cannot be read or is not what its name says. Bad lines are counted and no error.
    pub fn load(folder: &Path) -> Result<(Self, Loaded), StoreError> {
        let fail = |path: &Path, error| FileError::Unreadable { path: path.to_owned(), error };
        fs::read_dir(folder).map_err(|error| fail(folder, error))?;
        let (mut store, mut loaded) = (Self::default(), Loaded::default());
        for (kind, count) in FileKind::ALL.into_iter().zip(0..) {
            let folder = folder.join(kind.as_str());
            let entries = match fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(fail(&folder, error).into()),
            };
            for entry in entries {
                let path = entry.map_err(|error| fail(&folder, error))?.path();
                let Some(domain) = domain_of(&path, kind)? else { continue };
                store.read(kind, &path, domain, &mut loaded)?;
                loaded.files[count] += 1;
            }
        }
        Ok((store, loaded))
    }

    fn read(
        &mut self,
        kind: FileKind,
        path: &Path,
        domain: Tag,
        loaded: &mut Loaded,
    ) -> Result<(), StoreError> {
        match kind {
            FileKind::AdsTxt | FileKind::AppAdsTxt => {
                let read = AdsTxt::parse(&file::read(path, kind.max_bytes())?);
                loaded.bad += read.bad_lines;
                loaded.records += read.records.len();
                // A file that says nothing is as good as none (section 3.2.1 wants a placeholder for "nobody").
                if read.says_something() {
                    let map = if kind == FileKind::AdsTxt { &mut self.sites } else { &mut self.apps };
                    map.insert(domain, Publisher::new(read));
                }
            }
            FileKind::SellersJson => {
                let read =
                    Sellers::parse(BufReader::new(file::open(path, kind.max_bytes())?)).map_err(|error| {
                        StoreError::Damaged {
                            path: path.to_owned(),
                            problem: format!("is no sellers.json: {error}"),
                        }
                    })?;
                loaded.bad += read.bad_entries;
                loaded.sellers += read.sellers.len();
                self.systems.insert(domain, read.sellers.into_boxed_slice());
            }
        }
        Ok(())
    }
}

/// The domain that a file's name says; none for what is no file of the store.
fn domain_of(path: &Path, kind: FileKind) -> Result<Option<Tag>, FileError> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
    if name.starts_with('.') {
        return Ok(None);
    }
    match name.strip_suffix(kind.extension()).and_then(|rest| rest.strip_suffix('.')) {
        Some(domain) if is_domain(domain) => Ok(Some(Tag::of(domain))),
        _ => Err(FileError::UnknownName {
            path: path.to_owned(),
            known: format!("DOMAIN.{}, such as news.example.{0}", kind.extension()),
        }),
    }
}

/// When and from where a file was fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexEntry {
    /// When, in RFC 3339.
    pub fetched_at: String,
    /// The address, after redirects.
    pub from: String,
}

impl IndexEntry {
    /// When, where it can be read.
    pub fn fetched_at(&self) -> Option<Timestamp> {
        self.fetched_at.parse().ok()
    }
}

/// `index.json`: what is known of each file, by `KIND/DOMAIN`. Without it the store works; only ages are unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    files: BTreeMap<String, IndexEntry>,
}

impl Index {
    /// Reads a store's index; where there is none, or it is damaged, an empty one.
    pub fn load(store: &Path) -> Self {
        let bytes = file::read(&store.join("index.json"), 256 << 20).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// Replaces a store's index in one step.
    ///
    /// # Errors
    /// What the system says.
    pub fn save(&self, store: &Path) -> std::io::Result<()> {
        let temporary = store.join(".index.json");
        let mut file = File::create(&temporary)?;
        serde_json::to_writer_pretty(&mut file, self)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&temporary, store.join("index.json"))
    }

    /// What is known of a file.
    pub fn get(&self, kind: FileKind, domain: &str) -> Option<&IndexEntry> {
        self.files.get(&key(kind, domain))
    }

    /// Notes a file; `None` forgets it.
    pub fn set(&mut self, kind: FileKind, domain: &str, entry: Option<IndexEntry>) {
        let key = key(kind, domain);
        match entry {
            Some(entry) => self.files.insert(key, entry),
            None => self.files.remove(&key),
        };
    }
}

fn key(kind: FileKind, domain: &str) -> String {
    format!("{}/{}", kind.as_str(), domain.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(files: &[(FileKind, &str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (kind, domain, text) in files {
            let path = kind.path(folder.path(), domain);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    #[test]
    fn a_folder_is_loaded_and_its_flaws_counted() {
        let folder = store(&[
            (FileKind::AdsTxt, "News.example", "ssp.example, 1, DIRECT\nwhat is this\n"),
            (FileKind::AppAdsTxt, "games.example", "ssp.example, 2, RESELLER\n"),
            (
                FileKind::SellersJson,
                "ssp.example",
                r#"{"sellers":[{"seller_id":"1","seller_type":"PUBLISHER"},{}]}"#,
            ),
        ]);
        fs::write(folder.path().join("ads.txt/.half-written"), "x").unwrap();
        let (store, loaded) = Store::load(folder.path()).unwrap();
        assert_eq!(loaded, Loaded { files: [1, 1, 1], records: 2, sellers: 1, bad: 2 });
        assert!(store.sites.contains_key(&Tag::of("news.example")));
        assert!(store.apps.contains_key(&Tag::of("games.example")));
        assert!(store.systems.contains_key(&Tag::of("ssp.example")));
        assert!(Store::load(&folder.path().join("nowhere")).is_err());
        assert_eq!(Store::load(tempfile::tempdir().unwrap().path()).unwrap().1, Loaded::default());
    }

    #[test]
    fn what_is_damaged_is_named() {
        let folder = store(&[(FileKind::SellersJson, "ssp.example", "<html>")]);
        let error = Store::load(folder.path()).unwrap_err().to_string();
        assert!(error.contains("ssp.example.json is no sellers.json: expected value"), "{error}");
        let folder = store(&[(FileKind::AdsTxt, "news.example", "")]);
        fs::write(folder.path().join("ads.txt/readme"), "x").unwrap();
        let error = Store::load(folder.path()).unwrap_err().to_string();
        assert!(error.contains("readme is no list that is known; name it one of DOMAIN.txt"), "{error}");
        let folder = store(&[(FileKind::AdsTxt, "news.example", &"#".repeat((10 << 20) + 1))]);
        let error = Store::load(folder.path()).unwrap_err().to_string();
        assert!(error.contains("news.example.txt is larger than 10485760 bytes"), "{error}");
    }

    #[test]
    fn the_index_remembers_and_does_without_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut index = Index::load(folder.path());
        let entry = IndexEntry {
            fetched_at: "2026-11-23T12:00:00Z".to_owned(),
            from: "https://a.example".to_owned(),
        };
        index.set(FileKind::AdsTxt, "A.example", Some(entry.clone()));
        index.save(folder.path()).unwrap();
        let mut index = Index::load(folder.path());
        assert_eq!(index.get(FileKind::AdsTxt, "a.example"), Some(&entry));
        assert!(entry.fetched_at().is_some());
        index.set(FileKind::AdsTxt, "a.example", None);
        assert_eq!(index, Index::default());
        fs::write(folder.path().join("index.json"), "{").unwrap();
        assert_eq!(Index::load(folder.path()), Index::default());
    }
}
