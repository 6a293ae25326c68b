//! One sending thread: an event loop over its connections that allocates nothing while it runs.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::Progress;
use super::answer::Reader;
use super::plan::{LoadError, Pace, Plan};
use super::tally::{Moments, Tally};
use crate::clock::monotonic;

/// How long a connection may take to open before the run.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// After a failed connection attempt the next one waits.
const RECONNECT_PAUSE: Duration = Duration::from_millis(50);
/// What was due before the end is still sent this long after it. Otherwise a machine that stalls for the last
/// milliseconds would leave the requests that were due in them out, which are the slow ones.
const CATCH_UP: Duration = Duration::from_millis(250);
/// Connections are looked over for old requests this often.
const LOOK_OVER: Duration = Duration::from_millis(10);
/// So many times the timeout an answer is waited for; until then it is late.
pub(super) const PATIENCE: u32 = 5;
/// What is read at once; answers fit.
const READ: usize = 64 << 10;

/// What a connection is doing.
#[derive(Clone, Copy, Debug)]
enum State {
    /// Free since.
    Idle(Duration),
    /// It carries a request, of which `written` bytes are out.
    Busy { moments: Moments, request: usize, written: usize },
    /// It is being opened.
    Opening,
    /// It is opened at this time.
    Down(Duration),
}

#[derive(Debug)]
struct Connection {
    stream: Option<TcpStream>,
    state: State,
    reader: Reader,
}

/// A worker with its connections open.
pub(super) struct Worker<'p> {
    plan: &'p Plan,
    progress: &'p Progress,
    index: usize,
    poll: Poll,
    connections: Vec<Connection>,
    /// Free ones, the longest free first; some may have ended since.
    idle: VecDeque<usize>,
    /// The number of the next request among this worker's.
    next: u64,
    tally: Tally,
    start: Instant,
    scratch: Box<[u8]>,
}

fn open(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = std::net::TcpStream::connect_timeout(&address, CONNECT_PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok(TcpStream::from_std(stream))
}

impl<'p> Worker<'p> {
    /// Opens the connections of the `index`th worker.
    pub(super) fn new(plan: &'p Plan, progress: &'p Progress, index: usize) -> Result<Self, LoadError> {
        let poll = Poll::new()?;
        // As evenly as it goes.
        let count = (plan.connections + plan.workers - 1 - index) / plan.workers;
        let mut connections = Vec::with_capacity(count);
        for token in 0..count {
            let address = plan.target.address;
            let mut stream = open(address).map_err(|error| LoadError::Unreachable { address, error })?;
            poll.registry().register(&mut stream, Token(token), Interest::READABLE | Interest::WRITABLE)?;
            let state = State::Idle(Duration::ZERO);
            connections.push(Connection { stream: Some(stream), state, reader: Reader::new() });
        }
        let span = plan.duration + plan.timeout * PATIENCE;
        Ok(Self {
            plan,
            progress,
            index,
            poll,
            idle: (0..connections.len()).collect(),
            connections,
            next: 0,
            tally: Tally::new(span)?,
            start: monotonic(),
            scratch: vec![0; READ].into_boxed_slice(),
        })
    }

    /// Sends from `start` until the plan's end or until told to stop, then waits for the last answers.
    pub(super) fn run(mut self, start: Instant) -> Result<Tally, LoadError> {
        if let Some(cpu) = self.plan.cpu {
            // Where the system does not allow it the worker runs anywhere.
            core_affinity::set_for_current(core_affinity::CoreId { id: cpu + self.index });
        }
        self.start = start;
        std::thread::sleep(start.saturating_duration_since(monotonic()));
        let mut events = Events::with_capacity(1024);
        let mut looked_over = Duration::ZERO;
        let mut ended = None;
        loop {
            let now = self.now();
            if ended.is_none() && (self.is_over(now) || self.progress.stop.load(Ordering::Relaxed)) {
                ended = Some(now);
                self.tally.sending = now;
                self.count_unsent(now);
            }
            if let Some(end) = ended {
                let busy = self.connections.iter().any(|it| matches!(it.state, State::Busy { .. }));
                // Whoever has stopped it does not want to wait.
                let stopped = self.progress.stop.load(Ordering::Relaxed);
                if !busy || now >= end + self.plan.timeout * if stopped { 1 } else { PATIENCE } {
                    break;
                }
            } else {
                self.send_due();
            }
            if now >= looked_over + LOOK_OVER {
                looked_over = now;
                self.look_over(now);
            }
            // It never sleeps while it sends: whoever answers would have to wake it, which on a virtual machine costs the
            // server more than the answer, and the more the longer it takes.
            let patience = if ended.is_some() { LOOK_OVER } else { Duration::ZERO };
            match self.poll.poll(&mut events, Some(patience)) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
                _ => {}
            }
            for event in &events {
                self.handle(event);
                if ended.is_none() {
                    self.send_due();
                }
            }
        }
        let now = self.now();
        for connection in &self.connections {
            if let State::Busy { moments, .. } = connection.state {
                self.tally.lost(moments, now, false);
            }
        }
        Ok(self.tally)
    }

    fn now(&self) -> Duration {
        monotonic().saturating_duration_since(self.start)
    }

    /// Whether all that was due before the end is sent, as far as connections are free for it.
    fn is_over(&self, now: Duration) -> bool {
        let behind = self.due().is_some_and(|due| due < self.plan.duration);
        let sends = behind && !self.idle.is_empty() && now < self.plan.duration + CATCH_UP;
        now >= self.plan.duration && !sends
    }

    /// When the next request is due; in a closed loop at once.
    fn due(&self) -> Option<Duration> {
        match self.plan.pace {
            Pace::Max => None,
            Pace::Rate(rate) => {
                let number = self.next as f64 * self.plan.workers as f64 + self.index as f64;
                Some(Duration::from_secs_f64((number / rate).min(1e9)))
            }
        }
    }

    /// Sends what is due while a connection is free.
    fn send_due(&mut self) {
        while let Some(&token) = self.idle.front() {
            let Some(State::Idle(free)) = self.connections.get(token).map(|it| it.state) else {
                self.idle.pop_front();
                continue;
            };
            let now = self.now();
            let due = self.due().unwrap_or(now);
            if due > now || due >= self.plan.duration {
                return;
            }
            self.idle.pop_front();
            let moments = Moments { due, sent: now };
            self.tally.sent(moments, free);
            self.progress.sent.fetch_add(1, Ordering::Relaxed);
            let number = self.next * self.plan.workers as u64 + self.index as u64;
            let request = usize::try_from(number % self.plan.requests.len() as u64).unwrap_or(0);
            self.next += 1;
            if let Some(connection) = self.connections.get_mut(token) {
                connection.state = State::Busy { moments, request, written: 0 };
            }
            self.write(token);
        }
    }

    /// Requests that were due and never sent.
    fn count_unsent(&mut self, end: Duration) {
        if let Pace::Rate(rate) = self.plan.pace {
            let share = end.min(self.plan.duration).as_secs_f64() * rate / self.plan.workers as f64;
            self.tally.unsent = (share.floor() as u64).saturating_sub(self.next);
        }
    }

    fn handle(&mut self, event: &Event) {
        let token = event.token().0;
        let Some(connection) = self.connections.get_mut(token) else { return };
        if let (State::Opening, Some(stream)) = (connection.state, &connection.stream) {
            if event.is_error() || stream.take_error().ok().flatten().is_some() {
                self.take_down(token, RECONNECT_PAUSE);
                return;
            }
            if event.is_writable() {
                let now = self.now();
                self.set_free(token, now);
            }
            return;
        }
        if event.is_writable() {
            self.write(token);
        }
        let ended = event.is_read_closed() || event.is_error();
        if event.is_readable() || ended {
            self.read(token, ended);
        }
        // The end came with the answer, and is not told of again.
        if ended && self.connections.get(token).is_some_and(|it| matches!(it.state, State::Idle(_))) {
            self.read(token, true);
        }
    }

    /// Writes what is left of a connection's request.
    fn write(&mut self, token: usize) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        let (State::Busy { request, written, .. }, Some(stream)) =
            (&mut connection.state, &mut connection.stream)
        else {
            return;
        };
        let bytes = self.plan.requests.get(*request).map_or(&[][..], |bytes| bytes);
        while let Some(rest) = bytes.get(*written..).filter(|rest| !rest.is_empty()) {
            match stream.write(rest) {
                Ok(0) => return,
                Ok(more) => *written += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Where the connection broke, reading says so.
                Err(_) => return,
            }
        }
    }

    /// Reads what has come: up to an answer, or as far as it goes. `to_the_end` where no more will be told of.
    fn read(&mut self, token: usize, to_the_end: bool) {
        loop {
            let Some(connection) = self.connections.get_mut(token) else { return };
            let Some(stream) = &mut connection.stream else { return };
            let (count, closed) = match stream.read(&mut self.scratch) {
                Ok(0) => (0, true),
                Ok(count) => (count, false),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => (0, true),
            };
            let busy = matches!(connection.state, State::Busy { .. });
            let answer = match () {
                () if closed => connection.reader.closed(),
                // Unasked for: a server says good-bye.
                () if !busy => None,
                () => match connection.reader.feed(self.scratch.get(..count).unwrap_or_default()) {
                    Ok(None) if count < self.scratch.len() && !to_the_end => return,
                    Ok(None) => continue,
                    Ok(answer) => answer,
                    Err(_) => None,
                },
            };
            let state = connection.state;
            let now = self.now();
            let State::Busy { moments, .. } = state else {
                self.take_down(token, Duration::ZERO);
                return;
            };
            match answer {
                Some(answer) => {
                    self.tally.answered(moments, now, answer, self.plan.timeout);
                    self.progress.answered.fetch_add(1, Ordering::Relaxed);
                    if answer.closes {
                        self.take_down(token, Duration::ZERO);
                    } else {
                        self.set_free(token, now);
                    }
                }
                None => {
                    self.tally.lost(moments, now, true);
                    self.take_down(token, Duration::ZERO);
                }
            }
            return;
        }
    }

    fn set_free(&mut self, token: usize, now: Duration) {
        if let Some(connection) = self.connections.get_mut(token) {
            connection.state = State::Idle(now);
            self.idle.push_back(token);
        }
    }

    /// Ends a connection; it is opened anew after `pause`.
    fn take_down(&mut self, token: usize, pause: Duration) {
        let at = self.now() + pause;
        if let Some(connection) = self.connections.get_mut(token) {
            if let Some(stream) = connection.stream.take() {
                // It may have ended already.
                let _ = stream.shutdown(Shutdown::Both);
            }
            connection.state = State::Down(at);
            connection.reader = Reader::new();
        }
        if pause.is_zero() {
            self.reopen(token);
        }
    }

    fn reopen(&mut self, token: usize) {
        self.tally.reconnects += 1;
        let now = self.now();
        let Some(connection) = self.connections.get_mut(token) else { return };
        let opened = TcpStream::connect(self.plan.target.address).and_then(|mut stream| {
            stream.set_nodelay(true)?;
            let both = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut stream, Token(token), both)?;
            Ok(stream)
        });
        match opened {
            Ok(stream) => {
                connection.stream = Some(stream);
                connection.state = State::Opening;
            }
            Err(_) => connection.state = State::Down(now + RECONNECT_PAUSE),
        }
    }

    /// Gives up what has waited too long, and opens connections whose pause is over.
    fn look_over(&mut self, now: Duration) {
        let patience = self.plan.timeout * PATIENCE;
        for token in 0..self.connections.len() {
            match self.connections.get(token).map(|connection| connection.state) {
                Some(State::Busy { moments, .. }) if now.saturating_sub(moments.sent) > patience => {
                    self.tally.lost(moments, now, false);
                    self.take_down(token, Duration::ZERO);
                }
                Some(State::Down(at)) if now >= at => self.reopen(token),
                _ => {}
            }
        }
    }
}
