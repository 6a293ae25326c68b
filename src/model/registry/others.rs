//! What a registry gives to those of other nodes, and takes from them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::disk::{self, cannot_write, lock, sync_folder};
use super::state::is_id;
use super::{MODELS_LOCK, REGISTERED, Registry, STATE_LOCK, State, described};
use crate::exit::{Exit, ExitError};
use crate::model::folder;

/// Begins the names of folders in which models are gathered.
const ARRIVING: &str = ".arriving-";

impl Registry {
    /// The ids of all models whose folders are there, in order.
    ///
    /// # Errors
    ///
    /// The folder cannot be read.
    pub fn ids(&self) -> Result<Vec<String>, ExitError> {
        let mut ids = self.names(is_id)?;
        ids.retain(|id| self.folder().join(id).is_dir());
        Ok(ids)
    }

    /// The names of a model's files in its folder, once their sizes and checksums are verified.
    ///
    /// # Errors
    ///
    /// There is no such model, or it is not whole.
    pub fn parts(&self, id: &str) -> Result<Vec<String>, ExitError> {
        let (path, _) = (self.path(id)?, self.known(id)?);
        let (manifest, _) = folder::whole(&path)?;
        let mut parts = folder::files(&manifest);
        parts.push(REGISTERED.to_owned());
        // A model works without its page.
        parts.retain(|name| !name.ends_with(".html") || path.join(name).is_file());
        Ok(parts)
    }

    /// A new, empty folder to gather a model in, of which nobody else knows.
    ///
    /// # Errors
    ///
    /// This is no id, or the folder cannot be made.
    pub fn staging(&self, id: &str) -> Result<PathBuf, ExitError> {
        self.path(id)?;
        self.make()?;
        let staged = self.folder().join(format!("{ARRIVING}{id}"));
        let made = remove(&staged).and_then(|()| fs::create_dir(&staged));
        made.map_err(|error| cannot_write(&staged, &error))?;
        Ok(staged)
    }

    /// Removes what a crash left of gathering.
    ///
    /// # Errors
    ///
    /// It cannot be read or removed.
    pub fn clean_staging(&self) -> Result<(), ExitError> {
        for name in self.names(|name| name.starts_with(ARRIVING))? {
            let staged = self.folder().join(name);
            remove(&staged).map_err(|error| cannot_write(&staged, &error))?;
        }
        Ok(())
    }

    /// Takes in a model that was gathered: its files, synced, in a folder from [`Self::staging`], which is gone afterwards. Sizes
    /// and checksums are verified first, but the model is not read: that takes room, and it may never have a role. One that is there
    /// already stays as it is.
    ///
    /// # Errors
    ///
    /// The folder is not a whole model of this id and nothing else, or it cannot be put in place. Nothing is added then.
    pub fn take_in(&self, id: &str, staged: &Path) -> Result<(), ExitError> {
        let taken = self.verify_and_move(id, staged);
        // After a failure it would only take room.
        let left = remove(staged).map_err(|error| cannot_write(staged, &error));
        taken.and(left)
    }

    fn verify_and_move(&self, id: &str, staged: &Path) -> Result<(), ExitError> {
        described(id, staged)?;
        let (manifest, _) = folder::whole(staged)?;
        let parts = folder::files(&manifest);
        let cannot = |error: io::Error| {
            ExitError::new(Exit::IoFailed, format!("{} cannot be read: {error}", staged.display()))
        };
        for entry in fs::read_dir(staged).map_err(cannot)? {
            let name = entry.map_err(cannot)?.file_name();
            if name != REGISTERED && !parts.iter().any(|part| name == part.as_str()) {
                return Err(folder::refuse(&staged.join(name), "is no file of a model"));
            }
        }
        let _turn = lock(self.folder(), MODELS_LOCK)?;
        let path = self.path(id)?;
        if path.exists() {
            // Somebody registered it meanwhile.
            return self.known(id).map(drop);
        }
        let moved = sync_folder(staged)
            .and_then(|()| fs::rename(staged, &path))
            .and_then(|()| sync_folder(self.folder()));
        moved.map_err(|error| cannot_write(self.folder(), &error))
    }

    /// Replaces the state by another node's, unless it is no longer what it `was`; says whether it did. The models with a
    /// role have to be there.
    ///
    /// # Errors
    ///
    /// A model is not there, or a state cannot be read or written. Nothing is changed then.
    pub fn take_over(&self, was: &State, new: &State) -> Result<bool, ExitError> {
        self.make()?;
        let _turn = lock(self.folder(), STATE_LOCK)?;
        if self.state()? != *was {
            return Ok(false);
        }
        for id in new.roles.ids() {
            self.known(id)?;
        }
        new.check().map_err(|problem| ExitError::new(Exit::InputUnusable, problem))?;
        disk::write(self.folder(), new)?;
        Ok(true)
    }
}

/// Removes a folder, if it is there.
fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
