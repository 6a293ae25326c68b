//! Where the GDPR, or a law that follows it, holds.

/// The European Economic Area, the United Kingdom and Switzerland, as ISO 3166-1 alpha-3 (what OpenRTB asks for) and
/// alpha-2 (what some send).
const UNDER_GDPR: [([u8; 3], [u8; 2]); 32] = [
    (*b"AUT", *b"AT"),
    (*b"BEL", *b"BE"),
    (*b"BGR", *b"BG"),
    (*b"CHE", *b"CH"),
    (*b"CYP", *b"CY"),
    (*b"CZE", *b"CZ"),
    (*b"DEU", *b"DE"),
    (*b"DNK", *b"DK"),
    (*b"ESP", *b"ES"),
    (*b"EST", *b"EE"),
    (*b"FIN", *b"FI"),
    (*b"FRA", *b"FR"),
    (*b"GBR", *b"GB"),
    (*b"GRC", *b"GR"),
    (*b"HRV", *b"HR"),
    (*b"HUN", *b"HU"),
    (*b"IRL", *b"IE"),
    (*b"ISL", *b"IS"),
    (*b"ITA", *b"IT"),
    (*b"LIE", *b"LI"),
    (*b"LTU", *b"LT"),
    (*b"LUX", *b"LU"),
    (*b"LVA", *b"LV"),
    (*b"MLT", *b"MT"),
    (*b"NLD", *b"NL"),
    (*b"NOR", *b"NO"),
    (*b"POL", *b"PL"),
    (*b"PRT", *b"PT"),
    (*b"ROU", *b"RO"),
    (*b"SVK", *b"SK"),
    (*b"SVN", *b"SI"),
    (*b"SWE", *b"SE"),
];

/// Whether the GDPR or the like holds in a country.
pub(super) fn under_gdpr(country: &str) -> bool {
    match *country.trim().as_bytes() {
        [a, b, c] => {
            let code = [a, b, c].map(|letter| letter.to_ascii_uppercase());
            UNDER_GDPR.iter().any(|(long, _)| *long == code)
        }
        [a, b] => {
            let code = [a, b].map(|letter| letter.to_ascii_uppercase());
            UNDER_GDPR.iter().any(|(_, short)| *short == code)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_codes_and_either_case_are_known() {
        for country in ["DEU", "deu", "DE", " fr ", "GBR", "CHE", "NO"] {
            assert!(under_gdpr(country), "{country}");
        }
        for country in ["", " ", "USA", "US", "TUR", "D", "DEUT"] {
            assert!(!under_gdpr(country), "{country}");
        }
    }
}
