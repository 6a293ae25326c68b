//! What a registry had in common with the table when they were last compared. It lies in the registry's folder and goes with it, so a
//! registry that was lost is not taken for one from which everything was removed.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::word::Digest;
use crate::several::keys::write;

const FILE: &str = ".shared.json";
const FORMAT: u32 = 1;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Base {
    format: u32,
    /// The state that the table had.
    pub(super) agreed: Option<Digest>,
    /// The state that was about to be put there.
    pub(super) told: Option<Digest>,
    /// The models that both had.
    pub(super) models: BTreeSet<String>,
}

impl Base {
    /// What was last kept; nothing where that cannot be read: then what either side has is added to the other.
    pub(super) fn open(registry: &Path) -> Self {
        let path = path(registry);
        let read = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice::<Self>(&bytes).map_err(|error| error.to_string()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error.to_string()),
        };
        read.unwrap_or_else(|error| {
            tracing::warn!(path = %path.display(), error, "it is not known any more which models were shared");
            Self::default()
        })
    }

    /// Keeps it. Where that fails it is what it was at the next start.
    pub(super) fn keep(&self, registry: &Path) -> io::Result<()> {
        fs::create_dir_all(registry)?;
        let text = serde_json::to_vec(&Self { format: FORMAT, ..self.clone() }).map_err(io::Error::other)?;
        write(&path(registry), &text)
    }
}

fn path(registry: &Path) -> PathBuf {
    registry.join(FILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back_and_is_nothing_where_it_cannot_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let registry = folder.path().join("models");
        assert_eq!(Base::open(&registry), Base::default());
        let models = BTreeSet::from(["a-0".to_owned()]);
        let base = Base { format: FORMAT, agreed: Some(Digest::of(b"x")), told: None, models };
        base.keep(&registry).unwrap();
        assert_eq!(Base::open(&registry), base);
        fs::write(path(&registry), "{").unwrap();
        assert_eq!(Base::open(&registry), Base::default());
    }
}
