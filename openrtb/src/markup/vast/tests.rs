//! Each version against the order of elements in its schema, and exact documents.

use super::*;
use crate::markup::test_support::{read, verification};
use haggle_domain::{MediaFile, Tag};
use proptest::prelude::*;
use roxmltree::{Document, Node};

const VERSIONS: [VastVersion; 5] =
    [VastVersion::V2, VastVersion::V3, VastVersion::V40, VastVersion::V41, VastVersion::V42];

fn player() -> StreamSlot {
    StreamSlot {
        mimes: ["video/mp4", "audio/mp3", "application/x-mpegURL"].map(Tag::of).into_iter().collect(),
        longest: u32::MAX,
        most_bitrate: u32::MAX,
        size: Size { width: 640, height: 480 },
        ..StreamSlot::default()
    }
}

fn file(url: &str, mime: &str, size: Size, bitrate: u32) -> MediaFile {
    MediaFile { url: url.to_owned(), mime: mime.to_owned(), size, bitrate }
}

fn film() -> Stream {
    let size = Size { width: 640, height: 360 };
    Stream {
        duration: 3_661,
        skip_after: Some(5),
        media: Media::Files(vec![
            file("https://cdn.test/a.mp4?a=1&b=2", "video/mp4", size, 800),
            file("https://cdn.test/large.mp4", "video/mp4", Size { width: 1280, height: 720 }, 0),
            file("https://cdn.test/a.m3u8", "application/x-mpegURL", size, 0),
        ]),
    }
}

fn sound() -> Stream {
    let media = Media::Files(vec![file("https://cdn.test/a.mp3", "audio/mpeg", Size::default(), 128)]);
    Stream { duration: 30, skip_after: None, media }
}

fn wrapped() -> Stream {
    let media = Media::Wrapper {
        tag: "https://vast.test/?a=1&b=2".to_owned(),
        mimes: vec!["video/mp4".to_owned()],
        size: Size { width: 640, height: 360 },
    };
    Stream { duration: 15, skip_after: None, media }
}

fn markup<'a>(slot: &'a StreamSlot, stream: &'a Stream) -> VastMarkup<'a> {
    VastMarkup {
        version: VastVersion::V42,
        slot,
        stream,
        audio: false,
        ad_id: "bid-1",
        creative_id: "film-1",
        title: "Tom's \"big\" <sale>",
        advertiser: "shop.test",
        click_url: "https://click.test/?a=1&b=2",
        impression_url: "https://track.test/i?p=${AUCTION_PRICE}",
        error_url: "https://track.test/e?code=[ERRORCODE]",
        verification: None,
    }
}

fn child<'a, 'x>(node: Node<'a, 'x>, name: &str) -> Node<'a, 'x> {
    let mut found = node.children().filter(|child| child.tag_name().name() == name);
    let child = found.next().unwrap_or_else(|| panic!("no {name} in {node:?}"));
    assert!(found.next().is_none(), "more than one {name}");
    child
}

fn at<'a, 'x>(node: Node<'a, 'x>, path: &str) -> Node<'a, 'x> {
    path.split('/').fold(node, child)
}

fn text(node: Node<'_, '_>, path: &str) -> String {
    at(node, path).descendants().filter(Node::is_text).filter_map(|node| node.text()).collect()
}

fn names<'a>(node: Node<'a, '_>) -> Vec<&'a str> {
    node.children().map(|child| child.tag_name().name()).collect()
}

/// What the schema of a version has in `InLine` or `Wrapper`, in its order, of what we send.
fn order(version: VastVersion, wrapper: bool) -> &'static [&'static str] {
    use VastVersion::{V2, V3, V40, V41, V42};
    match (version, wrapper) {
        (V2, false) => &["AdSystem", "AdTitle", "Error", "Impression", "Creatives", "Extensions"],
        (V3, false) => {
            &["AdSystem", "AdTitle", "Advertiser", "Error", "Impression", "Creatives", "Extensions"]
        }
        (V40, false) => {
            &["AdSystem", "Error", "Extensions", "Impression", "AdTitle", "Advertiser", "Creatives"]
        }
        (V41 | V42, false) => &[
            "AdSystem",
            "Error",
            "Impression",
            "AdServingId",
            "AdTitle",
            "AdVerifications",
            "Advertiser",
            "Creatives",
        ],
        (V2 | V3, true) => &["AdSystem", "VASTAdTagURI", "Error", "Impression", "Creatives", "Extensions"],
        (V40, true) => &["AdSystem", "Error", "Extensions", "Impression", "Creatives", "VASTAdTagURI"],
        (V41 | V42, true) => {
            &["AdSystem", "Error", "Impression", "AdVerifications", "Creatives", "VASTAdTagURI"]
        }
    }
}

#[test]
fn each_version_has_the_elements_of_its_schema_in_their_order() {
    let (slot, verification) = (player(), verification());
    for version in VERSIONS {
        for (stream, audio) in [(film(), false), (sound(), true), (wrapped(), false), (wrapped(), true)] {
            let verification = Some(&verification);
            let markup = VastMarkup { version, audio, verification, ..markup(&slot, &stream) };
            let xml = read(|out| markup.write(out));
            let document = Document::parse(&xml).unwrap();
            let root = document.root_element();
            assert_eq!(root.attribute("version"), Some(version.as_str()));
            let namespace = (version >= VastVersion::V40).then_some("http://www.iab.com/VAST");
            assert_eq!(root.tag_name().namespace(), namespace);
            let ad = child(root, "Ad");
            assert_eq!(ad.attribute("id"), Some("bid-1"));
            assert_eq!(ad.attribute("adType"), (audio && version >= VastVersion::V41).then_some("audio"));
            let wrapper = markup.is_wrapper();
            let body = child(ad, if wrapper { "Wrapper" } else { "InLine" });
            assert_eq!(names(body), order(version, wrapper), "{version:?} wrapper {wrapper}");
            assert_eq!(text(body, "Impression"), "https://track.test/i?p=${AUCTION_PRICE}");
            assert_eq!(text(body, "Error"), "https://track.test/e?code=[ERRORCODE]");
            let verifications = if version >= VastVersion::V41 {
                child(body, "AdVerifications")
            } else {
                assert_eq!(at(body, "Extensions/Extension").attribute("type"), Some("AdVerifications"));
                at(body, "Extensions/Extension/AdVerifications")
            };
            assert_eq!(child(verifications, "Verification").attribute("vendor"), Some("vendor.test-omid"));
            assert_eq!(
                text(verifications, "Verification/JavaScriptResource"),
                "https://vendor.test/omid.js?a=1&b=2"
            );
            assert_eq!(text(verifications, "Verification/VerificationParameters"), r#"{"key":"]]>"}"#);
            if wrapper {
                assert_eq!(text(body, "VASTAdTagURI"), "https://vast.test/?a=1&b=2");
                let click = "Creatives/Creative/Linear/VideoClicks/ClickTracking";
                assert_eq!(text(body, click), "https://click.test/?a=1&b=2");
            }
        }
    }
}

#[test]
fn a_linear_ad_says_how_long_it_is_which_files_it_has_and_where_a_click_leads() {
    let (slot, stream) = (player(), film());
    for version in VERSIONS {
        let xml = read(|out| VastMarkup { version, ..markup(&slot, &stream) }.write(out));
        let document = Document::parse(&xml).unwrap();
        let creative = at(document.root_element(), "Ad/InLine/Creatives/Creative");
        let linear = child(creative, "Linear");
        let skip = (version >= VastVersion::V3).then_some("00:00:05");
        assert_eq!(linear.attribute("skipoffset"), skip, "2.0 does not know it");
        assert_eq!(text(linear, "Duration"), "01:01:01");
        assert_eq!(text(linear, "VideoClicks/ClickThrough"), "https://click.test/?a=1&b=2");
        if version < VastVersion::V40 {
            assert_eq!(names(linear), ["Duration", "VideoClicks", "MediaFiles"]);
            assert_eq!(names(creative), ["Linear"]);
        } else {
            assert_eq!(names(linear), ["Duration", "MediaFiles", "VideoClicks"]);
            assert_eq!(names(creative), ["Linear", "UniversalAdId"]);
            let id = child(creative, "UniversalAdId");
            assert_eq!((id.attribute("idRegistry"), id.text()), (Some("shop.test"), Some("film-1")));
            assert_eq!(id.attribute("idValue"), (version == VastVersion::V40).then_some("film-1"));
        }
        let files: Vec<_> = child(linear, "MediaFiles")
            .children()
            .map(|file| {
                let said = ["delivery", "type", "width", "height", "bitrate"];
                (said.map(|name| file.attribute(name).unwrap_or("-")), file.text().unwrap())
            })
            .collect();
        assert_eq!(
            files,
            [
                (["progressive", "video/mp4", "640", "360", "800"], "https://cdn.test/a.mp4?a=1&b=2"),
                (["streaming", "application/x-mpegURL", "640", "360", "-"], "https://cdn.test/a.m3u8"),
            ]
        );
    }
}

#[test]
fn what_there_is_none_of_is_left_out() {
    let (slot, stream) = (player(), sound());
    let markup = VastMarkup { audio: true, error_url: "", advertiser: "", ..markup(&slot, &stream) };
    let expected = concat!(
        r#"<VAST version="4.2" xmlns="http://www.iab.com/VAST"><Ad id="bid-1" adType="audio"><InLine>"#,
        "<AdSystem>Haggle</AdSystem>",
        "<Impression><![CDATA[https://track.test/i?p=${AUCTION_PRICE}]]></Impression>",
        "<AdServingId>bid-1</AdServingId><AdTitle>Tom&#39;s &quot;big&quot; &lt;sale&gt;</AdTitle>",
        r#"<Creatives><Creative id="film-1"><Linear><Duration>00:00:30</Duration><MediaFiles>"#,
        r#"<MediaFile delivery="progressive" type="audio/mp3" width="0" height="0" bitrate="128">"#,
        "<![CDATA[https://cdn.test/a.mp3]]></MediaFile></MediaFiles><VideoClicks>",
        "<ClickThrough><![CDATA[https://click.test/?a=1&b=2]]></ClickThrough></VideoClicks></Linear>",
        r#"<UniversalAdId idRegistry="unknown">film-1</UniversalAdId></Creative></Creatives>"#,
        "</InLine></Ad></VAST>"
    );
    assert_eq!(read(|out| markup.write(out)), expected);
    assert_eq!(markup.size(), Size::default());
}

#[test]
fn a_wrapper_is_short() {
    let (slot, stream) = (player(), wrapped());
    let markup = VastMarkup { version: VastVersion::V3, error_url: "", ..markup(&slot, &stream) };
    let expected = concat!(
        r#"<VAST version="3.0"><Ad id="bid-1"><Wrapper><AdSystem>Haggle</AdSystem>"#,
        "<VASTAdTagURI><![CDATA[https://vast.test/?a=1&b=2]]></VASTAdTagURI>",
        "<Impression><![CDATA[https://track.test/i?p=${AUCTION_PRICE}]]></Impression>",
        "<Creatives><Creative><Linear><VideoClicks>",
        "<ClickTracking><![CDATA[https://click.test/?a=1&b=2]]></ClickTracking>",
        "</VideoClicks></Linear></Creative></Creatives></Wrapper></Ad></VAST>"
    );
    assert_eq!(read(|out| markup.write(out)), expected);
}

proptest! {
    #[test]
    fn any_text_reads_back(
        text in "[\\]>\\[<!&;\"'\\\\a\u{e9}\u{2028}\u{1f600}]{1,30}",
        version in prop::sample::select(&VERSIONS),
    ) {
        let (slot, mut stream) = (player(), film());
        stream.media = Media::Files(vec![file(&text, "video/mp4", Size::default(), 0)]);
        let markup = VastMarkup {
            version,
            ad_id: &text,
            creative_id: &text,
            title: &text,
            advertiser: &text,
            click_url: &text,
            impression_url: &text,
            error_url: &text,
            ..markup(&slot, &stream)
        };
        let xml = read(|out| markup.write(out));
        let document = Document::parse(&xml).unwrap();
        let body = at(document.root_element(), "Ad/InLine");
        prop_assert_eq!(at(document.root_element(), "Ad").attribute("id"), Some(&*text));
        let linear = "Creatives/Creative/Linear";
        for path in [
            "AdTitle",
            "Impression",
            "Error",
            &format!("{linear}/VideoClicks/ClickThrough"),
            &format!("{linear}/MediaFiles/MediaFile"),
        ] {
            prop_assert_eq!(self::text(body, path), &*text, "{}", path);
        }
    }
}
