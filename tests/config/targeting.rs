//! What a user sees of targeting: each predicate as it is explained, and what each mistake is told as.

use haggle::config::explain;
use haggle_domain::{Connection, ListKey, Place, Predicate, Tag};

use super::{GOOD, SERVER, load};

const LISTS: &str = "[[list]]\nname = \"premium-sites\"\nkind = \"inventory\"\nfile = \"premium.txt\"\n\
                     [[list]]\nname = \"seen\"\nkind = \"users\"\nfile = \"seen.txt\"\n";

/// The good campaign with this one predicate.
fn campaign(predicate: &str) -> String {
    let (before, rest) = GOOD.split_once("[targeting]").unwrap();
    let (_, creatives) = rest.split_once("[[creatives]]").unwrap();
    format!("{before}[targeting]\nall = [\n  {{ {predicate} }},\n]\n[[creatives]]{creatives}")
}

fn server() -> String {
    format!("{SERVER}{LISTS}")
}

#[test]
fn each_predicate_is_read_and_explained() {
    let tags = |words: &[&str]| words.iter().map(|word| Tag::of(word)).collect::<Vec<_>>();
    for (written, predicate, explained) in [
        (
            "postcode = [\"SW1A 1\", \"902\"]",
            Predicate::Postcode(tags(&["sw1a1", "902"])),
            "postcode SW1A 1|902",
        ),
        (
            "near = { latitude = 52.52, longitude = 13, radius = \"10km\" }",
            Predicate::Near { centre: Place::from_degrees(52.52, 13.0).unwrap(), metres: 10_000 },
            "within 10km of 52.52, 13",
        ),
        (
            "near = { latitude = -0.5, longitude = -13.4, radius = \"750m\" }",
            Predicate::Near { centre: Place::from_degrees(-0.5, -13.4).unwrap(), metres: 750 },
            "within 750m of -0.5, -13.4",
        ),
        (
            "category = [\"IAB20\", \"7:596\", \"1:IAB1-2\"]",
            Predicate::Category(vec![
                Tag::category(1, "IAB20"),
                Tag::category(7, "596"),
                Tag::category(1, "IAB1-2"),
            ]),
            "category IAB20|7:596|1:IAB1-2",
        ),
        ("keyword = [\"Hiking\"]", Predicate::Keyword(tags(&["hiking"])), "keyword Hiking"),
        ("segment = [\"s-1\"]", Predicate::Segment(tags(&["s-1"])), "segment s-1"),
        (
            "browser = [\"Microsoft Edge\", \"firefox\", \"Brave\"]",
            Predicate::Browser(tags(&["edge", "firefox", "brave"])),
            "browser edge|firefox|Brave",
        ),
        (
            "connection = [\"wifi\", \"wired\", \"cellular\"]",
            Predicate::Connection(vec![Connection::Wifi, Connection::Wired, Connection::Cellular]),
            "connection wifi|wired|cellular",
        ),
        (
            "list = [\"premium-sites\"]",
            Predicate::List(vec![ListKey::of("premium-sites")]),
            "list premium-sites",
        ),
        ("user_list = [\"seen\"]", Predicate::UserList(vec![ListKey::of("seen")]), "user_list seen"),
        ("publisher = [\"77\"]", Predicate::Publisher(tags(&["77"])), "publisher 77"),
        ("placement = [\"top\"]", Predicate::Placement(tags(&["top"])), "placement top"),
        ("deal = [\"Deal 1\"]", Predicate::Deal(vec![Tag::exactly("Deal 1")]), "deal Deal 1"),
        ("interest = [\"IAB20\"]", Predicate::Interest(tags(&["iab20"])), "interest IAB20"),
    ] {
        let loaded = load(&server(), &[&campaign(written)]).unwrap();
        assert_eq!(loaded.campaigns[0].targeting.all, [predicate], "{written}");
        assert_eq!(loaded.targeting[0], format!("all: {explained}"));
    }
    let hours = "hours = [{ days = \"mon-fri\", from = \"06:00\", to = \"09:30\" }, { days = \"sun\", from = \"00:00\", to = \"24:00\" }]";
    let loaded = load(&server(), &[&campaign(hours)]).unwrap();
    let Predicate::Hours(read) = &loaded.campaigns[0].targeting.all[0] else { panic!("hours") };
    assert_eq!((read[0].weekdays, read[0].from_minute, read[0].to_minute), (0b001_1111, 360, 570));
    assert_eq!(loaded.targeting[0], "all: hours mon-fri 06:00-09:30|sun 00:00-24:00");
    let text = explain::explain(&loaded);
    assert!(text.contains("\nlists\n  premium-sites  inventory  "), "{text}");
}

#[test]
fn each_mistake_in_a_predicate_is_told_in_full() {
    for (written, key, told) in [
        (
            "postcode = [\"1\"]",
            "postcode[0]",
            "\"1\" is no postcode or beginning of one; write 2 to 9 letters and digits, like \"SW1A\" or \"902\"",
        ),
        ("postcode = [\"902*\"]", "postcode[0]", "\"902*\" is no postcode"),
        (
            "near = { latitude = 91, longitude = 1, radius = \"1km\" }",
            "near.latitude",
            "must be degrees from -90 to 90, without quotes, like 13.405",
        ),
        (
            "near = { latitude = \"52\", longitude = 1, radius = \"1km\" }",
            "near.latitude",
            "must be degrees from -90 to 90",
        ),
        ("near = { latitude = nan, longitude = 1, radius = \"1km\" }", "near.latitude", "must be degrees"),
        (
            "near = { latitude = 0, longitude = 0.0, radius = \"1km\" }",
            "near",
            "is at 0, 0, which stands for \"not known\"",
        ),
        (
            "near = { latitude = 52, longitude = 13, radius = \"10\" }",
            "near.radius",
            "\"10\" is no distance; write it like \"10km\" or \"500m\"",
        ),
        ("near = { latitude = 52, longitude = 13, radius = \"20041km\" }", "near.radius", "is no distance"),
        ("near = { latitude = 52, longitude = 13, radius = \"0m\" }", "near.radius", "is no distance"),
        ("near = { latitude = 52, longitude = 13 }", "near.radius", "is missing; add radius = \"10km\""),
        ("category = [\"outdoor\"]", "category[0]", "\"outdoor\" is not an IAB content category"),
        ("connection = [\"5g\"]", "connection[0]", "\"5g\" is none of \"wifi\", \"wired\", \"cellular\""),
        ("connection = []", "connection", "is empty, so it would never hold"),
        ("browser = [\"\"]", "browser[0]", "is empty, padded with spaces"),
        (
            "list = [\"premium\"]",
            "list[0]",
            "\"premium\" is no configured list of inventory; there are: premium-sites",
        ),
        ("list = [\"seen\"]", "list[0]", "\"seen\" is a list of users; ask for it with user_list"),
        ("user_list = [\"x\"]", "user_list[0]", "\"x\" is no configured list of users; there are: seen"),
        (
            "user_list = [\"premium-sites\"]",
            "user_list[0]",
            "\"premium-sites\" is a list of inventory; ask for it with list",
        ),
        (
            "hours = [{ days = \"mon\", from = \"10:00\", to = \"09:00\" }]",
            "hours[0].to",
            "is not after from",
        ),
        ("postcod = [\"902\"]", "postcod", "unknown key; did you mean postcode?"),
    ] {
        let error = load(&server(), &[&campaign(written)]).expect_err(written);
        let says = format!("targeting.all[0].{key}: ");
        assert!(
            error.starts_with("campaigns/0.toml:15: ") && error.contains(&says) && error.contains(told),
            "{error}"
        );
    }
    let error = load(SERVER, &[&campaign("list = [\"a\"]")]).expect_err("no lists");
    assert!(error.ends_with("\"a\" is no configured list of inventory; there are: none"), "{error}");
}

#[test]
fn each_mistake_in_lists_and_taxonomies_is_told() {
    for (tables, told) in [
        (
            "[[list]]\nkind = \"users\"\nfile = \"a\"",
            "haggle.toml:4: list[0].name: is missing; add name = \"premium-sites\"",
        ),
        (
            "[[list]]\nname = \"a\"\nkind = \"sites\"\nfile = \"a\"",
            "haggle.toml:6: list[0].kind: \"sites\" is none of \"inventory\", \"users\"",
        ),
        (
            "[[list]]\nname = \"a\"\nkind = \"users\"\nfile = \"\"",
            "haggle.toml:7: list[0].file: is empty; name the file",
        ),
        (
            "[[list]]\nname = \"a\"\nkind = \"users\"\nfile = \"f\"\n[[list]]\nname = \"A\"\nkind = \"users\"\nfile = \"f\"",
            "haggle.toml:9: list[1].name: \"A\" is another list's name too",
        ),
        (
            "[[taxonomy]]\nid = 1\nfile = \"f\"",
            "haggle.toml:5: taxonomy[0].id: is 1, must be a whole number from 2 to 9",
        ),
        (
            "[[taxonomy]]\nid = 7\nfile = \"f\"\n[[taxonomy]]\nid = 7\nfile = \"g\"",
            "haggle.toml:8: taxonomy[1].id: 7 is another taxonomy's id too",
        ),
    ] {
        let error = load(&format!("{SERVER}{tables}\n"), &[]).expect_err(tables);
        assert!(error.starts_with(told), "{error}");
    }
}

/// Several campaigns of a file, by their ids.
fn several(ids: &[String]) -> String {
    let table = GOOD
        .replace("[targeting]", "[campaign.targeting]")
        .replace("[[creatives]]", "[[campaign.creatives]]");
    ids.iter().map(|id| format!("[[campaign]]{}", table.replacen("spring-hiking", id, 1))).collect()
}

#[test]
fn a_file_can_hold_several_campaigns() {
    let file = several(&["one".to_owned(), "two".to_owned()]);
    let loaded = load(SERVER, &[&file, GOOD]).unwrap();
    let ids: Vec<_> = loaded.campaigns.iter().map(|campaign| campaign.id.as_str()).collect();
    assert_eq!(ids, ["one", "two", "spring-hiking"]);
    assert_eq!(loaded.campaigns[1].targeting, loaded.campaigns[2].targeting);
    let line = |text: &str, nth: usize| {
        text.lines().enumerate().filter(|(_, line)| line.contains("max_bid_cpm")).nth(nth).unwrap().0 + 1
    };
    let broken = file.replace("\"12.00\"", "\"0\"");
    let told = load(SERVER, &[&broken]).expect_err("a mistake");
    let expected: Vec<_> = (0..2)
        .map(|nth| format!("campaigns/0.toml:{}: campaign[{nth}].max_bid_cpm: is zero; write an amount above zero, like \"12.50\"", line(&broken, nth)))
        .collect();
    assert_eq!(told.lines().collect::<Vec<_>>(), expected);
    let told = load(SERVER, &[&several(&["a".to_owned(), "A".to_owned()])]).expect_err("twice");
    assert!(told.contains(": id: \"A\" is the id of another campaign of this file too"), "{told}");
    let told = load(SERVER, &[&several(&["Spring-hiking".to_owned()]), GOOD]).expect_err("twice");
    assert!(
        told.starts_with("campaigns/1.toml:2: id: \"spring-hiking\" is the id of campaigns/0.toml too"),
        "{told}"
    );
    let told = load(SERVER, &[&format!("pacing = \"even\"\n{file}")]).expect_err("both");
    assert!(
        told.starts_with("campaigns/0.toml:1: pacing: unknown key; the keys here are campaign"),
        "{told}"
    );
}

#[test]
fn very_many_campaigns_load_and_are_not_all_explained() {
    let files: Vec<String> = (0..4)
        .map(|file| several(&(0..500).map(|number| format!("c-{file}-{number}")).collect::<Vec<_>>()))
        .collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let loaded = load(SERVER, &files).unwrap();
    assert_eq!(loaded.campaigns.len(), 2000);
    let text = explain::explain(&loaded);
    assert!(text.contains("c-0-199 ") && !text.contains("c-0-200 ") && text.ends_with("  and 1800 more\n"));
}
