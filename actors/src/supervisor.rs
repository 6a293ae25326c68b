//! True supervision of an actix actor.
//!
//! actix's own `Supervisor` restarts an actor that stopped itself, not one that panicked. Here the actor's context is
//! polled inside `catch_unwind`, and after a panic it is restarted in place: its address stays valid, queued messages are
//! kept, its timers are gone and `started` runs again. Restarts back off; an actor that keeps failing opens a breaker and
//! is left alone for a while, so a poisoned campaign costs nothing but itself.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use actix::dev::ContextFut;
use actix::{Actor, Context, Supervised};

/// How long an actor waits before it starts again.
#[derive(Clone, Copy, Debug)]
pub struct RestartPolicy {
    /// After the first panic.
    pub first_wait: Duration,
    /// Doubling stops here.
    pub longest_wait: Duration,
    /// Panics in a row that open the breaker.
    pub breaker_after: u32,
    /// How long the breaker stays open.
    pub breaker_wait: Duration,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            first_wait: Duration::from_millis(20),
            longest_wait: Duration::from_secs(2),
            breaker_after: 6,
            breaker_wait: Duration::from_secs(30),
        }
    }
}

/// What supervision has seen of one actor, and what the actor tells it. Survives restarts.
#[derive(Debug, Default)]
pub struct Supervision {
    restarts: AtomicU64,
    in_a_row: AtomicU32,
    breaker_open: AtomicBool,
    gone: AtomicBool,
}

impl Supervision {
    /// How often it was restarted.
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// Whether it is being left alone after a storm of panics.
    pub fn breaker_open(&self) -> bool {
        self.breaker_open.load(Ordering::Relaxed)
    }

    /// Whether the actor cannot be started again in this process.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    /// Said by an actor that cannot go on.
    pub fn give_up(&self) {
        self.gone.store(true, Ordering::Relaxed);
    }

    /// Said by the actor once it has worked for a while: the next panic is a first one again.
    pub fn healthy(&self) {
        self.in_a_row.store(0, Ordering::Relaxed);
    }

    /// Notes a panic and says how long to wait.
    fn panicked(&self, policy: &RestartPolicy) -> Duration {
        let before = self.in_a_row.fetch_add(1, Ordering::Relaxed);
        if before + 1 >= policy.breaker_after {
            self.breaker_open.store(true, Ordering::Relaxed);
            return policy.breaker_wait;
        }
        policy.first_wait.saturating_mul(1 << before.min(20)).min(policy.longest_wait)
    }
}

/// Runs an actor in its context until its addresses are gone, restarting it after panics. To be spawned on an arbiter.
///
/// `on_panic` runs right after a panic, before the wait. The context is boxed, because a future holds what it is given
/// twice.
pub async fn supervise<A>(
    mut context: Box<ContextFut<A, Context<A>>>,
    policy: RestartPolicy,
    supervision: &Supervision,
    on_panic: impl Fn(),
) where
    A: Actor<Context = Context<A>> + Supervised,
{
    loop {
        let finished = poll_fn(|task| {
            // Unwind safety: after a panic the context is restarted, which drops its futures, and the actor
            // rebuilds all of its state in `started`.
            match catch_unwind(AssertUnwindSafe(|| Pin::new(&mut *context).poll(task))) {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(())) => Poll::Ready(true),
                Err(_) => Poll::Ready(false),
            }
        })
        .await;
        if finished {
            return;
        }
        on_panic();
        tokio::time::sleep(supervision.panicked(&policy)).await;
        supervision.breaker_open.store(false, Ordering::Relaxed);
        if !context.restart() {
            return;
        }
        supervision.restarts.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use actix::{Handler, Message};

    use super::*;

    struct Counter {
        starts: Arc<AtomicU32>,
        always: bool,
    }

    #[derive(Message)]
    #[rtype(result = "u32")]
    struct Ask {
        panic: bool,
    }

    impl Actor for Counter {
        type Context = Context<Self>;
        fn started(&mut self, _: &mut Self::Context) {
            self.starts.fetch_add(1, Ordering::Relaxed);
            assert!(!self.always, "fails at every start");
        }
    }

    impl Supervised for Counter {}

    impl Handler<Ask> for Counter {
        type Result = u32;
        fn handle(&mut self, ask: Ask, _: &mut Self::Context) -> u32 {
            assert!(!ask.panic, "asked to");
            self.starts.load(Ordering::Relaxed)
        }
    }

    fn start(always: bool) -> (actix::Addr<Counter>, Arc<Supervision>, Arc<AtomicU32>) {
        let starts = Arc::new(AtomicU32::new(0));
        let context = Context::new();
        let address = actix::AsyncContext::address(&context);
        let context = context.into_future(Counter { starts: Arc::clone(&starts), always });
        let supervision = Arc::new(Supervision::default());
        let policy = RestartPolicy {
            first_wait: Duration::from_millis(1),
            breaker_wait: Duration::from_secs(3600),
            ..Default::default()
        };
        let seen = Arc::clone(&supervision);
        actix_rt::spawn(async move { supervise(Box::new(context), policy, &seen, || ()).await });
        (address, supervision, starts)
    }

    #[actix_rt::test]
    async fn a_panic_restarts_the_actor_and_keeps_its_address_and_queue() {
        let (address, supervision, _) = start(false);
        assert_eq!(address.send(Ask { panic: false }).await.unwrap(), 1);
        let panics = address.send(Ask { panic: true });
        let queued = address.send(Ask { panic: false });
        assert!(panics.await.is_err());
        assert_eq!(queued.await.unwrap(), 2, "the queued message is answered by the second life");
        assert_eq!(supervision.restarts(), 1);
    }

    #[actix_rt::test]
    async fn an_actor_that_fails_at_every_start_opens_the_breaker() {
        let (_address, supervision, starts) = start(true);
        for _ in 0..400 {
            if supervision.breaker_open() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(supervision.breaker_open());
        assert_eq!(starts.load(Ordering::Relaxed), RestartPolicy::default().breaker_after);
    }
}
