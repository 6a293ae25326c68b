//! What lies in the table of models, without the parts themselves: only where they are.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use haggle_actors::backbone::{Kept, Log, LogError, Table};

use super::word::{Digest, LARGEST, Name, PART, Unusable, Word, fits};
use crate::model::registry::{State, Unreadable};

/// Models of which something is remembered, also that they were removed.
const MODELS: usize = 2048;
/// Parts of a model that are remembered: of the largest, twice.
const PARTS: usize = 2 * (LARGEST / PART) as usize;

/// What the nodes say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Told<T> {
    #[default]
    Nothing,
    Says(T),
    /// Something that only a newer program understands.
    Newer,
}

/// What is known of a model.
#[derive(Debug, Default)]
pub(super) struct Shelved {
    pub(super) word: Told<Word>,
    /// Where each part was seen last.
    pub(super) parts: BTreeMap<Digest, u64>,
    /// The last place at which anything was said of it.
    pub(super) changed: u64,
}

impl Shelved {
    /// How many of the parts that its manifest lists are not there.
    pub(super) fn missing(&self) -> usize {
        let Told::Says(Word::Files(files)) = &self.word else { return 0 };
        files.iter().flat_map(|file| &file.parts).filter(|part| !self.parts.contains_key(part)).count()
    }

    /// Whether there is a manifest and all that it lists.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.word, Told::Says(Word::Files(_))) && self.missing() == 0
    }
}

/// The table as far as it was read.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    next: u64,
    pub(super) state: Told<State>,
    /// The state was overwritten by something that is none.
    pub(super) torn: bool,
    pub(super) models: BTreeMap<String, Shelved>,
}

impl Shelf {
    /// Reads what came since. Waits for the broker.
    pub(super) fn read(&mut self, log: &dyn Log) -> Result<(), LogError> {
        let from = self.next;
        let next = log.changes(Table::Models, from, &mut |kept| {
            self.see(kept);
            ControlFlow::Continue(())
        })?;
        if next < from {
            tracing::warn!("the table of models was made anew");
            *self = Self::default();
            return self.read(log);
        }
        self.next = next;
        Ok(())
    }

    fn see(&mut self, Kept { offset, name, bytes }: Kept<'_>) {
        match Name::parse(name) {
            None => tracing::error!(name, "nothing of the table of models is called so; it is passed over"),
            Some(Name::State) => self.see_state(bytes),
            Some(Name::Model(id)) => {
                let Some(model) = self.model(id) else { return };
                model.changed = offset;
                match bytes.map(|bytes| Word::decode(id, bytes)) {
                    None => model.word = Told::Nothing,
                    Some(Ok(word)) => model.word = Told::Says(word),
                    Some(Err(problem)) => {
                        if matches!(problem, Unusable::Newer(_)) {
                            model.word = Told::Newer;
                        }
                        tracing::error!(model = id, %problem, "a manifest of a model is not taken over");
                    }
                }
            }
            Some(Name::Part(id, digest)) => {
                let Some(model) = self.model(id) else { return };
                model.changed = offset;
                let right = bytes.is_some_and(|bytes| Digest::of(bytes) == digest);
                if bytes.is_some() && !right {
                    tracing::error!(
                        model = id,
                        "a part of a model is not what it is called by; it is passed over"
                    );
                }
                if !right {
                    model.parts.remove(&digest);
                } else if model.parts.len() < PARTS || model.parts.contains_key(&digest) {
                    model.parts.insert(digest, offset);
                } else {
                    tracing::error!(
                        model = id,
                        "a model has more parts than it may; the rest is passed over"
                    );
                }
            }
        }
    }

    fn see_state(&mut self, bytes: Option<&[u8]>) {
        let Some(bytes) = bytes else {
            self.state = Told::Nothing;
            return;
        };
        let read = fits(bytes).map_err(|problem| Unreadable::Damaged(problem.to_string()));
        match read.and_then(|()| State::unseal(bytes)) {
            Ok(state) => (self.state, self.torn) = (Told::Says(state), false),
            Err(problem) => {
                if matches!(problem, Unreadable::Format(_)) {
                    self.state = Told::Newer;
                } else {
                    self.torn = true;
                }
                tracing::error!(%problem, "the nodes' state of the registry of models is not taken over");
            }
        }
    }

    fn model(&mut self, id: &str) -> Option<&mut Shelved> {
        if self.models.len() >= MODELS && !self.models.contains_key(id) {
            tracing::error!(model = id, "nodes share at most {MODELS} models; it is passed over");
            return None;
        }
        Some(self.models.entry(id.to_owned()).or_default())
    }
}
