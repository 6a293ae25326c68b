//! What the command line and the environment say about settings.

use std::collections::BTreeMap;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use super::error::Source;
use super::settings::SETTINGS;

/// Settings given by flags and environment variables. Flatten it into a command with
/// `#[command(flatten)]`; values are checked by [`super::load`], together with the file's.
#[derive(Clone, Debug, Default)]
pub struct SettingsLayer {
    given: BTreeMap<&'static str, (String, Source)>,
}

impl SettingsLayer {
    /// Adds a setting as if its flag had been given; a key that no setting has changes nothing.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        if let Some(setting) = SETTINGS.iter().find(|setting| setting.key == key) {
            self.given.insert(setting.key, (value.into(), Source::Flag(setting.flag)));
        }
        self
    }

    pub(super) fn get(&self, key: &str) -> Option<&(String, Source)> {
        self.given.get(key)
    }
}

impl clap::Args for SettingsLayer {
    fn augment_args(command: Command) -> Command {
        command.args(SETTINGS.iter().map(|setting| {
            let arg = Arg::new(setting.key)
                .long(setting.flag)
                .env(setting.variable)
                .hide_env_values(true)
                .value_name(setting.placeholder)
                .help(if setting.default.is_empty() { setting.help } else { setting.help_with_default })
                .help_heading("Settings");
            if setting.bare {
                arg.num_args(0..=1).require_equals(true).default_missing_value("true")
            } else {
                arg
            }
        }))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for SettingsLayer {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut layer = Self::default();
        layer.update_from_arg_matches(matches)?;
        Ok(layer)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for setting in SETTINGS {
            let source = match matches.value_source(setting.key) {
                Some(ValueSource::CommandLine) => Source::Flag(setting.flag),
                Some(ValueSource::EnvVariable) => Source::Environment(setting.variable),
                _ => continue,
            };
            if let Some(value) = matches.get_one::<String>(setting.key) {
                self.given.insert(setting.key, (value.clone(), source));
            }
        }
        Ok(())
    }
}
