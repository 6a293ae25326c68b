//! Sites and apps.

use crate::catalog::AISLES;

/// A site or app.
#[derive(Debug)]
pub(crate) struct Inventory {
    /// `site.domain`, or `app.bundle`.
    pub(crate) domain: &'static str,
    pub(crate) name: &'static str,
    pub(crate) app: bool,
    /// IAB content taxonomy 1.0.
    pub(crate) categories: &'static [&'static str],
    pub(crate) keywords: &'static [&'static str],
    /// How good its surroundings are: rivals pay in proportion, floors follow.
    pub(crate) quality: f64,
    /// Visits relative to the others.
    pub(crate) popularity: f64,
}

impl Inventory {
    /// The aisle that the content is about, if any.
    pub(crate) fn aisle(&self) -> Option<usize> {
        AISLES.iter().position(|aisle| self.keywords.contains(&aisle.word))
    }
}

const fn site(
    domain: &'static str,
    name: &'static str,
    categories: &'static [&'static str],
    keywords: &'static [&'static str],
    quality: f64,
    popularity: f64,
) -> Inventory {
    Inventory { domain, name, app: false, categories, keywords, quality, popularity }
}

const fn app(
    domain: &'static str,
    name: &'static str,
    categories: &'static [&'static str],
    keywords: &'static [&'static str],
    quality: f64,
    popularity: f64,
) -> Inventory {
    Inventory { domain, name, app: true, categories, keywords, quality, popularity }
}

// One line each, so that it reads as a table.
#[rustfmt::skip]
pub(crate) const INVENTORY: [Inventory; 40] = [
    site("ridgeline-mag.example", "Ridgeline Magazine", &["IAB20", "IAB17"], &["hiking", "trails"], 1.4, 2.0),
    site("thru-hiker.example", "Thru-Hiker's Log", &["IAB20", "IAB20-1"], &["hiking", "boots"], 1.1, 1.4),
    site("parkfinder.example", "Park Finder", &["IAB20-22", "IAB20"], &["hiking", "maps"], 1.2, 1.6),
    site("camp-kitchen.example", "Camp Kitchen", &["IAB20-9", "IAB8"], &["camping", "recipes"], 1.1, 1.2),
    site("tentpole.example", "Tentpole", &["IAB20-9"], &["camping", "tents"], 1.0, 1.2),
    site("vanlife-weekly.example", "Vanlife Weekly", &["IAB20-9", "IAB20"], &["camping", "travel"], 1.0, 1.3),
    site("milesplit.example", "Mile Split", &["IAB17-30", "IAB7"], &["running", "training"], 1.2, 1.6),
    site("marathon-notes.example", "Marathon Notes", &["IAB17-30"], &["running", "shoes"], 1.1, 1.2),
    site("gravelroads.example", "Gravel Roads", &["IAB17-3"], &["cycling", "gravel"], 1.2, 1.3),
    site("commuter-bikes.example", "Commuter Bikes", &["IAB17-3"], &["cycling", "city"], 1.0, 1.2),
    site("slowroast.example", "Slow Roast", &["IAB8", "IAB8-6"], &["cooking", "coffee"], 1.3, 1.7),
    site("weeknight-pot.example", "Weeknight Pot", &["IAB8"], &["cooking", "recipes"], 1.2, 2.4),
    site("sourdough-club.example", "Sourdough Club", &["IAB8", "IAB8-8"], &["cooking", "baking"], 1.1, 1.5),
    site("balcony-green.example", "Balcony Green", &["IAB10-4", "IAB10"], &["gardening", "planters"], 1.1, 1.4),
    site("rootandleaf.example", "Root & Leaf", &["IAB10-4"], &["gardening", "seeds"], 1.0, 1.2),
    site("warmrooms.example", "Warm Rooms", &["IAB10-7", "IAB10"], &["decor", "lamps"], 1.4, 1.8),
    site("small-flat.example", "Small Flat", &["IAB10-7"], &["decor", "rentals"], 1.1, 1.5),
    site("powderday.example", "Powder Day", &["IAB17-35", "IAB17"], &["skiing", "snow"], 1.3, 1.6),
    site("liftlines.example", "Lift Lines", &["IAB17-35", "IAB20"], &["skiing", "resorts"], 1.1, 1.2),
    site("daily-ledger.example", "The Daily Ledger", &["IAB12"], &["news", "politics"], 1.6, 4.0),
    site("harbor-times.example", "Harbor Times", &["IAB12", "IAB12-2"], &["news", "local"], 1.3, 3.0),
    site("goalside.example", "Goalside", &["IAB17", "IAB17-12"], &["football", "scores"], 1.1, 2.4),
    site("stagedoor.example", "Stage Door", &["IAB1"], &["film", "music"], 1.0, 2.0),
    site("pocket-money.example", "Pocket Money", &["IAB13"], &["saving", "budget"], 1.5, 1.4),
    site("chip-and-pixel.example", "Chip & Pixel", &["IAB19"], &["gadgets", "reviews"], 1.2, 2.0),
    site("school-gate.example", "School Gate", &["IAB6"], &["family", "parents"], 1.0, 1.6),
    site("forum-hub.example", "Forum Hub", &["IAB24"], &["forum"], 0.6, 3.0),
    site("quickquiz.example", "Quick Quiz", &["IAB9"], &["quiz", "trivia"], 0.5, 2.4),
    app("example.trailmapper", "Trail Mapper", &["IAB20", "IAB20-1"], &["hiking", "maps"], 1.2, 1.8),
    app("example.campsite", "Campsite Finder", &["IAB20-9"], &["camping", "travel"], 1.0, 1.3),
    app("example.paceline", "Paceline", &["IAB17-30", "IAB7"], &["running", "training"], 1.2, 1.8),
    app("example.ridelog", "Ride Log", &["IAB17-3"], &["cycling", "routes"], 1.1, 1.4),
    app("example.panandpot", "Pan & Pot", &["IAB8"], &["cooking", "recipes"], 1.1, 2.0),
    app("example.plantcare", "Plant Care", &["IAB10-4"], &["gardening", "plants"], 1.0, 1.3),
    app("example.roomplanner", "Room Planner", &["IAB10-7"], &["decor", "furniture"], 1.1, 1.4),
    app("example.snowreport", "Snow Report", &["IAB17-35", "IAB15-10"], &["skiing", "weather"], 1.2, 1.5),
    app("example.skycast", "Skycast Weather", &["IAB15-10"], &["weather"], 1.2, 4.0),
    app("example.bubblepop", "Bubble Pop", &["IAB9-30"], &["games", "puzzle"], 0.5, 3.6),
    app("example.wordgrid", "Word Grid", &["IAB9-30"], &["games", "words"], 0.6, 3.2),
    app("example.chatterbox", "Chatterbox", &["IAB24"], &["social", "chat"], 0.7, 3.0),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::people::{COMPUTER, PHONE, TABLET};
    use crate::placements::PLACEMENTS;

    #[test]
    fn every_aisle_has_a_site_and_an_app_and_every_device_a_placement() {
        for aisle in 0..AISLES.len() {
            for app in [false, true] {
                assert!(INVENTORY.iter().any(|place| place.app == app && place.aisle() == Some(aisle)));
            }
        }
        for (app, device) in
            [(false, COMPUTER), (false, PHONE), (false, TABLET), (true, PHONE), (true, TABLET)]
        {
            let place = INVENTORY.iter().find(|place| place.app == app).unwrap();
            assert!(PLACEMENTS.iter().any(|placement| placement.weight_on(place, device) > 0.0));
        }
    }
}
