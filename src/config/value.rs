//! What a setting can hold: each kind is read from the same text in a file, a flag or a variable.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use haggle_domain::AttributionModel;
use haggle_safety::{Mode, SupplyPolicy};

use super::duration;

/// A kind of value.
pub(super) trait Value: Sized {
    /// Stands for the value in the command line's help.
    const PLACEHOLDER: &'static str;
    /// Whether a bare flag means `true`.
    const BARE: bool = false;

    fn parse(text: &str) -> Result<Self, String>;
    fn show(&self) -> String;
}

impl Value for SocketAddr {
    const PLACEHOLDER: &'static str = "ADDRESS";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|_| format!("{text:?} is not an address and port; write it like \"127.0.0.1:8080\""))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for String {
    const PLACEHOLDER: &'static str = "TEXT";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "" => Err("is empty; leave it out for the default".to_owned()),
            text if text.chars().any(char::is_control) => Err("holds a control character".to_owned()),
            text => Ok(text.to_owned()),
        }
    }

    fn show(&self) -> String {
        self.clone()
    }
}

impl Value for PathBuf {
    const PLACEHOLDER: &'static str = "PATH";

    fn parse(text: &str) -> Result<Self, String> {
        String::parse(text).map(Self::from)
    }

    fn show(&self) -> String {
        self.display().to_string()
    }
}

impl Value for Option<PathBuf> {
    const PLACEHOLDER: &'static str = PathBuf::PLACEHOLDER;

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() { Ok(None) } else { PathBuf::parse(text).map(Some) }
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(|| "none".to_owned(), Value::show)
    }
}

impl Value for Duration {
    const PLACEHOLDER: &'static str = "SPAN";

    fn parse(text: &str) -> Result<Self, String> {
        duration::parse(text)
    }

    fn show(&self) -> String {
        duration::show(*self)
    }
}

impl Value for usize {
    const PLACEHOLDER: &'static str = "N";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("{text:?} is not a whole number"))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for u16 {
    const PLACEHOLDER: &'static str = "N";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("{text:?} is not a whole number from 0 to {}", Self::MAX))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for f64 {
    const PLACEHOLDER: &'static str = "SHARE";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse()
            .ok()
            .filter(|number: &Self| number.is_finite())
            .ok_or_else(|| format!("{text:?} is not a number"))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for bool {
    const PLACEHOLDER: &'static str = "true|false";
    const BARE: bool = true;

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("{text:?} is neither true nor false"))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// How many threads serve requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workers(pub usize);

impl Value for Workers {
    const PLACEHOLDER: &'static str = "N|auto";

    fn parse(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self(std::thread::available_parallelism().map_or(1, usize::from)));
        }
        match text.parse() {
            Ok(count @ 1..=1024) => Ok(Self(count)),
            _ => Err(format!("{text:?} is neither \"auto\" nor a whole number from 1 to 1024")),
        }
    }

    fn show(&self) -> String {
        self.0.to_string()
    }
}

impl Value for Mode {
    const PLACEHOLDER: &'static str = "off|observe|enforce";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse()
    }

    fn show(&self) -> String {
        self.as_str().to_owned()
    }
}

impl Value for AttributionModel {
    const PLACEHOLDER: &'static str = "MODEL";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse()
    }

    fn show(&self) -> String {
        self.as_str().to_owned()
    }
}

impl Value for SupplyPolicy {
    const PLACEHOLDER: &'static str = "off|observe|enforce|CHECK=MODE,…";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse()
    }

    fn show(&self) -> String {
        Self::show(self)
    }
}

/// For how long something is kept; `None` is for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep(pub Option<Duration>);

impl Value for Keep {
    const PLACEHOLDER: &'static str = "SPAN|forever";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "0" | "forever" => Ok(Self(None)),
            text => duration::parse(text).map(|keep| Self(Some(keep).filter(|keep| !keep.is_zero()))),
        }
    }

    fn show(&self) -> String {
        self.0.map_or_else(|| "forever".to_owned(), duration::show)
    }
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Value for LogFormat {
    const PLACEHOLDER: &'static str = "text|json";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("{text:?} is neither \"text\" nor \"json\"")),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Json => "json".to_owned(),
        }
    }
}

/// The check that a value lies in a range.
pub(super) fn within<T: Value + PartialOrd>(low: T, high: T) -> impl Fn(&T) -> Result<(), String> {
    move |value| {
        if *value >= low && *value <= high {
            Ok(())
        } else {
            Err(format!("{} is out of range; choose from {} to {}", value.show(), low.show(), high.show()))
        }
    }
}
