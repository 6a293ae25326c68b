//! The shipped configuration, inside the program, so that it runs without any file.

/// `config/haggle.toml`.
pub(super) const SETTINGS: &str = include_str!("../../config/haggle.toml");

macro_rules! campaigns {
    ($($name:literal),+ $(,)?) => {
        &[$( ($name, include_str!(concat!("../../config/campaigns/", $name))) ),+]
    };
}

/// `config/campaigns/`: file names and texts, in order of names.
pub(super) const CAMPAIGNS: &[(&str, &str)] = campaigns![
    "camp-again.toml",
    "coffee-radio.toml",
    "europe-lights.toml",
    "house-banners.toml",
    "lamp-flash-sale.toml",
    "morning-coffee.toml",
    "parkas-native.toml",
    "snow-parkas.toml",
    "trail-boots.toml",
    "trail-film.toml",
];
