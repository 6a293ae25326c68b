//! What is to be done where a registry and the table differ: who knows what both last had in common can tell what was added on one
//! side from what was removed on the other.

use super::shelf::{Shelved, Told};
use super::word::{Digest, Word};
use crate::model::registry::State;

/// What is to be done about a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Both sides have it.
    Agree,
    /// Neither has it.
    Drop,
    /// It was registered here, or the table has lost some of it: it is told.
    Publish,
    /// It was registered elsewhere: it is taken in.
    Take,
    /// As above, but some of it is not there yet.
    Wait,
    /// It was registered here, and nodes share as many already as they may.
    NoRoom,
    /// It was removed here: that is told.
    PublishRemoval,
    /// It was removed elsewhere.
    Remove,
    /// A newer program has to see to it.
    Leave,
}

/// How a model stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stands<'a> {
    /// Whether the registry has it.
    pub(super) here: bool,
    pub(super) there: Option<&'a Shelved>,
    /// Whether the table has room for one that is not there.
    pub(super) room: bool,
    /// Whether registry and table had it when they were last compared.
    pub(super) common: bool,
    /// Whether it has a role, here or there, or is what the next rollback returns to.
    pub(super) used: bool,
}

/// What is to be done about a model. What is used is never removed.
pub(super) fn step(Stands { here, there, room, common, used }: Stands<'_>) -> Step {
    let Some(there) = there else {
        return match (here, room) {
            (true, true) => Step::Publish,
            (true, false) => Step::NoRoom,
            (false, _) => Step::Drop,
        };
    };
    match (&there.word, here) {
        (Told::Newer, _) => Step::Leave,
        (Told::Nothing, true) => Step::Publish,
        (Told::Says(Word::Removed), true) if common && !used => Step::Remove,
        (Told::Says(Word::Removed), true) => Step::Publish,
        (Told::Nothing | Told::Says(Word::Removed), false) => Step::Drop,
        (Told::Says(Word::Files(_)), true) if there.is_whole() => Step::Agree,
        (Told::Says(Word::Files(_)), true) => Step::Publish,
        (Told::Says(Word::Files(_)), false) if common && !used => Step::PublishRemoval,
        (Told::Says(Word::Files(_)), false) if there.is_whole() => Step::Take,
        (Told::Says(Word::Files(_)), false) => Step::Wait,
    }
}

/// What is to be done about who serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StateStep {
    Agree,
    Publish,
    TakeOver,
    Leave,
}

/// What is to be done about who serves. The table says what counts; a change that was made here counts once it is in there, and goes
/// there only if it was made of what is in there now. `known` are the states that the table had when it was last seen, or that
/// this node was about to put there; `can_be_had` says of the table's whether all models that have a role in it are to be had.
pub(super) fn state_step(
    own: &State,
    table: &Told<State>,
    torn: bool,
    known: &[Option<Digest>; 2],
    can_be_had: bool,
) -> StateStep {
    let of_it = |state: &State| known.contains(&Some(fingerprint(state)));
    // Nothing was ever decided here, or the file was removed: then there is nothing to say.
    let empty = *own == State::default();
    match table {
        Told::Newer => StateStep::Leave,
        Told::Nothing if empty => StateStep::Agree,
        Told::Nothing => StateStep::Publish,
        Told::Says(state) if state == own && !torn => StateStep::Agree,
        Told::Says(state) if !empty && of_it(state) => StateStep::Publish,
        Told::Says(_) if can_be_had => StateStep::TakeOver,
        // It cannot be taken over, so whoever changes something here after all is not held up by it.
        Told::Says(_) if empty || of_it(own) => StateStep::Leave,
        Told::Says(_) => StateStep::Publish,
    }
}

/// What tells one state from another.
pub(super) fn fingerprint(state: &State) -> Digest {
    Digest::of(&state.seal().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::several::models::word::Listed;

    #[test]
    fn what_both_had_tells_what_was_added_from_what_was_removed() {
        let part = Digest::of(b"a part");
        let whole = Shelved {
            word: Told::Says(Word::Files(vec![Listed { name: "m".into(), bytes: 6, parts: vec![part] }])),
            parts: [(part, 0)].into(),
            changed: 0,
        };
        let torn = Shelved { word: whole.word.clone(), ..Shelved::default() };
        let removed = Shelved { word: Told::Says(Word::Removed), ..Shelved::default() };
        let newer = Shelved { word: Told::Newer, ..Shelved::default() };
        let parts_alone = Shelved { parts: whole.parts.clone(), ..Shelved::default() };
        let there = [None, Some(&parts_alone), Some(&whole), Some(&torn), Some(&removed), Some(&newer)];
        use Step::{Agree, Drop, Leave, NoRoom, Publish, PublishRemoval, Remove, Take, Wait};
        for (here, common, used, expected) in [
            (true, false, false, [Publish, Publish, Agree, Publish, Publish, Leave]),
            (true, true, false, [Publish, Publish, Agree, Publish, Remove, Leave]),
            (true, false, true, [Publish, Publish, Agree, Publish, Publish, Leave]),
            (true, true, true, [Publish, Publish, Agree, Publish, Publish, Leave]),
            (false, false, false, [Drop, Drop, Take, Wait, Drop, Leave]),
            (false, true, false, [Drop, Drop, PublishRemoval, PublishRemoval, Drop, Leave]),
            (false, false, true, [Drop, Drop, Take, Wait, Drop, Leave]),
            (false, true, true, [Drop, Drop, Take, Wait, Drop, Leave]),
        ] {
            let found = there.map(|there| step(Stands { here, there, room: true, common, used }));
            assert_eq!(found, expected, "here {here}, common {common}, used {used}");
            // What would be sent anew each time, because nobody can know that it is there, is not sent.
            let found = there.map(|there| step(Stands { here, there, room: false, common, used }));
            let unknown = if here { NoRoom } else { Drop };
            assert_eq!((found[0], &found[1..]), (unknown, &expected[1..]), "here {here}");
        }
    }

    #[test]
    fn a_change_is_told_only_if_it_was_made_of_what_the_table_says() {
        let state = |version| State { version, ..State::default() };
        let (none, old, new, other) = (State::default(), state(1), state(2), state(3));
        let says = |state: &State| Told::Says(state.clone());
        let told = |state: &State| [None, Some(fingerprint(state))];
        let agreed = |state: &State| [Some(fingerprint(state)), None];
        let step = |own: &State, table: &Told<State>, known| state_step(own, table, false, &known, true);
        assert_eq!(step(&none, &Told::Nothing, [None, None]), StateStep::Agree);
        assert_eq!(step(&old, &Told::Nothing, [None, None]), StateStep::Publish);
        assert_eq!(step(&old, &says(&old), [None, None]), StateStep::Agree);
        assert_eq!(step(&new, &says(&old), agreed(&old)), StateStep::Publish);
        assert_eq!(
            step(&new, &says(&old), told(&old)),
            StateStep::Publish,
            "put there by this node just now"
        );
        assert_eq!(step(&old, &says(&new), agreed(&old)), StateStep::TakeOver);
        assert_eq!(step(&new, &says(&other), agreed(&old)), StateStep::TakeOver, "it came too late");
        assert_eq!(step(&none, &says(&old), agreed(&old)), StateStep::TakeOver, "the file was removed");
        assert_eq!(step(&new, &says(&old), [None, None]), StateStep::TakeOver, "it stood alone");
        assert_eq!(step(&new, &Told::Newer, agreed(&old)), StateStep::Leave);
        // What can never be taken over holds up nobody who changes something after it.
        let step = |own: &State, known| state_step(own, &says(&other), false, &known, false);
        assert_eq!(step(&old, agreed(&old)), StateStep::Leave);
        assert_eq!(step(&new, agreed(&old)), StateStep::Publish);
        assert_eq!(step(&none, [None, None]), StateStep::Leave);
        // What overwrote the table's state is overwritten.
        assert_eq!(state_step(&old, &says(&old), true, &agreed(&old), true), StateStep::Publish);
    }
}
