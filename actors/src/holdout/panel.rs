//! Who is compared, and who of them bought: a fold over the journal.

use std::collections::BTreeMap;
use std::time::Duration;

use haggle_domain::draw::mix;
use haggle_domain::{CampaignKey, Group, PrivacyKey, Timestamp, UserKey};
use minicbor::{Decode, Encode};

use super::lift::{Band, Split};

/// Users of one campaign, at most, in both groups together.
const MOST: u64 = 65_536;
/// Users of all campaigns, at most: some 30 MiB.
const MOST_OF_ALL: usize = 524_288;
/// How long after a user could first have seen the campaign's ads an order counts.
const WINDOW: Duration = Duration::from_secs(7 * 86_400);
/// How long a user counts, and is remembered: as long as profiles are.
const MEMORY: Duration = Duration::from_secs(90 * 86_400);
const DAY: i64 = 86_400_000_000;

/// See the module's text.
///
/// A user counts once for a campaign, from the first time that an imp of theirs was for it, so what the ads do cannot decide who
/// counts. Where a campaign has more users than are remembered, every other one is left out, and goes on to be: by a hash that
/// says nothing of the group, so what is left is a fair sample of all.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
pub struct Panel {
    #[n(0)]
    members: BTreeMap<(PrivacyKey, CampaignKey), Member>,
    #[n(1)]
    trials: BTreeMap<CampaignKey, Trial>,
    /// The day on which those who had been remembered for long enough were last forgotten.
    #[n(2)]
    swept: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Encode, Decode)]
struct Member {
    #[n(0)]
    group: Group,
    #[n(1)]
    first: Timestamp,
    #[n(2)]
    bought: bool,
    /// An order followed from a click on the campaign's ads.
    #[n(3)]
    #[cbor(default)]
    followed: bool,
}

impl Member {
    fn counts(&self, at: Timestamp) -> bool {
        self.first <= at && at <= self.first + WINDOW
    }
}

/// What is known of one campaign.
#[derive(Clone, Copy, Debug, Default, PartialEq, Encode, Decode)]
struct Trial {
    /// One user in 2 to the power of this is remembered.
    #[n(0)]
    level: u32,
    #[n(1)]
    split: Split,
}

impl Trial {
    fn users(&self) -> u64 {
        self.split.held.users + self.split.control.users
    }

    fn band(&mut self, group: Group) -> &mut Band {
        match group {
            Group::Held => &mut self.split.held,
            Group::Control => &mut self.split.control,
        }
    }

    fn remove(&mut self, member: Member) {
        let band = self.band(member.group);
        band.users = band.users.saturating_sub(1);
        band.buyers = band.buyers.saturating_sub(u64::from(member.bought));
        band.followed = band.followed.saturating_sub(u64::from(member.followed));
    }
}

/// Whether a user is among those who are remembered.
fn is_sampled(user: PrivacyKey, campaign: CampaignKey, level: u32) -> bool {
    mix(mix(user.0).wrapping_add(campaign.0)).leading_zeros() >= level
}

impl Panel {
    /// An imp was for the campaign, and its user is in one of the groups.
    pub fn eligible(&mut self, campaign: CampaignKey, user: UserKey, group: Group, at: Timestamp) {
        self.sweep(at);
        let key = (PrivacyKey::of(user), campaign);
        let trial = self.trials.entry(campaign).or_default();
        if !is_sampled(key.0, campaign, trial.level) || self.members.contains_key(&key) {
            return;
        }
        trial.band(group).users += 1;
        let full = trial.users() > MOST;
        self.members.insert(key, Member { group, first: at, bought: false, followed: false });
        if full {
            self.thin(campaign);
        }
        while self.members.len() > MOST_OF_ALL
            && let Some((largest, _)) = self.trials.iter().max_by_key(|(_, trial)| trial.users())
        {
            self.thin(*largest);
        }
    }

    /// The user bought something.
    pub fn bought(&mut self, user: UserKey, at: Timestamp) {
        for (key, member) in self.members.range_mut(all_of(PrivacyKey::of(user))) {
            if member.counts(at) && !std::mem::replace(&mut member.bought, true) {
                self.trials.entry(key.1).or_default().band(member.group).buyers += 1;
            }
        }
    }

    /// An order followed from the user's click on the campaign's ads.
    pub fn followed(&mut self, campaign: CampaignKey, user: UserKey, at: Timestamp) {
        let Some(member) = self.members.get_mut(&(PrivacyKey::of(user), campaign)) else { return };
        if member.counts(at) && !std::mem::replace(&mut member.followed, true) {
            self.trials.entry(campaign).or_default().band(member.group).followed += 1;
        }
    }

    /// Forgets a user, who then has never been counted.
    pub fn forget(&mut self, user: PrivacyKey) {
        let keys: Vec<_> = self.members.range(all_of(user)).map(|(key, _)| *key).collect();
        for key in keys {
            if let (Some(member), Some(trial)) = (self.members.remove(&key), self.trials.get_mut(&key.1)) {
                trial.remove(member);
            }
        }
    }

    /// The groups of each campaign, by rising keys.
    pub fn splits(&self) -> Vec<(CampaignKey, Split)> {
        self.trials.iter().map(|(campaign, trial)| (*campaign, trial.split)).collect()
    }

    /// How many users are remembered, those of several campaigns several times.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether nobody is.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Leaves out every other user of a campaign.
    fn thin(&mut self, campaign: CampaignKey) {
        let trial = self.trials.entry(campaign).or_default();
        trial.level += 1;
        let level = trial.level;
        self.retain(|key, _| key.1 != campaign || is_sampled(key.0, campaign, level));
    }

    /// Once a day, forgets those who have been remembered for long enough. A campaign without anybody begins anew.
    fn sweep(&mut self, now: Timestamp) {
        let day = now.0.div_euclid(DAY);
        if day > self.swept {
            self.swept = day;
            self.retain(|_, member| now.since(member.first) <= MEMORY);
            self.trials.retain(|_, trial| trial.users() > 0);
        }
    }

    fn retain(&mut self, keeps: impl Fn(&(PrivacyKey, CampaignKey), &Member) -> bool) {
        let Self { members, trials, .. } = self;
        members.retain(|key, member| {
            let stays = keeps(key, member);
            if !stays && let Some(trial) = trials.get_mut(&key.1) {
                trial.remove(*member);
            }
            stays
        });
    }
}

fn all_of(user: PrivacyKey) -> std::ops::RangeInclusive<(PrivacyKey, CampaignKey)> {
    (user, CampaignKey(0))..=(user, CampaignKey(u64::MAX))
}

#[cfg(test)]
mod tests {
    use haggle_domain::draw::Stream;
    use haggle_domain::{Draw, Holdout};

    use super::*;
    use crate::holdout::{Interval, Verdict};

    fn boots() -> CampaignKey {
        CampaignKey::of("boots")
    }

    fn day(days: i64) -> Timestamp {
        Timestamp((20_000 + days) * DAY)
    }

    fn split(panel: &Panel) -> Split {
        panel.splits().first().map(|(_, split)| *split).unwrap_or_default()
    }

    fn enrol(panel: &mut Panel, user: u64, group: Group, at: Timestamp) {
        panel.eligible(boots(), UserKey(user), group, at);
    }

    #[test]
    fn a_user_counts_once_and_buys_once_within_the_window() {
        let mut panel = Panel::default();
        panel.bought(UserKey(1), day(0));
        assert!(panel.is_empty(), "who is in no group is not remembered");
        for user in 0..4 {
            enrol(&mut panel, user, Group::Control, day(1));
            enrol(&mut panel, user, Group::Control, day(5));
        }
        enrol(&mut panel, 9, Group::Held, day(1));
        panel.bought(UserKey(0), day(0));
        panel.bought(UserKey(1), day(1));
        panel.bought(UserKey(1), day(2));
        panel.bought(UserKey(2), day(8));
        panel.bought(UserKey(3), Timestamp(day(8).0 + 1));
        let band = |users, buyers| Band { users, buyers, followed: 0 };
        assert_eq!(split(&panel), Split { control: band(4, 2), held: band(1, 0) });
        for (user, campaign, at) in
            [(1, "boots", 2), (1, "boots", 3), (2, "tents", 2), (3, "boots", 9), (9, "boots", 1)]
        {
            panel.followed(CampaignKey::of(campaign), UserKey(user), day(at));
        }
        assert_eq!((split(&panel).control.followed, split(&panel).held.followed), (1, 1));
        panel.forget(PrivacyKey::of(UserKey(9)));
        enrol(&mut panel, 9, Group::Held, day(1));
        assert_eq!(minicbor::decode::<Panel>(&minicbor::to_vec(&panel).unwrap()).unwrap(), panel);
        panel.forget(PrivacyKey::of(UserKey(1)));
        assert_eq!(split(&panel).control, band(3, 1));
        panel.bought(UserKey(1), day(2));
        assert_eq!(split(&panel).control, band(3, 1));
        enrol(&mut panel, 10, Group::Held, day(92));
        assert_eq!(split(&panel), Split { control: band(0, 0), held: band(1, 0) });
        assert_eq!(panel.len(), 1);
    }

    #[test]
    fn a_user_counts_for_each_campaign_and_is_forgotten_by_all() {
        let mut panel = Panel::default();
        for (id, group) in [("boots", Group::Held), ("tents", Group::Control)] {
            panel.eligible(CampaignKey::of(id), UserKey(5), group, day(0));
        }
        panel.bought(UserKey(5), day(1));
        assert!(panel.splits().iter().all(|(_, split)| split.held.buyers + split.control.buyers == 1));
        panel.forget(PrivacyKey::of(UserKey(5)));
        assert!(panel.is_empty() && panel.splits().iter().all(|(_, split)| *split == Split::default()));
    }

    #[test]
    fn more_users_than_are_remembered_leave_a_fair_sample() {
        let mut panel = Panel::default();
        let group = |user: u64| if user.is_multiple_of(2) { Group::Held } else { Group::Control };
        for user in 0..300_000u64 {
            enrol(&mut panel, user, group(user), day(0));
            // A tenth of the one and a fifth of the other buy.
            if user % 20 == 0 || user % 10 == 1 {
                panel.bought(UserKey(user), day(1));
            }
            assert!(panel.len() as u64 <= MOST);
        }
        let Split { held, control } = split(&panel);
        assert_eq!(held.users + control.users, panel.len() as u64);
        assert!(panel.len() as u64 > MOST / 2 && held.users.abs_diff(control.users) < 1_000);
        let rates = [held, control].map(|band| band.buyers as f64 / band.users as f64);
        assert!((rates[0] - 0.1).abs() < 0.007 && (rates[1] - 0.2).abs() < 0.009, "{rates:?}");
    }

    /// 60 thousand users, of whom 2 % buy, and `more` of them where they see an ad, which 7 of 10 do who are bid for.
    fn population(seed: u64, more: f64) -> Split {
        let (mut panel, holdout) = (Panel::default(), Holdout::of(0.5));
        for number in 0..60_000u64 {
            let draw = Draw::new(seed, &number.to_string(), "");
            let user = UserKey(mix(number + 1));
            let Some(group) = holdout.group(boots(), user) else { continue };
            let at = Timestamp(day(0).0 + (draw.uniform(Stream::Walk, 0) * 30.0 * DAY as f64) as i64);
            panel.eligible(boots(), user, group, at);
            let sees = group == Group::Control && draw.uniform(Stream::Throttle, 0) < 0.7;
            if draw.uniform(Stream::Tie, 0) < if sees { 0.02 + more } else { 0.02 } {
                panel.bought(user, at + WINDOW / 2);
            }
        }
        split(&panel)
    }

    #[test]
    fn a_lift_that_is_there_is_found_and_one_that_is_not_is_not() {
        // Of 40 intervals that hold in 95 of 100 cases, fewer than 34 hold once in 700 times; these are always the same.
        let (more, truth) = (0.012, 0.7 * 0.012);
        let share = truth / (0.02 + truth);
        let (mut lifts, mut held_true, mut shares, mut held_zero) = (0.0, 0, 0, 0);
        for seed in 0..40 {
            let some = population(seed, more);
            // Seven standard errors away from nothing.
            assert_eq!(some.verdict(), Verdict::More, "seed {seed}: {some:?}");
            let holds =
                |interval: Interval, truth| i32::from(interval.low <= truth && truth <= interval.high);
            let lift = some.lift().unwrap();
            lifts += lift.seen / 40.0;
            held_true += holds(lift, truth);
            shares += holds(some.incremental().unwrap(), share);
            held_zero += i32::from(population(seed + 100, 0.0).verdict() == Verdict::NoDifference);
        }
        assert!(
            held_true >= 34 && shares >= 34 && held_zero >= 34,
            "{held_true}, {shares}, {held_zero} of 40"
        );
        assert!(
            (lifts - truth).abs() < 4.0 * 0.00125 / 40f64.sqrt(),
            "{lifts} on average, and {truth} was made"
        );
    }
}
