//! The registry: a folder of models, and a file that says which of them serves.
//!
//! Each model is a folder by its id, as training wrote it, and `registered.json`: what it came after, and when. A model is
//! never edited, only added and removed. `state.json` says who does what ([`State`]); it is replaced whole, and its version
//! rises with each change. Two locks keep writers apart: one for the state, which is held for moments, and one for adding
//! and removing models, which may copy gigabytes. Readers need none.

mod commands;
mod disk;
mod others;
mod state;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use haggle_domain::Timestamp;
use haggle_learning::Guest;
use serde::{Deserialize, Serialize};

pub use self::disk::Unreadable;
pub use self::state::{Canary, Change, Refusal, Roles, SHADOWS, State};

pub(super) use self::commands::{list, promote, register, remove, rollback, shadow};
pub(crate) use self::state::is_id;

use self::disk::{cannot_write, lock, sync_folder};
use self::state::rfc3339;
use super::folder::{self, Manifest};
use crate::exit::{Exit, ExitError};

const REGISTERED: &str = "registered.json";
/// The layout of `registered.json`.
const FORMAT: u32 = 1;
const STATE_LOCK: &str = ".state.lock";
const MODELS_LOCK: &str = ".models.lock";
/// Begins the names of folders that are not whole yet, or not any more.
const UNDONE: &str = ".undone-";
/// Characters of the checksum that end an id.
const SHORT: usize = 8;

/// Where a model in the registry comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registered {
    format: u32,
    /// The model that it came after: if nothing else was said the one that its training went on from, and where there is none
    /// in the registry what served when it was registered.
    pub parent: Option<String>,
    /// When it was registered.
    #[serde(with = "rfc3339")]
    pub at: Timestamp,
}

/// A model in the registry, as far as its manifest can be read.
pub struct Entry {
    /// Its folder's name.
    pub id: String,
    /// What is known of it, or why nothing is.
    pub known: Result<(Manifest, Registered), ExitError>,
}

/// A folder of models and the state that says which of them serves.
///
/// ```no_run
/// # fn main() -> Result<(), haggle::exit::ExitError> {
/// use haggle::model::registry::Registry;
///
/// let registry = Registry::open("data/models")?;
/// let state = registry.state()?;
/// if let Some(id) = &state.roles.serving {
///     let (manifest, bytes) = registry.load(id)?;
/// }
/// # let now = haggle_domain::Timestamp::default();
/// registry.change(now, "it promises 1.5 times what comes", |state| state.rollback())?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Registry {
    folder: PathBuf,
}

impl Registry {
    /// The registry in a folder. It need not be there yet: then it is empty, and made when something is added.
    ///
    /// # Errors
    ///
    /// Something is there that is no folder.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, ExitError> {
        let folder = folder.into();
        if folder.exists() && !folder.is_dir() {
            return Err(folder::refuse(&folder, "is no folder; name the registry's with --registry"));
        }
        Ok(Self { folder })
    }

    /// Keeps models from being added and removed until what is given is dropped, so that whatever the state says meanwhile, the models
    /// that it names are there. Waits for whoever is at it.
    ///
    /// # Errors
    ///
    /// The folder is not there, or cannot be written to.
    pub fn hold(&self) -> Result<File, ExitError> {
        lock(&self.folder, MODELS_LOCK)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Who does what, and the changes that led there. The default where nothing was ever promoted.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is damaged, or of another layout.
    pub fn state(&self) -> Result<State, ExitError> {
        disk::read(&self.folder)
    }

    /// A model's manifest, and the bytes of its file: their length and checksum hold, the schema beside is the one that it
    /// was trained on, and a model can be read from them.
    ///
    /// # Errors
    ///
    /// There is no such model, or something of this does not hold.
    pub fn load(&self, id: &str) -> Result<(Manifest, Vec<u8>), ExitError> {
        self.known(id)?;
        folder::verified(&self.path(id)?)
    }

    /// A model as a node asks it.
    ///
    /// # Errors
    ///
    /// There is no such model, something of this does not hold, or it means nothing to nodes.
    pub fn guest(&self, id: &str) -> Result<Guest, ExitError> {
        let (manifest, bytes) = self.load(id)?;
        folder::guest(id, &manifest, &bytes).map_err(|problem| {
            ExitError::new(
                Exit::InputUnusable,
                format!("model {id}: {problem}; roll back, or promote another"),
            )
        })
    }

    /// Where a model's folder is, or would be.
    ///
    /// # Errors
    ///
    /// This is no id.
    pub fn path(&self, id: &str) -> Result<PathBuf, ExitError> {
        if !is_id(id) {
            return Err(ExitError::new(
                Exit::Usage,
                format!("{id:?} is no model's id; `haggle model list` shows them"),
            ));
        }
        Ok(self.folder.join(id))
    }

    /// What a model's manifest says, and where it comes from. Its other files are not looked at.
    ///
    /// # Errors
    ///
    /// There is no such model, or this cannot be read.
    pub fn known(&self, id: &str) -> Result<(Manifest, Registered), ExitError> {
        let path = self.path(id)?;
        if !path.is_dir() {
            let problem = format!(
                "{id} is not in the registry {}; `haggle model list` shows what is",
                self.folder.display()
            );
            return Err(ExitError::new(Exit::Usage, problem));
        }
        described(id, &path)
    }

    /// All models, by their ids in order.
    ///
    /// # Errors
    ///
    /// The folder cannot be read. Models that cannot be read are in the list.
    pub fn models(&self) -> Result<Vec<Entry>, ExitError> {
        let mut ids = self.names(is_id)?;
        ids.retain(|id| self.folder.join(id).is_dir());
        Ok(ids.into_iter().map(|id| Entry { known: self.known(&id), id }).collect())
    }

    /// Changes the state and returns the new one. `change` gets the state as it is when nobody else can change it; what it
    /// leaves is checked (a model that gets a role must be there), noted in the history with time and reason, and put in
    /// place at once. A change that changes nothing is none.
    ///
    /// # Errors
    ///
    /// What `change` refuses, a model that is not there, a state that cannot be read or written. Nothing is changed then.
    pub fn change(
        &self,
        now: Timestamp,
        reason: &str,
        change: impl FnOnce(&mut State) -> Result<(), Refusal>,
    ) -> Result<State, ExitError> {
        self.make()?;
        let _turn = lock(&self.folder, STATE_LOCK)?;
        let mut state = self.state()?;
        let before = state.clone();
        change(&mut state).map_err(|refusal| ExitError::new(Exit::Usage, refusal))?;
        if state == before {
            return Ok(state);
        }
        for id in state.roles.ids().filter(|id| before.roles.role_of(id).is_none()) {
            self.known(id)?;
        }
        state.note(now, reason, before.roles);
        state.check().map_err(|problem| ExitError::new(Exit::Usage, problem))?;
        disk::write(&self.folder, &state)?;
        Ok(state)
    }

    /// Copies a model's folder in, once all of it is verified, and gives its id: the name and the begin of the checksum.
    /// Of a model that is there already it is that.
    ///
    /// # Errors
    ///
    /// The folder is not whole, the name cannot be a folder's, another model has the id, the parent is not there, or
    /// something cannot be read or written. Nothing is added then.
    pub fn add(
        &self,
        now: Timestamp,
        model: &Path,
        name: &str,
        parent: Option<&str>,
    ) -> Result<String, ExitError> {
        let (manifest, _) = folder::verified(model)?;
        let id = format!("{name}-{}", manifest.checksum.get(..SHORT).unwrap_or_default());
        if !is_id(&id) {
            return Err(ExitError::new(
                Exit::Usage,
                format!(
                    "{name:?} cannot be a model's name: up to 80 letters, digits, dots, dashes and underscores, \
                     a letter or digit first; choose one with --name"
                ),
            ));
        }
        self.make()?;
        let _turn = lock(&self.folder, MODELS_LOCK)?;
        self.clean()?;
        if self.folder.join(&id).exists() {
            let there = self.load(&id)?.0.checksum;
            if there == manifest.checksum {
                return Ok(id);
            }
            let problem =
                format!("{id} is another model, with checksum {there}; choose another name with --name");
            return Err(ExitError::new(Exit::Usage, problem));
        }
        let parent = match parent {
            Some(parent) => self.known(parent).map(|_| Some(parent.to_owned()))?,
            None => match self.went_on_from(&manifest)? {
                Some(id) => Some(id),
                None => self.state()?.roles.serving,
            },
        };
        let new = self.folder.join(format!("{UNDONE}{id}"));
        self.fill(&new, model, &manifest, &Registered { format: FORMAT, parent, at: now })?;
        let moved = fs::rename(&new, self.folder.join(&id)).and_then(|()| sync_folder(&self.folder));
        moved.map_err(|error| cannot_write(&self.folder, &error))?;
        Ok(id)
    }

    /// The model in the registry that the training of this one went on from.
    fn went_on_from(&self, manifest: &Manifest) -> Result<Option<String>, ExitError> {
        let Some(checksum) = &manifest.parent else { return Ok(None) };
        let end = format!("-{}", checksum.get(..SHORT).unwrap_or_default());
        let ids = self.names(|name| is_id(name) && name.ends_with(&end))?;
        Ok(ids.into_iter().find(|id| self.known(id).is_ok_and(|(it, _)| it.checksum == *checksum)))
    }

    /// Removes a model.
    ///
    /// # Errors
    ///
    /// There is no such model, it has a role or is what the next rollback returns to, or it cannot be removed.
    pub fn remove(&self, now: Timestamp, id: &str) -> Result<(), ExitError> {
        let path = self.path(id)?;
        if !path.is_dir() {
            return self.known(id).map(drop);
        }
        let _turn = lock(&self.folder, MODELS_LOCK)?;
        self.clean()?;
        let gone = self.folder.join(format!("{UNDONE}{id}"));
        {
            let _turn = lock(&self.folder, STATE_LOCK)?;
            let mut state = self.state()?;
            if let Some(what) = state.use_of(id) {
                let problem = format!("{id} is in use: {what}; promote another or roll back first");
                return Err(ExitError::new(Exit::Usage, problem));
            }
            // Nobody can go back to it or to before it any more.
            if let Some(at) = state.previous.iter().rposition(|it| it.as_deref() == Some(id)) {
                let roles = state.roles.clone();
                state.previous.drain(..=at);
                state.note(now, &format!("{id} was removed, so nothing goes back to it"), roles);
                disk::write(&self.folder, &state)?;
            }
            let moved = fs::rename(&path, &gone).and_then(|()| sync_folder(&self.folder));
            moved.map_err(|error| cannot_write(&self.folder, &error))?;
        }
        fs::remove_dir_all(&gone).map_err(|error| cannot_write(&self.folder, &error))
    }

    /// Copies the files of a model and makes them durable.
    fn fill(
        &self,
        new: &Path,
        model: &Path,
        manifest: &Manifest,
        registered: &Registered,
    ) -> Result<(), ExitError> {
        let text = serde_json::to_vec_pretty(registered)
            .map_err(|error| ExitError::new(Exit::Internal, format!("cannot write {REGISTERED}: {error}")))?;
        let copied = (|| {
            fs::create_dir(new)?;
            for name in folder::files(manifest) {
                match fs::copy(model.join(&name), new.join(&name)) {
                    Ok(_) => File::open(new.join(&name))?.sync_all()?,
                    // A model works without its page.
                    Err(error) if error.kind() == io::ErrorKind::NotFound && name.ends_with(".html") => {}
                    Err(error) => return Err(error),
                }
            }
            fs::write(new.join(REGISTERED), text)?;
            File::open(new.join(REGISTERED))?.sync_all()?;
            sync_folder(new)
        })();
        copied.map_err(|error: io::Error| cannot_write(new, &error))?;
        // The folder may have changed since it was verified; what counts is what was copied.
        let (copy, _) = folder::verified(new)?;
        if copy.checksum != manifest.checksum {
            return Err(folder::refuse(model, "was changed while it was copied; register it again"));
        }
        Ok(())
    }

    /// Removes what a crash left of adding or removing. The models' lock is held.
    fn clean(&self) -> Result<(), ExitError> {
        for name in self.names(|name| name.starts_with(UNDONE))? {
            fs::remove_dir_all(self.folder.join(name)).map_err(|error| cannot_write(&self.folder, &error))?;
        }
        Ok(())
    }

    fn make(&self) -> Result<(), ExitError> {
        fs::create_dir_all(&self.folder).map_err(|error| cannot_write(&self.folder, &error))
    }

    /// The folder's names that are wanted, in order; none where there is no folder.
    fn names(&self, wanted: impl Fn(&str) -> bool) -> Result<Vec<String>, ExitError> {
        let cannot = |error: io::Error| {
            ExitError::new(Exit::IoFailed, format!("{} cannot be read: {error}", self.folder.display()))
        };
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(cannot(error)),
        };
        let names = entries.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()));
        let mut names: Vec<String> = names.collect::<Result<_, _>>().map_err(cannot)?;
        names.retain(|name| wanted(name) && name != disk::STATE);
        names.sort_unstable();
        Ok(names)
    }
}

/// What the manifest in a folder says that is to be a model of this id, and where that comes from.
fn described(id: &str, path: &Path) -> Result<(Manifest, Registered), ExitError> {
    let manifest = folder::manifest(path)?;
    if !manifest.checksum.get(..SHORT).is_some_and(|short| id.ends_with(&format!("-{short}"))) {
        let expected = &manifest.checksum;
        let problem =
            format!("holds a model with checksum {expected}, which is not what it is called by; remove it");
        return Err(folder::refuse(path, problem));
    }
    let path = path.join(REGISTERED);
    let registered: Registered = serde_json::from_slice(&folder::read(&path)?)
        .map_err(|error| folder::refuse(&path, format!("is damaged: {error}; register the model again")))?;
    match registered.format {
        FORMAT => Ok((manifest, registered)),
        found => Err(folder::refuse(
            &path,
            format!("is of format {found}, this program reads {FORMAT}; register the model again"),
        )),
    }
}
