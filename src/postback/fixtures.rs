//! What this folder's tests send, and to whom.

use std::time::Duration;

use haggle_domain::{Attribution, AttributionModel, Micros, Standing, Tag, Timestamp};

use super::Template;
use crate::config::{Postback, Secret};

/// One that is told of credits alone.
pub(super) fn crm() -> Postback {
    Postback {
        name: "crm".to_owned(),
        url: Template::parse("https://crm.example/{order}").unwrap(),
        events: vec![Standing::Credited],
        key: Secret::new("0123456789abcdef".to_owned()),
        allow_private: false,
        timeout: Duration::from_secs(5),
        tries: 9,
        give_up_after: Duration::from_secs(60),
        concurrency: 2,
    }
}

/// A credit.
pub(super) fn attribution(order: u64) -> Attribution {
    Attribution {
        order: Tag(order),
        id: None,
        placed_at: Timestamp(0),
        value: Micros(1),
        standing: Standing::Credited,
        model: AttributionModel::Last,
        credits: Vec::new(),
    }
}
