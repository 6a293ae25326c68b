//! Models of archives in traffic: asked beside the model that learns while it bids.
//!
//! A [`Guest`] does not change. What it says is worth what it proves to be worth: its scores are calibrated as the home
//! model's are, and one probability is made of both by a [`Fusion`] whose weights are learned ([`crate::fusion`]). So a guest
//! that knows nothing costs next to nothing, and one that goes stale loses its say by itself. The same holds of orders, apart,
//! for a guest that learned them; without, they are the home model's affair alone.
//!
//! A guest has a [`Role`]: it serves everybody, or a share of the users while it is tried out, or nobody and is only watched.

mod saved;

use std::collections::BTreeMap;
use std::sync::Arc;

use haggle_domain::{PrivacyKey, UserKey};

use crate::archive::{ARCHIVE_SCHEMA, archive_sides, slots};
use crate::calibration::{Calibration, Calibrator, logit};
use crate::features::mix;
use crate::frozen::{AdPart, Frozen, RequestPart, Scores, is_frozen, probability};
use crate::fusion::Fusion;
use crate::guard::Tally;
use crate::offline::{FileError, load_deep};
use crate::progress::Recent;
use crate::rows::Slot;

/// Guests at once, at most: each costs the learner a whole row an example.
pub const MOST_GUESTS: usize = 6;

/// A model of archives, under the name that people know it by.
#[derive(Debug)]
pub struct Guest {
    id: String,
    asked: Asked,
}

/// What is asked.
#[derive(Debug)]
enum Asked {
    Own(Box<Frozen>),
    Outside(Box<dyn Outside>),
}

/// A model of another make, of which nothing is known but what it says of whole rows. It can be watched, but not serve: it
/// has no request's part that would be worked out once for all candidates.
pub trait Outside: std::fmt::Debug + Send + Sync {
    /// The log odds of a click of a row of [`archive_fields`](crate::archive_fields); none where it fails.
    fn score(&self, row: &[Slot]) -> Option<f32>;
}

impl Guest {
    /// Reads a deep model that was trained on our own features, frozen or as training left it.
    ///
    /// # Errors
    ///
    /// The bytes are damaged, no deep model, or of other features.
    pub fn load(id: &str, bytes: &[u8]) -> Result<Self, FileError> {
        let frozen = if is_frozen(bytes) {
            Frozen::load(bytes, ARCHIVE_SCHEMA)?
        } else {
            Frozen::new(&load_deep(bytes, ARCHIVE_SCHEMA)?, &archive_sides())
        };
        if frozen.sides() != archive_sides() {
            return Err(FileError::Invalid("its fields are not those of requests and ads"));
        }
        Ok(Self { id: id.to_owned(), asked: Asked::Own(Box::new(frozen)) })
    }

    /// One of another make.
    pub fn outside(id: &str, model: Box<dyn Outside>) -> Self {
        Self { id: id.to_owned(), asked: Asked::Outside(model) }
    }

    /// Whether it may have a say in bids, and not only be watched.
    pub fn may_serve(&self) -> bool {
        self.frozen().is_some()
    }

    fn frozen(&self) -> Option<&Frozen> {
        match &self.asked {
            Asked::Own(frozen) => Some(frozen),
            Asked::Outside(_) => None,
        }
    }

    /// The name it has in the registry.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Puts the request's part of its scores into `part`; nothing of one that may not serve.
    pub fn request_part(&self, features: &[u32], part: &mut RequestPart) {
        if let Some(frozen) = self.frozen() {
            frozen.request_part(&rows(features), part);
        }
    }

    /// An ad's part of its scores; an empty one of a model that may not serve.
    pub fn ad_part(&self, features: &[u32]) -> AdPart {
        self.frozen().map_or_else(AdPart::default, |frozen| frozen.ad_part(&rows(features)))
    }

    /// The scores of a pair, before calibration; none of one that may not serve.
    pub fn scores(&self, request: &RequestPart, ad: &AdPart) -> Option<Scores> {
        self.frozen().map(|frozen| frozen.scores(request, ad))
    }

    /// Whether it says of a click whether an order will follow.
    pub fn predicts_conversions(&self) -> bool {
        self.frozen().is_some_and(Frozen::predicts_conversions)
    }
}

fn rows(features: &[u32]) -> smallvec::SmallVec<[Slot; 32]> {
    slots(features).collect()
}

/// Whom a guest's word counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// For everybody, but those of a canary.
    Serving,
    /// For so many of a thousand users whom we may know.
    Canary(u16),
    /// For nobody: it is only watched.
    Shadow,
}

/// A thousandth of the users that a user belongs to, for one guest; the next guest's first are others.
fn thousandth(id: &str, user: PrivacyKey) -> u16 {
    let salt = id.bytes().fold(0, |salt, byte| mix(salt ^ u64::from(byte)));
    (mix(user.0 ^ salt) % 1000) as u16
}

/// A guest as a snapshot holds it: what it says, and how much of that is believed.
#[derive(Clone, Debug)]
pub struct Seat {
    /// Who.
    pub guest: Arc<Guest>,
    /// Whom it serves.
    pub role: Role,
    pub(crate) clicks: Say,
    pub(crate) orders: Say,
}

/// How much of a guest's word on clicks, or on orders, is believed.
#[derive(Clone, Debug)]
pub(crate) struct Say {
    map: Calibration,
    fusion: Fusion,
}

impl Say {
    /// One probability of the home model's calibrated one and the guest's score.
    pub(crate) fn fused(&self, home: f32, score: f32) -> f32 {
        probability(self.fusion.predict(&[logit(home), self.map.logit(score)]))
    }
}

impl Seat {
    /// Whether it has a say in bids for this user.
    fn serves(&self, user: Option<PrivacyKey>) -> bool {
        serves(self.role, &self.guest, user)
    }
}

fn serves(role: Role, guest: &Guest, user: Option<PrivacyKey>) -> bool {
    match role {
        _ if !guest.may_serve() => false,
        Role::Serving => true,
        Role::Canary(share) => user.is_some_and(|user| thousandth(&guest.id, user) < share),
        Role::Shadow => false,
    }
}

/// The first that serves a user; canaries stand before who serves everybody.
pub(crate) fn choose(seats: &[Seat], user: Option<UserKey>) -> Option<usize> {
    if seats.is_empty() {
        return None;
    }
    let user = user.map(PrivacyKey::of);
    seats.iter().position(|seat| seat.serves(user))
}

/// How one guest has done lately, all on the same examples; each weighs less the longer ago it was.
#[derive(Clone, Debug)]
pub struct GuestReport {
    /// Which.
    pub id: String,
    /// Its role.
    pub role: Role,
    /// Examples since it came.
    pub examples: u64,
    /// By the home model alone.
    pub home: Recent,
    /// By the guest alone, calibrated.
    pub alone: Recent,
    /// By both.
    pub fused: Recent,
    /// What was served to the users that it serves, by both, since it began to: what promises are held against.
    /// Answers are counted elsewhere.
    pub served: Tally,
    /// The weight of the guest's word, from 0 to 1.
    pub weight: f32,
}

/// What is learned of a guest's word on clicks, or on orders.
#[derive(Clone, Debug, PartialEq)]
struct Heard {
    calibrator: Calibrator,
    fusion: Fusion,
}

impl Default for Heard {
    fn default() -> Self {
        Self { calibrator: Calibrator::default(), fusion: Fusion::new(2) }
    }
}

impl Heard {
    /// Learns from an example and returns what was said of it before: by both, and by the guest alone, calibrated.
    fn learn(&mut self, home: f32, score: f32, label: bool) -> (f32, f32) {
        let opinions = [logit(home), self.calibrator.calibration().logit(score)];
        let fused = probability(self.fusion.predict(&opinions));
        let alone = self.calibrator.learn(score, label);
        self.fusion.learn(&opinions, label);
        (fused, alone)
    }

    fn say(&self) -> Say {
        Say { map: self.calibrator.calibration().clone(), fusion: self.fusion.clone() }
    }
}

/// What is learned of a guest.
#[derive(Clone, Debug, Default, PartialEq)]
struct Known {
    clicks: Heard,
    orders: Heard,
    examples: u64,
    home: Recent,
    alone: Recent,
    fused: Recent,
    served: Tally,
}

/// A guest that is here.
#[derive(Clone, Debug)]
struct Watched {
    guest: Arc<Guest>,
    role: Role,
    known: Known,
    /// Reused from example to example.
    request: RequestPart,
}

impl Watched {
    /// None where one of another make fails.
    fn scores(&mut self, request: &[u32], ad: &[u32]) -> Option<Scores> {
        if let Asked::Outside(model) = &self.guest.asked {
            let row: smallvec::SmallVec<[Slot; 32]> = slots(request).chain(slots(ad)).collect();
            return model.score(&row).map(|click| Scores { click, conversion: None });
        }
        self.guest.request_part(request, &mut self.request);
        self.guest.scores(&self.request, &self.guest.ad_part(ad))
    }
}

/// The guests as the trainer knows them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guests {
    watched: Vec<Watched>,
    /// What a checkpoint knew of guests that have not come yet.
    remembered: BTreeMap<String, Known>,
}

impl Guests {
    /// These guests from now on, [`MOST_GUESTS`] at most. Who was there keeps what was learned of them.
    pub(crate) fn set(&mut self, guests: &[(Arc<Guest>, Role)]) {
        let mut old = std::mem::take(&mut self.watched);
        for (guest, role) in guests.iter().take(MOST_GUESTS) {
            let mut known = match old.iter().position(|watched| watched.guest.id == guest.id) {
                Some(at) => {
                    let before = old.swap_remove(at);
                    let mut known = before.known;
                    if before.role != *role {
                        // Another role, other users: what was served to those before says nothing of these.
                        known.served = Tally::default();
                    }
                    known
                }
                None => self.remembered.remove(&guest.id).unwrap_or_default(),
            };
            if *role == Role::Shadow {
                known.served = Tally::default();
            }
            let (guest, request) = (Arc::clone(guest), RequestPart::default());
            self.watched.push(Watched { guest, role: *role, known, request });
        }
        self.watched.sort_by_key(|watched| match watched.role {
            Role::Canary(_) => 0,
            Role::Serving => 1,
            Role::Shadow => 2,
        });
        // Who has not come with the first ones does not come back.
        self.remembered.clear();
    }

    /// Learns from an example that the home model gave the probability `home`, and returns what was served: that, or what
    /// became of it with a guest.
    pub(crate) fn learn(
        &mut self,
        request: &[u32],
        ad: &[u32],
        user: Option<PrivacyKey>,
        home: f32,
        label: bool,
    ) -> f32 {
        let mut served = None;
        for watched in &mut self.watched {
            let Some(Scores { click: score, .. }) = watched.scores(request, ad) else { continue };
            let known = &mut watched.known;
            let (fused, alone) = known.clicks.learn(home, score, label);
            known.examples += 1;
            known.home.note(f64::from(home), label);
            known.alone.note(f64::from(alone), label);
            known.fused.note(f64::from(fused), label);
            if served.is_none() && serves(watched.role, &watched.guest, user) {
                known.served.note_impression(f64::from(fused), label);
                served = Some(fused);
            }
        }
        served.unwrap_or(home)
    }

    /// The same of a click and whether an order followed. What a guest that knows nothing of orders serves is the home
    /// model's word.
    pub(crate) fn learn_order(
        &mut self,
        request: &[u32],
        ad: &[u32],
        user: Option<PrivacyKey>,
        home: f32,
        label: bool,
    ) -> f32 {
        let mut served = None;
        for watched in &mut self.watched {
            let mut said = home;
            if watched.guest.predicts_conversions()
                && let Some(Scores { conversion: Some(score), .. }) = watched.scores(request, ad)
            {
                said = watched.known.orders.learn(home, score, label).0;
            }
            if served.is_none() && serves(watched.role, &watched.guest, user) {
                served = Some(said);
            }
        }
        served.unwrap_or(home)
    }

    /// Those that have a say, as a snapshot holds them.
    pub(crate) fn seats(&self) -> Vec<Seat> {
        let serves = |watched: &&Watched| watched.role != Role::Shadow && watched.guest.may_serve();
        let serving = self.watched.iter().filter(serves);
        let seat = |watched: &Watched| Seat {
            guest: Arc::clone(&watched.guest),
            role: watched.role,
            clicks: watched.known.clicks.say(),
            orders: watched.known.orders.say(),
        };
        serving.map(seat).collect()
    }

    /// How each does.
    pub(crate) fn reports(&self) -> Vec<GuestReport> {
        let report = |watched: &Watched| GuestReport {
            id: watched.guest.id.clone(),
            role: watched.role,
            examples: watched.known.examples,
            home: watched.known.home,
            alone: watched.known.alone,
            fused: watched.known.fused,
            served: watched.known.served,
            weight: watched.known.clicks.fusion.weight(1),
        };
        self.watched.iter().map(report).collect()
    }
}
