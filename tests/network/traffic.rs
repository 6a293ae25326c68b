//! Exchanges: they ask every node for bids, and tell any node what became of them, late, in any order and more than once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use haggle::clock::monotonic;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

use crate::cluster::{get, send, wait};
use crate::lab::addresses;
use crate::{CAMPAIGNS, NODES, PATIENCE};

/// Between two requests to a node.
const PAUSE: Duration = Duration::from_millis(20);
/// So many users are there at a time, and each has so many requests, at whichever node.
const USERS: usize = 20;
const OF_ONE_USER: usize = 60;
/// The latest that a notice is told for the first time: of most, and of one in ten.
const LATE: [f64; 2] = [5.0, 30.0];

/// What a node is to be told of a bid.
struct Notice {
    due: Instant,
    path: String,
    /// Whose it is and what it costs, if it is a bill.
    bill: Option<(usize, u64)>,
}

/// What one node has bid.
#[derive(Clone, Copy, Default)]
pub struct Bids {
    pub count: [u64; CAMPAIGNS.len()],
    /// The sum of what was bid, in millionths.
    pub worth: u64,
}

#[derive(Default)]
pub struct Seen {
    stop: AtomicBool,
    /// Which stretch of time it is, and what was asked for and bid in it by each node.
    epoch: AtomicUsize,
    bids: Mutex<BTreeMap<usize, [Bids; NODES]>>,
    notices: Mutex<Vec<Notice>>,
    /// Bills that were taken, by their paths.
    owed: Mutex<[BTreeMap<String, u64>; CAMPAIGNS.len()]>,
    /// How often each user was bid for by the campaign with a cap.
    users: Mutex<BTreeMap<String, usize>>,
    /// Counts on while users come.
    turn: AtomicUsize,
    /// Nodes that were killed: what such a one knew of users is lost, so others come.
    deaths: AtomicUsize,
    slowest: Mutex<Duration>,
    /// Answers that no node should give.
    wrong: Mutex<BTreeSet<String>>,
}

impl Seen {
    /// Begins another stretch of time.
    pub fn next_epoch(&self) -> usize {
        self.epoch.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// A node was killed.
    pub fn mourn(&self) {
        self.deaths.fetch_add(1, Ordering::SeqCst);
    }

    /// What nodes bid on requests that were sent in a stretch of time.
    pub fn bids_in(&self, epoch: usize) -> [Bids; NODES] {
        self.bids.lock().unwrap().get(&epoch).copied().unwrap_or_default()
    }

    /// What the bills that were taken come to, for each campaign, and how many there were.
    pub fn owed(&self) -> ([u64; CAMPAIGNS.len()], usize) {
        let owed = self.owed.lock().unwrap();
        (owed.each_ref().map(|bills| bills.values().sum()), owed.iter().map(BTreeMap::len).sum())
    }

    /// What was asked then was answered now.
    fn answered(&self, begun: Instant) {
        let mut slowest = self.slowest.lock().unwrap();
        *slowest = slowest.max(begun.elapsed());
    }

    /// The slowest answer to a request for a bid or a notice since this was last asked.
    pub fn slowest(&self) -> Duration {
        std::mem::take(&mut self.slowest.lock().unwrap())
    }

    /// The most bids with the cap that one user got.
    pub fn most_of_one_user(&self) -> usize {
        self.users.lock().unwrap().values().copied().max().unwrap_or(0)
    }

    pub fn wrong(&self) -> Vec<String> {
        self.wrong.lock().unwrap().iter().cloned().collect()
    }
}

/// Bids and notices, until it is stopped.
pub struct Traffic {
    pub seen: Arc<Seen>,
    threads: Vec<JoinHandle<()>>,
}

impl Traffic {
    pub fn start(seed: u64) -> Self {
        let seen = Arc::new(Seen::default());
        let spawn = |number: u64, work: fn(&Seen, usize, StdRng)| {
            let (seen, dice) = (Arc::clone(&seen), StdRng::seed_from_u64(seed.wrapping_add(number)));
            let node = number as usize % NODES;
            thread::spawn(move || work(&seen, node, dice))
        };
        let asking: Vec<JoinHandle<()>> = (0..NODES as u64).map(|number| spawn(number, ask)).collect();
        let telling = (100..100 + NODES as u64).map(|number| spawn(number, tell));
        let threads = asking.into_iter().chain(telling).collect();
        Self { seen, threads }
    }

    /// No more bids; once every notice was taken it is over.
    pub fn stop(self) -> Arc<Seen> {
        self.seen.stop.store(true, Ordering::SeqCst);
        wait("every notice to be taken", PATIENCE, || self.threads.iter().all(JoinHandle::is_finished));
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        self.seen
    }
}

/// Asks one node for bids.
fn ask(seen: &Seen, node: usize, mut dice: StdRng) {
    let (address, _) = addresses(node);
    for number in 0.. {
        if seen.stop.load(Ordering::SeqCst) {
            return;
        }
        let campaign = dice.random_range(0..CAMPAIGNS.len());
        let turn = seen.turn.fetch_add(1, Ordering::Relaxed);
        let generation = turn / (USERS * OF_ONE_USER);
        let user = format!("user-{}-{generation}-{}", seen.deaths.load(Ordering::SeqCst), turn % USERS);
        let (width, height) = CAMPAIGNS[campaign].size;
        let body = format!(
            r#"{{"id":"{node}-{number}","at":2,"cur":["USD"],"imp":[{{"id":"1","banner":{{"w":{width},"h":{height}}}}}],
            "site":{{"domain":"news.example"}},"user":{{"buyeruid":"{user}"}}}}"#
        );
        let (epoch, begun) = (seen.epoch.load(Ordering::SeqCst), monotonic());
        let answer = send(&address, "POST", "/openrtb2/bid/demo", &body);
        // A body that a kill cut short is no answer.
        let bid = answer.and_then(|(status, body)| {
            seen.answered(begun);
            (status == 200).then(|| serde_json::from_str::<Value>(&body).ok())?
        });
        if let Some(bid) = bid.map(|mut answer| answer["seatbid"][0]["bid"][0].take()) {
            assert_eq!(bid["cid"], CAMPAIGNS[campaign].id);
            let worth = (bid["price"].as_f64().unwrap() * 1e3).ceil() as u64;
            let mut bids = seen.bids.lock().unwrap();
            let bids = &mut bids.entry(epoch).or_default()[node];
            bids.count[campaign] += 1;
            bids.worth += worth;
            if CAMPAIGNS[campaign].capped {
                *seen.users.lock().unwrap().entry(user).or_default() += 1;
            }
            let fate = fate(&bid, campaign, &mut dice);
            seen.notices.lock().unwrap().extend(fate);
        }
        sleep(PAUSE);
    }
}

/// What will be told of a bid: a bill, maybe several times; a loss; or nothing.
fn fate(bid: &Value, campaign: usize, dice: &mut StdRng) -> Vec<Notice> {
    let path = |name: &str| {
        let url = bid[name].as_str().unwrap();
        url[url.find("/n/").unwrap()..]
            .replace("${AUCTION_LOSS}", "102")
            .replace("${AUCTION_MIN_TO_WIN}", "4.9")
    };
    let late = |dice: &mut StdRng| {
        let latest = LATE[usize::from(dice.random_bool(0.1))];
        monotonic() + Duration::from_secs_f64(dice.random_range(0.0..latest))
    };
    match dice.random_range(0..10) {
        0..6 => {
            // Of a thousand impressions, in tenths; so one of them costs hundreds of millionths.
            let most = (bid["price"].as_f64().unwrap() * 10.0) as u64;
            let price = dice.random_range(most / 2..=most);
            let path = path("burl").replace("${AUCTION_PRICE}", &format!("{}.{}", price / 10, price % 10));
            let bill = Some((campaign, price * 100));
            let copies = dice.random_range(1..=3);
            (0..copies).map(|_| Notice { due: late(dice), path: path.clone(), bill }).collect()
        }
        6..8 => vec![Notice { due: late(dice), path: path("lurl"), bill: None }],
        _ => vec![],
    }
}

/// Tells any node what is due, again and again until one takes it.
fn tell(seen: &Seen, _: usize, mut dice: StdRng) {
    loop {
        let stopped = seen.stop.load(Ordering::SeqCst);
        let notice = {
            let mut notices = seen.notices.lock().unwrap();
            if stopped && notices.is_empty() {
                return;
            }
            let due = notices.iter().position(|notice| notice.due <= monotonic() || stopped);
            due.map(|due| notices.swap_remove(due))
        };
        let Some(notice) = notice else {
            sleep(Duration::from_millis(5));
            continue;
        };
        let begun = monotonic();
        match get(&addresses(dice.random_range(0..NODES)).0, &notice.path) {
            Some((200..=204, _)) => {
                seen.answered(begun);
                if let Some((campaign, cost)) = notice.bill {
                    seen.owed.lock().unwrap()[campaign].insert(notice.path, cost);
                }
            }
            Some((status, body)) if status != 503 => {
                seen.wrong.lock().unwrap().insert(format!("{status} {body}"));
            }
            _ => {
                let due = monotonic() + Duration::from_millis(100);
                seen.notices.lock().unwrap().push(Notice { due, ..notice });
                sleep(Duration::from_millis(5));
            }
        }
    }
}
