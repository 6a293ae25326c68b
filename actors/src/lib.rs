//! Campaign actors, the learner, and the journal they write
