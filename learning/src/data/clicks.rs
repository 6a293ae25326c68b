//! A log of clicks beside a log of impressions: which impressions were clicked.

use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

use super::error::DataError;
use super::lines::Lines;
use super::seen::Hashes;
use super::source::Source;

/// The keys of the impressions that were clicked, 16 to 32 bytes each in memory.
#[derive(Clone, Default)]
pub(super) struct Clicks(Hashes);

impl Clicks {
    /// Reads the first column of a log whose columns are separated by tabs.
    pub(super) fn read(path: &Path) -> Result<Self, DataError> {
        let failed = |error| DataError::Io { file: path.display().to_string(), error };
        let mut lines = Lines::new(Source::open(path).map_err(failed)?);
        let mut keys = Hashes::default();
        while let Some(line) = lines.next().map_err(failed)? {
            let key = line.split(|byte| *byte == b'\t').next().unwrap_or_default();
            if !key.is_empty() {
                keys.insert(xxh3_64(key));
            }
        }
        Ok(Self(keys))
    }

    pub(super) fn has(&self, key: &[u8]) -> bool {
        self.0.contains(&xxh3_64(key))
    }
}
