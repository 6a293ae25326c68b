//! The folder that a node's campaigns come from, as far as the node writes to it: one file a campaign, `ID.toml`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::{self, Nameable};
use crate::small_file::{self, sync_folder};

/// What stands in the file that would be a campaign's own.
#[derive(Debug, PartialEq, Eq)]
pub enum Held {
    /// There is no such file.
    Nothing,
    /// This campaign alone.
    Alone,
    /// Others too, or others instead, or nothing that can be read.
    Others,
}

/// Where a campaign's own file is.
pub fn path(folder: &Path, id: &str) -> PathBuf {
    folder.join(format!("{id}.toml"))
}

/// What is in it.
pub fn held(path: &Path, id: &str, nameable: &Nameable) -> io::Result<Held> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Held::Nothing),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(Held::Others),
        Err(error) => return Err(error),
    };
    let read = config::campaigns_of(&path.display().to_string(), &text, nameable);
    let alone = read.is_ok_and(|campaigns| matches!(&*campaigns, [campaign] if campaign.id == id));
    Ok(if alone { Held::Alone } else { Held::Others })
}

/// Replaces a file as a whole: whoever reads it, even after a power cut, finds the old text or the new.
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    // What lies beside it meanwhile has not the extension that is read at a start.
    small_file::replace(path, text.as_bytes())
}

/// Removes a file, if it is there.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => sync_folder(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_what_it_holds_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(folder.path(), "boots");
        assert_eq!(held(&path, "boots", &Nameable::default()).unwrap(), Held::Nothing);
        let (name, text) = config::built_in_campaigns()[0];
        let id = name.strip_suffix(".toml").unwrap();
        write(&path, text).unwrap();
        assert_eq!(held(&path, id, &Nameable::default()).unwrap(), Held::Alone);
        assert_eq!(held(&path, "boots", &Nameable::default()).unwrap(), Held::Others);
        write(&path, "no campaign").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "no campaign");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert_eq!(held(&path, id, &Nameable::default()).unwrap(), Held::Nothing);
    }
}
