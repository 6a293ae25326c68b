//! Who does what: which model serves, which is tried on a share of the users, which are scored beside.

use std::fmt;

use haggle_domain::Timestamp;
use serde::{Deserialize, Serialize};

/// Models that are scored beside at most: each costs what serving one costs.
pub const SHADOWS: usize = 4;
/// How many promotions can be rolled back, one after the other.
const PREVIOUS: usize = 16;
/// Changes that are remembered.
const HISTORY: usize = 64;
/// Characters of a reason.
const REASON: usize = 300;
/// Bytes of a model's id.
const ID: usize = 96;

/// A model that serves a share of the users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Canary {
    /// The model.
    pub id: String,
    /// Of a thousand users so many, 1 to 999.
    pub share_per_mille: u16,
}

/// Which model does what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Roles {
    /// Serves all users whom the canary does not; none: the bidder's own model does.
    pub serving: Option<String>,
    /// Serves a share of the users.
    pub canary: Option<Canary>,
    /// Scored beside, never bid with; at most [`SHADOWS`], none that serves.
    pub shadow: Vec<String>,
}

/// A change of the roles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The state's version after it.
    pub version: u64,
    /// When.
    #[serde(with = "rfc3339")]
    pub at: Timestamp,
    /// Why, in words.
    pub reason: String,
    /// The roles before it.
    pub before: Roles,
    /// And after.
    pub after: Roles,
}

/// What a registry's state file says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// One more with each change; 0 before the first.
    pub version: u64,
    /// Who does what.
    pub roles: Roles,
    /// What served before each promotion that was not rolled back, the last one last; none is the bidder's own model.
    pub previous: Vec<Option<String>>,
    /// The last changes, the newest last.
    pub history: Vec<Change>,
}

/// Why a change is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

/// Refuses with a text.
fn refuse<T>(problem: impl fmt::Display) -> Result<T, Refusal> {
    Err(Refusal(problem.to_string()))
}

/// Whether this can be a model's id: a name of a folder that leads nowhere else and is not hidden.
pub(crate) fn is_id(text: &str) -> bool {
    let plain = |it: u8| it.is_ascii_alphanumeric() || b"._-".contains(&it);
    let first = text.bytes().next().is_some_and(|it| it.is_ascii_alphanumeric());
    first && text.len() <= ID && text.bytes().all(plain)
}

impl Roles {
    /// What this model does, if it does anything.
    pub fn role_of(&self, id: &str) -> Option<String> {
        if self.serving.as_deref() == Some(id) {
            return Some("serving".to_owned());
        }
        if let Some(canary) = self.canary.as_ref().filter(|canary| canary.id == id) {
            return Some(format!("canary {}", canary.percent()));
        }
        self.shadow.iter().any(|it| it == id).then(|| "shadow".to_owned())
    }

    /// All models that do something.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        let canary = self.canary.as_ref().map(|canary| canary.id.as_str());
        self.serving.as_deref().into_iter().chain(canary).chain(self.shadow.iter().map(String::as_str))
    }

    fn check(&self) -> Result<(), String> {
        if let Some(id) = self.ids().find(|id| !is_id(id)) {
            return Err(format!("{id:?} is no model's id"));
        }
        let mut ids: Vec<&str> = self.ids().collect();
        ids.sort_unstable();
        if let Some(pair) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("{} has two roles", pair[0]));
        }
        if self.canary.as_ref().is_some_and(|canary| !(1..1000).contains(&canary.share_per_mille)) {
            return Err("the canary's share is not between 1 and 999 per mille".to_owned());
        }
        let count = self.shadow.len();
        if count > SHADOWS {
            Err(format!("{count} models are scored beside, at most {SHADOWS} can be"))
        } else {
            Ok(())
        }
    }
}

impl Canary {
    /// The share as people write it.
    pub fn percent(&self) -> String {
        let (whole, tenth) = (self.share_per_mille / 10, self.share_per_mille % 10);
        if tenth == 0 { format!("{whole}%") } else { format!("{whole}.{tenth}%") }
    }
}

impl State {
    /// Lets a model serve all users. Refused where it does so already.
    pub fn promote(&mut self, id: &str) -> Result<(), Refusal> {
        if self.roles.serving.as_deref() == Some(id) {
            return refuse(format!("{id} serves already; to end a canary, roll it back"));
        }
        let before = self.roles.serving.replace(id.to_owned());
        self.previous.push(before);
        let extra = self.previous.len().saturating_sub(PREVIOUS);
        self.previous.drain(..extra);
        self.roles.canary = None;
        self.roles.shadow.retain(|it| it != id);
        Ok(())
    }

    /// Lets a model serve so many of a thousand users, in place of another canary. Refused where it serves all.
    pub fn promote_canary(&mut self, id: &str, share_per_mille: u16) -> Result<(), Refusal> {
        if self.roles.serving.as_deref() == Some(id) {
            return refuse(format!("{id} serves all users already; roll back first"));
        }
        self.roles.canary = Some(Canary { id: id.to_owned(), share_per_mille });
        self.roles.shadow.retain(|it| it != id);
        Ok(())
    }

    /// Goes back to before the last promotion: ends the canary if there is one; otherwise what served before what
    /// serves now serves again. It never begins a canary again.
    pub fn rollback(&mut self) -> Result<(), Refusal> {
        if self.roles.canary.take().is_some() {
            return Ok(());
        }
        match self.previous.pop() {
            Some(before) => {
                if let Some(id) = &before {
                    self.roles.shadow.retain(|it| it != id);
                }
                self.roles.serving = before;
                Ok(())
            }
            None => refuse("no promotion is left to roll back"),
        }
    }

    /// Scores a model beside those that serve, or no longer.
    pub fn shadow(&mut self, id: &str, on: bool) -> Result<(), Refusal> {
        let at = self.roles.shadow.iter().position(|it| it == id);
        match (on, at) {
            (true, None) => match self.roles.role_of(id) {
                Some(role) => {
                    refuse(format!("{id} bids already ({role}), so there is nothing to score beside"))
                }
                None if self.roles.shadow.len() >= SHADOWS => {
                    refuse(format!("{SHADOWS} models are scored beside already; end one with --off"))
                }
                None => {
                    self.roles.shadow.push(id.to_owned());
                    Ok(())
                }
            },
            (true, Some(_)) => refuse(format!("{id} is scored beside already")),
            (false, Some(at)) => {
                self.roles.shadow.remove(at);
                Ok(())
            }
            (false, None) => refuse(format!("{id} is not scored beside")),
        }
    }

    /// What a model is needed for, if it is: a role, or the next rollback.
    pub fn use_of(&self, id: &str) -> Option<String> {
        let next = || (self.previous.last()?.as_deref() == Some(id)).then(|| "next on rollback".to_owned());
        self.roles.role_of(id).or_else(next)
    }

    /// Counts and remembers a change since `before`.
    pub(super) fn note(&mut self, at: Timestamp, reason: &str, before: Roles) {
        self.version += 1;
        let reason = reason.chars().map(|it| if it.is_control() { ' ' } else { it }).take(REASON).collect();
        let after = self.roles.clone();
        self.history.push(Change { version: self.version, at, reason, before, after });
        let extra = self.history.len().saturating_sub(HISTORY);
        self.history.drain(..extra);
    }

    /// Whether all that a state must hold does.
    pub(super) fn check(&self) -> Result<(), String> {
        self.roles.check()?;
        if let Some(id) = self.previous.iter().flatten().find(|id| !is_id(id)) {
            return Err(format!("{id:?} is no model's id"));
        }
        if self.previous.len() > PREVIOUS || self.history.len() > HISTORY {
            return Err("it remembers more changes than it may".to_owned());
        }
        Ok(())
    }
}

/// Times as people read them.
pub(super) mod rfc3339 {
    use haggle_domain::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(at)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}
