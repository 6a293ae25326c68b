//! What befalls a node's link.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;

use crate::switch::{BROKER, REDIS, Weather};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// Nothing passes.
    Cut,
    /// Of the two, only Redis can be reached.
    NoBroker,
    /// Of the two, only the broker can be reached.
    NoRedis,
    /// What is sent to it is lost, what it sends arrives.
    Deaf,
    /// What it sends is lost, what is sent to it arrives.
    Mute,
    /// Packets are late, out of order, and some are lost.
    Poor { loss: u8, delay: Duration, jitter: Duration },
    /// Every other second nothing passes.
    Flapping,
    /// Every second all connections end.
    Reset,
    /// A router has forgotten so many hundredths of the connections, and passes nothing of them any more. New ones it passes.
    Forgotten { share: u8 },
    /// What is sent to it in large packets is lost.
    Narrow,
}

impl Fault {
    pub fn any(dice: &mut StdRng) -> Self {
        match dice.random_range(0..13) {
            0 | 1 => Self::Cut,
            2 => Self::NoBroker,
            3 => Self::NoRedis,
            4 => Self::Deaf,
            5 => Self::Mute,
            6 | 7 => {
                let delay = Duration::from_millis(dice.random_range(25..=200));
                Self::Poor { loss: dice.random_range(5..=30), delay, jitter: delay }
            }
            8 => Self::Flapping,
            9 => Self::Reset,
            10 => Self::Forgotten { share: 100 },
            11 => Self::Forgotten { share: 50 },
            _ => Self::Narrow,
        }
    }

    /// Nothing that the node says can be agreed on by the others, so one of them should take over.
    pub fn parts(self) -> bool {
        matches!(self, Self::Cut | Self::NoBroker | Self::Deaf | Self::Mute)
    }

    /// It learns of no money that is granted meanwhile.
    pub fn starves(self) -> bool {
        matches!(self, Self::Cut | Self::NoBroker | Self::Deaf)
    }

    /// What it comes to, so many seconds after its begin.
    pub fn weather(self, second: u64) -> Weather {
        let mut weather = Weather::default();
        match self {
            Self::Flapping if second % 2 == 1 => {}
            Self::Cut | Self::Flapping => (weather.to, weather.from) = ([100; 2], [100; 2]),
            Self::NoBroker => (weather.to[BROKER], weather.from[BROKER]) = (100, 100),
            Self::NoRedis => (weather.to[REDIS], weather.from[REDIS]) = (100, 100),
            Self::Deaf => weather.to = [100; 2],
            Self::Mute => weather.from = [100; 2],
            Self::Poor { loss, delay, jitter } => {
                weather = Weather { to: [loss; 2], from: [loss; 2], delay, jitter, widest: None };
            }
            Self::Narrow => weather.widest = Some(600),
            Self::Reset | Self::Forgotten { .. } => {}
        }
        weather
    }
}
