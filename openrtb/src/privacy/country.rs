//! Where the GDPR, or a law that follows it, holds.

/// The European Economic Area, the United Kingdom and Switzerland, as ISO 3166-1 alpha-3 (what OpenRTB asks for) and
/// alpha-2 (what some send).
const UNDER_GDPR: [(&str, &str); 32] = [
    ("AUT", "AT"),
    ("BEL", "BE"),
    ("BGR", "BG"),
    ("CHE", "CH"),
    ("CYP", "CY"),
    ("CZE", "CZ"),
    ("DEU", "DE"),
    ("DNK", "DK"),
    ("ESP", "ES"),
    ("EST", "EE"),
    ("FIN", "FI"),
    ("FRA", "FR"),
    ("GBR", "GB"),
    ("GRC", "GR"),
    ("HRV", "HR"),
    ("HUN", "HU"),
    ("IRL", "IE"),
    ("ISL", "IS"),
    ("ITA", "IT"),
    ("LIE", "LI"),
    ("LTU", "LT"),
    ("LUX", "LU"),
    ("LVA", "LV"),
    ("MLT", "MT"),
    ("NLD", "NL"),
    ("NOR", "NO"),
    ("POL", "PL"),
    ("PRT", "PT"),
    ("ROU", "RO"),
    ("SVK", "SK"),
    ("SVN", "SI"),
    ("SWE", "SE"),
];

/// Whether the GDPR or the like holds in a country.
pub(super) fn under_gdpr(country: &str) -> bool {
    let same = |code: &str| code.eq_ignore_ascii_case(country.trim());
    UNDER_GDPR.iter().any(|(long, short)| same(long) || same(short))
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
