//! The network between the nodes and what they share. Each of them hangs on it by a device of its own, and what becomes of each packet is
//! decided here: any loss, delay and order, one way or both, without what few kernels have built in. Like a router that keeps a table of
//! connections it passes only those whose beginning it saw, and can be made to forget.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use haggle::clock::monotonic;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::NODES;

pub const BROKER: usize = 0;
pub const REDIS: usize = 1;
/// The device of the broker and of Redis, the last of an address of theirs is 1 or 2; of a node's 11 and more.
pub const HUB: &str = "hub";
pub const FIRST_NODE: u8 = 11;
/// Packets that wait at once; more are lost, as in any router.
const WAITING: usize = 4096;

/// What becomes of a node's packets.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Weather {
    /// How many hundredths of what the broker and Redis send it get lost.
    pub to: [u8; 2],
    /// How many of what it sends them.
    pub from: [u8; 2],
    /// How long each is under way at least, and how much longer at most: so they overtake each other.
    pub delay: Duration,
    pub jitter: Duration,
    /// What is sent to it in packets over so many bytes gets lost.
    pub widest: Option<usize>,
}

#[derive(Default)]
struct State {
    weather: [Weather; NODES],
    /// Connections that are passed: the node, the server, and the port on the node's side.
    known: BTreeSet<(usize, usize, u16)>,
}

pub struct Switch {
    state: Arc<Mutex<State>>,
}

/// A packet that is due, of which number, for which device.
type Later = Reverse<(Instant, u64, usize, Vec<u8>)>;

/// The name of a node's device.
pub fn link(node: usize) -> String {
    format!("link{node}")
}

/// Makes a device whose packets are read from and written to the file.
#[allow(unsafe_code, reason = "the one call that makes a device has no safe form")]
fn device(name: &str) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).open("/dev/net/tun")?;
    let flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
    let mut wanted = libc::ifreq {
        ifr_name: [0; libc::IFNAMSIZ],
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_flags: flags },
    };
    // The last byte stays zero: it ends the name.
    for (to, from) in wanted.ifr_name[..libc::IFNAMSIZ - 1].iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    // SAFETY: the file is open, and this call reads and writes one `ifreq`, which lives until it returns.
    let done = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut wanted) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(file) }
}

impl Switch {
    /// Makes the devices, and passes on what they send as long as the process lives.
    pub fn start(seed: u64) -> io::Result<Self> {
        let names = (0..NODES).map(link).chain([HUB.to_owned()]);
        let devices = names.map(|name| device(&name)).collect::<io::Result<Vec<File>>>()?;
        let (devices, state) = (Arc::new(devices), Arc::<Mutex<State>>::default());
        let (later, delayed) = sync_channel(WAITING);
        for from in 0..=NODES {
            let (devices, state, later) = (Arc::clone(&devices), Arc::clone(&state), later.clone());
            let dice = StdRng::seed_from_u64(seed.wrapping_add(from as u64));
            thread::spawn(move || pass(from, &devices, &state, &later, dice));
        }
        thread::spawn(move || deliver(&devices, &delayed));
        Ok(Self { state })
    }

    pub fn set(&self, node: usize, weather: Weather) {
        self.state.lock().unwrap().weather[node] = weather;
    }

    /// Forgets each connection of a node with this probability, and tells nobody; says how many.
    pub fn forget(&self, node: usize, probability: f64, dice: &mut StdRng) -> usize {
        let known = &mut self.state.lock().unwrap().known;
        let before = known.len();
        known.retain(|(of, ..)| *of != node || !dice.random_bool(probability));
        before - known.len()
    }
}

/// What is to be known of a packet: its node, its server, the node's port, and whether it begins a connection.
struct Header {
    node: usize,
    server: usize,
    port: u16,
    begins: bool,
}

/// Reads a packet of TCP; none of what is not between a node and a server.
fn header(from: usize, packet: &[u8]) -> Option<Header> {
    let tcp = packet.get(usize::from(packet.first()? & 15) * 4..)?;
    // IPv4, whose protocol stands at 9 and whose addresses at 12 and 16.
    if packet[0] >> 4 != 4 || tcp.len() < 20 || packet[9] != 6 {
        return None;
    }
    let ((node, server), port) =
        if from == NODES { ((packet[19], packet[15]), 2) } else { ((packet[15], packet[19]), 0) };
    let node = usize::from(node.checked_sub(FIRST_NODE)?);
    let server = usize::from(server.checked_sub(1)?);
    let port = u16::from_be_bytes([tcp[port], tcp[port + 1]]);
    // SYN without ACK.
    let begins = tcp[13] & 0x12 == 0x02;
    (node < NODES && server <= REDIS).then_some(Header { node, server, port, begins })
}

/// Reads what one device sends, and decides.
fn pass(
    from: usize,
    devices: &[File],
    state: &Mutex<State>,
    later: &SyncSender<(usize, Duration, Vec<u8>)>,
    mut dice: StdRng,
) {
    let mut buffer = vec![0; 65_536];
    while let Ok(length) = (&devices[from]).read(&mut buffer) {
        let Some(Header { node, server, port, begins }) = header(from, &buffer[..length]) else { continue };
        let to = if from == NODES { node } else { NODES };
        let weather = {
            let mut state = state.lock().unwrap();
            if begins {
                state.known.insert((node, server, port));
            } else if !state.known.contains(&(node, server, port)) {
                continue;
            }
            state.weather[node]
        };
        let lost = if to == NODES { weather.from[server] } else { weather.to[server] };
        let too_wide = to != NODES && weather.widest.is_some_and(|widest| length > widest);
        if too_wide || dice.random_range(0..100) < lost {
            continue;
        }
        if weather.delay + weather.jitter == Duration::ZERO {
            // A device that is not up yet takes nothing: then it is lost.
            let _ = (&devices[to]).write(&buffer[..length]);
        } else {
            let delay = weather.delay + weather.jitter.mul_f64(dice.random());
            let _ = later.try_send((to, delay, buffer[..length].to_vec()));
        }
    }
}

/// Writes what was under way for a while.
fn deliver(devices: &[File], delayed: &Receiver<(usize, Duration, Vec<u8>)>) {
    let mut waiting: BinaryHeap<Later> = BinaryHeap::new();
    for number in 0.. {
        let due = waiting.peek().map(|Reverse((due, ..))| due.saturating_duration_since(monotonic()));
        match delayed.recv_timeout(due.unwrap_or(Duration::from_secs(1))) {
            Ok((to, delay, packet)) => waiting.push(Reverse((monotonic() + delay, number, to, packet))),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        while waiting.peek().is_some_and(|Reverse((due, ..))| *due <= monotonic()) {
            let Some(Reverse((_, _, to, packet))) = waiting.pop() else { break };
            let _ = (&devices[to]).write(&packet);
        }
    }
}
