//! Whom to forget, as it lies in the store: one entry a user, written in the batch of the record that says so.

use std::collections::BTreeSet;

use fjall::OwnedWriteBatch;
use haggle_domain::PrivacyKey;

use super::JournalError;
use super::store::Store;
use crate::suppression::Suppressions;

impl Store {
    /// Reads everybody who is to be forgotten.
    pub(super) fn load_suppressions(&self) -> Result<Suppressions, JournalError> {
        let suppressions = Suppressions::default();
        for entry in self.privacy.iter() {
            let (key, value) = entry.into_inner().map_err(|error| self.failed(&error))?;
            let damaged = || self.corrupt(None, "whom to forget is not what was written");
            let user = key.as_ref().try_into().map(u64::from_be_bytes).map_err(|_| damaged())?;
            suppressions.restore(PrivacyKey(user), minicbor::decode(&value).map_err(|_| damaged())?);
        }
        Ok(suppressions)
    }

    /// Puts what is to be forgotten of some users into a batch that has none of it.
    pub(super) fn add_suppressions(&self, batch: &mut OwnedWriteBatch, users: &BTreeSet<PrivacyKey>) {
        for user in users {
            if let Some(suppression) = self.suppressions.get(*user) {
                // Encoding into memory cannot fail.
                let value = minicbor::to_vec(suppression).unwrap_or_default();
                batch.insert(&self.privacy, user.0.to_be_bytes(), value);
            }
        }
    }
}
