//! What a user sees of exchange rates.

use std::fs;

use haggle::config::{self, Loaded, SettingsLayer, explain};
use haggle_domain::Rate;

use super::{SERVER, load, place};

/// Loads with a file of rates.
fn load_rates(rates: &str, server: &str) -> Result<Loaded, String> {
    let dir = place(&format!("rates_file = \"rates.toml\"\n{server}"), &[]);
    fs::write(dir.path().join("rates.toml"), rates).unwrap();
    let prefix = format!("{}/", dir.path().display());
    config::load(Some(&dir.path().join("haggle.toml")), &SettingsLayer::default())
        .map_err(|errors| errors.to_string().replace(&prefix, ""))
}

fn rate(loaded: &Loaded, currency: &str) -> Option<Rate> {
    loaded.rates.find(currency).map(|(_, rate)| rate)
}

#[test]
fn rates_come_from_their_file_and_the_accounts_own_is_one() {
    let euros = format!("{SERVER}currency = \"EUR\"\n");
    let loaded =
        load_rates("as_of = 2026-11-20\n[rates]\nEUR = \"1.0832\"\nJPY = \"0.0066\"\n", &euros).unwrap();
    assert_eq!(rate(&loaded, "EUR").unwrap().to_string(), "1.0832");
    assert_eq!(rate(&loaded, "USD"), Some(Rate::ONE));
    assert_eq!(rate(&loaded, "CHF"), None);
    let text = explain::explain(&loaded);
    assert!(text.contains("\nrates of 2026-11-20\n  1 EUR  1.0832 USD\n  1 JPY  0.0066 USD\n"), "{text}");
    let says = "ok: 1 exchanges, 0 campaigns, 2 exchange rates";
    assert_eq!(explain::validate(&Ok(loaded)).as_deref(), Ok(says));
    let none = load(SERVER, &[]).unwrap();
    assert_eq!((rate(&none, "USD"), rate(&none, "EUR")), (Some(Rate::ONE), None));
    assert!(!explain::explain(&none).contains("\nrates\n"));
}

#[test]
fn each_mistake_in_the_rates_is_told_in_full() {
    for (rates, told) in [
        ("", "rates.toml: rates: is missing; add rates = { EUR = \"1.0832\" }"),
        ("[rates]\nEUR = ", "rates.toml:2: not valid TOML: "),
        (
            "[rates]\neur = \"1\"",
            "rates.toml:2: rates.eur: \"eur\" is not a currency; write its three capital letters, like \"USD\"",
        ),
        (
            "[rates]\nUSD = \"1\"",
            "rates.toml:2: rates.USD: is the account's own currency, whose rate is 1; remove it",
        ),
        (
            "[rates]\nEUR = 1.0832",
            "rates.toml:2: rates.EUR: rates are written as text, so that no rounding touches them; quote it: \
             \"1.0832\"",
        ),
        (
            "[rates]\nEUR = \"0\"",
            "rates.toml:2: rates.EUR: \"0\" is not a rate; write a decimal above 0, at most 1000000 and with at most \
             9 digits after the point, like \"1.0832\"",
        ),
        ("[rates]\nEUR = true", "rates.toml:2: rates.EUR: is true or false, must be a text in quotes"),
        (
            "as_of = \"today\"\n[rates]",
            "rates.toml:1: as_of: is a text, must be a date without quotes, like 2026-11-20",
        ),
        ("as_off = 2026-11-20\n[rates]", "rates.toml:1: as_off: unknown key; did you mean as_of?"),
    ] {
        let error = load_rates(rates, SERVER).expect_err(rates);
        if told.ends_with(": ") {
            assert!(error.starts_with(told), "{error}");
        } else {
            assert_eq!(error, told);
        }
    }
    let told = load(&format!("rates_file = \"nothing.toml\"\n{SERVER}"), &[]).expect_err("no file");
    assert!(told.starts_with("nothing.toml: cannot be read: "), "{told}");
}
