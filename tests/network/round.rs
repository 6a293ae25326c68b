//! One fault, at one node, two or all, from its begin until all are well again.

use std::fmt::{self, Display, Formatter};
use std::thread::sleep;
use std::time::{Duration, Instant};

use haggle::clock::monotonic;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::fault::Fault;
use crate::lab::Lab;
use crate::nodes::Nodes;
use crate::switch::Weather;
use crate::traffic::Seen;
use crate::{CAMPAIGNS, EAGER, NODES, STALL, TAKE_OVER, WELL};

/// After a node was cut off, what was on its way to it has arrived.
const ARRIVED: Duration = Duration::from_secs(1);

/// What is to happen.
pub struct Plan {
    pub fault: Fault,
    pub stricken: Vec<usize>,
    pub lasts: Duration,
    /// Somebody is killed.
    pub death: Option<Death>,
}

/// A node is killed some time after the fault's begin, and is started again at another.
#[derive(Clone, Copy)]
pub struct Death {
    node: usize,
    at: Duration,
    back: Duration,
}

impl Plan {
    /// Chance decides; `owner` is likelier to be stricken than others, since more is at stake there.
    pub fn any(dice: &mut StdRng, owner: usize, longest: f64) -> Self {
        let fault = Fault::any(dice);
        let first = if dice.random_bool(0.5) { owner } else { dice.random_range(0..NODES) };
        let others = match dice.random_range(0..20) {
            0..2 => NODES - 1,
            2..5 => 1,
            _ => 0,
        };
        let stricken = (first..=first + others).map(|node| node % NODES).collect();
        let lasts = Duration::from_secs_f64(dice.random_range(1.0..longest));
        let at = lasts.mul_f64(dice.random());
        let back = at + Duration::from_secs_f64(dice.random_range(0.0..5.0));
        let death = Death { node: dice.random_range(0..NODES), at, back };
        Self { fault, stricken, lasts, death: dice.random_bool(0.25).then_some(death) }
    }
}

/// How it went.
pub struct Done {
    plan: Plan,
    lasted: Duration,
    owned: Vec<&'static str>,
    /// When others owned all that the stricken nodes had, if they did.
    pub taken: Option<Duration>,
    /// How long it took until all were well, from the fault's end.
    pub well: Duration,
    /// What was still missing shortly before.
    trouble: Option<String>,
    /// The longest that nothing was settled of the campaign that has money.
    pub stall: Duration,
    /// Connections that were ended or forgotten.
    ended: usize,
    /// What nodes that were cut off had, and bid.
    spent: Vec<(u64, u64)>,
    slowest: Duration,
}

impl Display for Done {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Plan { fault, stricken, death, .. } = &self.plan;
        write!(f, "{fault:?} at {stricken:?} for {:.1?}", self.lasted)?;
        if let Some(Death { node, .. }) = death {
            write!(f, ", {node} killed")?;
        }
        if let Some(taken) = self.taken {
            write!(f, ", others own {} after {taken:.1?}", self.owned.join(" and "))?;
        }
        if self.ended > 0 {
            write!(f, ", {} connections", self.ended)?;
        }
        for (purse, spent) in &self.spent {
            write!(f, ", bid {spent} of {purse} that it held")?;
        }
        write!(f, "; nothing settled for {:.1?}; all well after {:.1?}", self.stall, self.well)?;
        if let Some(trouble) = &self.trouble {
            write!(f, " ({trouble})")?;
        }
        write!(f, "; slowest answer {:.0?}", self.slowest)
    }
}

/// A round while it lasts.
struct Round<'a, 'lab> {
    nodes: &'a mut Nodes<'lab>,
    lab: &'lab Lab,
    seen: &'a Seen,
    plan: &'a Plan,
    begun: Instant,
    /// The last second for which the weather was made.
    second: Option<u64>,
    /// The campaigns that the stricken nodes owned.
    owned: Vec<usize>,
    taken: Option<Duration>,
    ended: usize,
    /// What nodes held when nothing reached them any more, and since which stretch of time.
    held: Option<(usize, Vec<(usize, u64)>)>,
    is_killed: bool,
}

/// Carries it out. With `until_taken` it ends as soon as another node has taken over.
pub fn run<'lab>(
    nodes: &mut Nodes<'lab>,
    lab: &'lab Lab,
    seen: &Seen,
    plan: Plan,
    until_taken: bool,
) -> Done {
    let view = nodes.see();
    nodes.watch(if plan.fault.parts() { &plan.stricken } else { &[] });
    let owned = (0..CAMPAIGNS.len())
        .filter(|campaign| view.owners(*campaign).iter().any(|owner| plan.stricken.contains(owner)))
        .collect();
    let mut round = Round {
        nodes,
        lab,
        seen,
        plan: &plan,
        begun: monotonic(),
        second: None,
        owned,
        taken: None,
        ended: 0,
        held: None,
        is_killed: false,
    };
    while !round.is_over(until_taken) {
        round.make_weather();
        round.make_dead();
        round.hold();
        round.watch();
        sleep(Duration::from_millis(100));
    }
    let lasted = round.begun.elapsed();
    let spent = round.spent();
    plan.stricken.iter().for_each(|node| lab.switch.set(*node, Weather::default()));
    let (well, trouble) = round.recover();
    let Round { owned, taken, ended, .. } = round;
    let stall = nodes.stall();
    if stall > STALL && plan.must_go_on() {
        nodes.fail(&format!("{:?} at {:?}: nothing was settled for {stall:.1?}", plan.fault, plan.stricken));
    }
    let owned = owned.into_iter().map(|campaign| CAMPAIGNS[campaign].id).collect();
    let taken = taken.filter(|_| plan.must_be_replaced());
    Done { plan, lasted, owned, taken, well, trouble, stall, ended, spent, slowest: seen.slowest() }
}

impl Plan {
    /// There are nodes that can do what the stricken cannot.
    fn others_work(&self) -> bool {
        self.stricken.len() < NODES && self.death.is_none()
    }

    fn must_be_replaced(&self) -> bool {
        self.fault.parts() && self.others_work()
    }

    /// Campaigns are settled meanwhile: who owns them is replaced, or soon connected anew.
    fn must_go_on(&self) -> bool {
        let same = matches!(self.fault, Fault::Forgotten { .. } | Fault::Reset | Fault::NoRedis);
        self.must_be_replaced() || (same && self.death.is_none())
    }
}

impl Round<'_, '_> {
    fn is_over(&self, until_taken: bool) -> bool {
        let elapsed = self.begun.elapsed();
        if until_taken {
            return self.taken.is_some_and(|taken| taken + ARRIVED < elapsed);
        }
        elapsed > self.plan.lasts && self.plan.death.is_none_or(|death| death.back < elapsed)
    }

    /// Once a second.
    fn make_weather(&mut self) {
        let second = self.begun.elapsed().as_secs();
        if self.second == Some(second) {
            return;
        }
        for &node in &self.plan.stricken {
            self.lab.switch.set(node, self.plan.fault.weather(second));
            match self.plan.fault {
                Fault::Reset => self.ended += self.lab.reset(node),
                Fault::Forgotten { share } if self.second.is_none() => {
                    let mut dice = StdRng::seed_from_u64(self.plan.lasts.as_nanos() as u64);
                    self.ended += self.lab.switch.forget(node, f64::from(share) / 100.0, &mut dice);
                }
                _ => {}
            }
        }
        self.second = Some(second);
    }

    /// Kills who is to be killed; starts who does not run, when it is time.
    fn make_dead(&mut self) {
        let elapsed = self.begun.elapsed();
        if let Some(Death { node, at, back }) = self.plan.death {
            if at < elapsed && !self.is_killed {
                self.is_killed = true;
                self.nodes.kill(node);
                self.seen.mourn();
            }
            if self.is_killed && elapsed < back {
                return;
            }
        }
        self.nodes.tend();
    }

    /// Looks what nodes hold that are granted nothing more.
    fn hold(&mut self) {
        let asks = self.held.is_none() && self.plan.fault.starves() && self.plan.death.is_none();
        if asks && self.begun.elapsed() > ARRIVED {
            let purses = self.plan.stricken.iter().filter_map(|node| Some((*node, self.nodes.purse(*node)?)));
            let purses = purses.collect();
            self.held = Some((self.seen.next_epoch(), purses));
        }
    }

    /// Nodes bid no more than they held.
    fn spent(&self) -> Vec<(u64, u64)> {
        let Some((epoch, purses)) = &self.held else { return Vec::new() };
        // Requests that are sent from now on are of another stretch.
        self.seen.next_epoch();
        let of = |(node, purse): &(usize, u64)| {
            let spent = self.seen.bids_in(*epoch)[*node].worth;
            if spent > *purse {
                self.nodes
                    .fail(&format!("node {node} was cut off with {purse} millionths and has bid {spent}"));
            }
            (*purse, spent)
        };
        purses.iter().map(of).collect()
    }

    /// Looks who owns what, and whether anybody hangs.
    fn watch(&mut self) {
        let elapsed = self.begun.elapsed();
        let view = self.nodes.see();
        let elsewhere =
            |campaign: &usize| view.owners(*campaign).iter().any(|owner| !self.plan.stricken.contains(owner));
        if self.taken.is_none() && !self.owned.is_empty() && self.owned.iter().all(elsewhere) {
            self.taken = Some(elapsed);
        }
        let waits = self.taken.is_none() && !self.owned.is_empty() && self.plan.must_be_replaced();
        if waits && elapsed > TAKE_OVER {
            let Plan { fault, stricken, .. } = self.plan;
            self.nodes.fail(&format!("{fault:?} at {stricken:?} for {elapsed:.1?}: nobody takes over"));
        }
        self.nodes.look();
    }

    /// Waits until every node is well and bids, and what they had been told is settled.
    fn recover(&mut self) -> (Duration, Option<String>) {
        let (seen, epoch, (owed, _)) = (self.seen, self.seen.next_epoch(), self.seen.owed());
        self.nodes.recover(WELL, |view| {
            if let Some(silent) = seen.bids_in(epoch).iter().position(|bids| bids.count[EAGER] == 0) {
                return Some(format!("node {silent} does not bid"));
            }
            let settled = view.latest(&[]);
            let late = (0..CAMPAIGNS.len()).find(|campaign| settled[*campaign] < owed[*campaign])?;
            Some(format!("of {} is settled {} of {}", CAMPAIGNS[late].id, settled[late], owed[late]))
        })
    }
}
