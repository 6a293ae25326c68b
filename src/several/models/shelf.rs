//! What lies in the table of models, without the parts themselves: only where they are.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use haggle_actors::backbone::{Kept, Log, LogError, Table};

use super::word::{Digest, LARGEST, Name, PART, Unusable, Word, fits};
use crate::model::registry::{State, Unreadable};

/// Models that nodes share.
pub(super) const MODELS: usize = 2048;
/// Removed models of which that is remembered; a node that was away while more were removed tells the others of the first again.
pub(super) const REMOVED: usize = 16_384;
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

    /// Whether nothing but its removal is left of it.
    fn is_removed(&self) -> bool {
        matches!(self.word, Told::Says(Word::Removed)) && self.parts.is_empty()
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
    /// Those of them of which nothing but their removal is left, by when that was said.
    removed: BTreeSet<(u64, String)>,
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

    /// Whether one more model has room.
    pub(super) fn has_room(&self) -> bool {
        self.models.len() - self.removed.len() < MODELS
    }

    fn see(&mut self, kept: Kept<'_>) {
        let (Some(Name::Model(id)) | Some(Name::Part(id, _))) = Name::parse(kept.name) else {
            return self.take(kept);
        };
        let before = self.models.get(id).filter(|model| model.is_removed()).map(|model| model.changed);
        self.take(kept);
        if let Some(before) = before {
            self.removed.remove(&(before, id.to_owned()));
        }
        if let Some(model) = self.models.get(id).filter(|model| model.is_removed()) {
            self.removed.insert((model.changed, id.to_owned()));
        }
        if self.removed.len() > REMOVED
            && let Some((_, id)) = self.removed.pop_first()
        {
            self.models.remove(&id);
        }
    }

    fn take(&mut self, Kept { offset, name, bytes }: Kept<'_>) {
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
        if !self.models.contains_key(id) && !self.has_room() {
            tracing::error!(model = id, "nodes share at most {MODELS} models; it is passed over");
            return None;
        }
        Some(self.models.entry(id.to_owned()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shelf() -> impl FnMut(&mut Shelf, &str, Word) {
        let mut offset = 0;
        move |shelf, id, word| {
            let (name, bytes) = (Name::Model(id).to_string(), word.encode(id).unwrap());
            shelf.see(Kept { offset, name: &name, bytes: Some(&bytes) });
            offset += 1;
        }
    }

    #[test]
    fn removed_models_take_no_room_from_others() {
        let (mut shelf, mut say) = (Shelf::default(), shelf());
        for number in 0..MODELS + 10 {
            say(&mut shelf, &format!("m{number}"), Word::Files(Vec::new()));
            say(&mut shelf, &format!("m{number}"), Word::Removed);
        }
        for number in 0..MODELS {
            assert!(shelf.has_room(), "{number}");
            say(&mut shelf, &format!("n{number}"), Word::Files(Vec::new()));
        }
        assert!(!shelf.has_room());
        say(&mut shelf, "more", Word::Files(Vec::new()));
        assert!(!shelf.models.contains_key("more"));
        // One that comes back needs the room that another leaves.
        say(&mut shelf, "n7", Word::Removed);
        say(&mut shelf, "m7", Word::Files(Vec::new()));
        assert!(!shelf.has_room());
        assert!(matches!(shelf.models["m7"].word, Told::Says(Word::Files(_))));
    }

    #[test]
    fn of_very_many_removals_the_first_are_forgotten() {
        let (mut shelf, mut say) = (Shelf::default(), shelf());
        for number in 0..REMOVED + 10 {
            say(&mut shelf, &format!("m{number}"), Word::Removed);
            // Said again it is not one more.
            say(&mut shelf, &format!("m{number}"), Word::Removed);
        }
        assert_eq!((shelf.models.len(), shelf.removed.len()), (REMOVED, REMOVED));
        assert!(!shelf.models.contains_key("m9") && shelf.models.contains_key("m10"));
    }
}
