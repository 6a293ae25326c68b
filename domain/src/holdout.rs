//! Users whom a campaign leaves alone, so that it can be known what its ads bring.

use crate::draw::mix;
use crate::id::{CampaignKey, UserKey};

/// Separates these hashes from others of the same keys.
const SALT: u64 = 0x686f_6c64_6f75_7400;
const TWO_32: f64 = 4_294_967_296.0;

/// The share of users whom a campaign never bids for.
///
/// A user's place on a line of 2³² is a hash of user and campaign. From its beginning the share is held out; as many at its end
/// are the control group, who are treated like everybody else and are watched as the held are. So whoever is in one group is
/// not in the other whatever share is chosen later, and groups of several campaigns have nothing to do with each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdout(u32);

/// The users of a campaign who are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, minicbor::Encode, minicbor::Decode)]
#[cbor(index_only)]
pub enum Group {
    /// Those whom it does not bid for.
    #[n(0)]
    Held,
    /// As many whom it bids for like for everybody else.
    #[n(1)]
    Control,
}

impl Holdout {
    /// The largest share: then everybody is in one of the groups.
    pub const MOST: f64 = 0.5;

    /// Of a share in 0..=[`Holdout::MOST`]; clamped, NaN counts as 0.
    pub fn of(share: f64) -> Self {
        Self(if share > 0.0 { (share.min(Self::MOST) * TWO_32) as u32 } else { 0 })
    }

    /// The share of users in each of both groups.
    pub fn share(self) -> f64 {
        f64::from(self.0) / TWO_32
    }

    /// Whether nobody is held out.
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// In which group a user is, if in any.
    pub fn group(self, campaign: CampaignKey, user: UserKey) -> Option<Group> {
        let place = (mix(mix(campaign.0 ^ SALT).wrapping_add(user.0)) >> 32) as u32;
        if place < self.0 { Some(Group::Held) } else { (u32::MAX - place < self.0).then_some(Group::Control) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users() -> impl Iterator<Item = UserKey> {
        (0..100_000).map(|number| UserKey::of(&format!("user-{number}")))
    }

    fn count(holdout: Holdout, campaign: CampaignKey, group: Option<Group>) -> i32 {
        users().map(|user| i32::from(holdout.group(campaign, user) == group)).sum()
    }

    #[test]
    fn both_groups_have_the_share_that_was_asked_for() {
        for share in [0.001, 0.05, 0.3, 0.5] {
            let (holdout, campaign) = (Holdout::of(share), CampaignKey::of("boots"));
            let expected = share * 1e5;
            for group in [Group::Held, Group::Control] {
                let off = f64::from(count(holdout, campaign, Some(group))) - expected;
                assert!(off.abs() < 5.0 * expected.sqrt(), "{share}: {off} off in {group:?}");
            }
            assert!((holdout.share() - share).abs() < 1e-9);
        }
        let everybody = Holdout::of(0.5);
        assert_eq!(count(everybody, CampaignKey::of("boots"), None), 0);
        for share in [0.0, -1.0, f64::NAN] {
            assert!(Holdout::of(share).is_none());
            assert_eq!(count(Holdout::of(share), CampaignKey::of("boots"), None), 100_000);
        }
        assert_eq!(Holdout::of(7.0), everybody);
    }

    #[test]
    fn a_user_stays_in_the_group_whatever_the_share_becomes() {
        let campaign = CampaignKey::of("boots");
        for user in users().take(10_000) {
            let groups: Vec<_> =
                [0.5, 0.2, 0.05].map(|share| Holdout::of(share).group(campaign, user)).into();
            assert!(groups.iter().flatten().all(|group| Some(*group) == groups[0]), "{groups:?}");
        }
        // A place that moved from one version to the next would mix the groups.
        let held =
            users().zip(0..).find(|(user, _)| Holdout::of(0.01).group(campaign, *user) == Some(Group::Held));
        assert_eq!(held.map(|(_, number)| number), Some(121), "the first of a hundredth, worked out once");
    }

    #[test]
    fn groups_of_two_campaigns_have_nothing_to_do_with_each_other() {
        let holdout = Holdout::of(0.2);
        let held = |id: &str, user| holdout.group(CampaignKey::of(id), user) == Some(Group::Held);
        let both = users().filter(|user| held("boots", *user) && held("tents", *user)).count();
        assert!(
            (3_700..4_300).contains(&both),
            "{both} of 100000 are held by both, and 4000 would be by chance"
        );
    }
}
