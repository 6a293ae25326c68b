//! What a user sees of creatives: each format's keys, and what each mistake in them is told as.

use haggle_domain::{Ad, Format, Media, Size};

use super::{GOOD, SERVER, load};

/// Creatives of the other three formats, to stand after the good campaign's.
pub const FORMATS: &str = r#"
[[creatives]]
id = "film-15"
format = "video"
duration = "15s"
skip_after = "5s"
files = [
  { url = "https://cdn.shop.example/film.mp4", type = "video/mp4", width = 640, height = 360, bitrate = 1200 },
  { url = "https://cdn.shop.example/film.m3u8", type = "application/x-mpegURL", width = 1920, height = 1080 },
]
landing = "https://shop.example/film"
title = "The film"
attributes = [15, 7]
verification = { vendor = "shop.example-omid", script = "https://cdn.shop.example/omid.js", parameters = "a=1" }
[[creatives]]
id = "film-partner"
format = "video"
duration = "20s"
wrapper = { tag = "https://vast.example/1", types = ["video/mp4", "video/webm"], width = 1280, height = 720 }
landing = "https://shop.example/film"
title = "The partner's film"
[[creatives]]
id = "radio-30"
format = "audio"
duration = "30s"
files = [{ url = "https://cdn.shop.example/radio.mp3", type = "audio/mpeg" }]
landing = "https://shop.example/radio"
title = "The spot"
[[creatives]]
id = "native-a"
format = "native"
images = [
  { kind = "icon", url = "https://cdn.shop.example/i.png", type = "image/png", width = 80, height = 80 },
  { kind = "main", url = "https://cdn.shop.example/m.jpg", type = "image/jpeg", width = 1200, height = 627 },
  { kind = 501, url = "https://cdn.shop.example/x.jpg", type = "image/jpeg", width = 600, height = 600 },
]
data = { sponsored = "Shop", price = "9.00 USD", call_to_action = "Shop now" }
landing = "https://shop.example/native"
title = "Native boots"
"#;

/// What the creatives of all formats with one change are told, without the file's name.
fn creative_error(from: &str, to: &str) -> String {
    assert!(FORMATS.contains(from), "{from:?} is in the example");
    let told = load(SERVER, &[&format!("{GOOD}{}", FORMATS.replacen(from, to, 1))]).expect_err("a mistake");
    told.lines()
        .map(|line| line.splitn(3, ':').nth(2).unwrap().trim_start().to_owned() + "\n")
        .collect::<String>()
        .trim_end()
        .to_owned()
}

#[test]
fn creatives_of_every_format_load() {
    let loaded = load(SERVER, &[&format!("{GOOD}{FORMATS}")]).unwrap();
    let [banner, film, partner, radio, native] = &loaded.campaigns[0].creatives[..] else {
        panic!("five creatives")
    };
    assert_eq!(banner.banner_size(), Size { width: 300, height: 250 });
    assert!(banner.attributes.is_empty() && banner.verification.is_none());
    assert_eq!(film.attributes.iter().collect::<Vec<_>>(), [7, 15]);
    let verification = film.verification.as_ref().unwrap();
    assert_eq!(
        (verification.vendor.as_str(), verification.parameters.as_str()),
        ("shop.example-omid", "a=1")
    );
    let stream = film.stream().unwrap();
    assert_eq!((film.format(), stream.duration, stream.skip_after), (Format::Video, 15, Some(5)));
    let Media::Files(files) = &stream.media else { panic!("files") };
    assert_eq!((files[0].bitrate, files[1].bitrate), (1200, 0));
    assert_eq!(files[1].mime, "application/x-mpegURL");
    assert_eq!(files[0].size, Size { width: 640, height: 360 });
    let Media::Wrapper { mimes, size, .. } = &partner.stream().unwrap().media else { panic!("a wrapper") };
    assert_eq!((mimes.len(), *size), (2, Size { width: 1280, height: 720 }));
    let stream = radio.stream().unwrap();
    let Media::Files(files) = &stream.media else { panic!("files") };
    assert_eq!((radio.format(), stream.skip_after, files[0].size), (Format::Audio, None, Size::default()));
    let Ad::Native(native) = &native.ad else { panic!("native") };
    assert_eq!(native.images.iter().map(|image| image.kind).collect::<Vec<_>>(), [1, 3, 501]);
    let data: Vec<_> = native.data.iter().map(|(kind, text)| (*kind, text.as_str())).collect();
    assert_eq!(data, [(1, "Shop"), (6, "9.00 USD"), (12, "Shop now")]);
}

#[test]
fn each_mistake_in_a_creative_is_told_in_full() {
    let files = "[{ url = \"https://cdn.shop.example/radio.mp3\", type = \"audio/mpeg\" }]";
    for (from, to, told) in [
        (
            "format = \"audio\"",
            "format = \"radio\"",
            "creatives[3].format: \"radio\" is none of \"banner\", \"video\", \"audio\", \"native\"",
        ),
        (
            "skip_after = \"5s\"",
            "image = \"https://cdn.shop.example/a.jpg\"",
            "creatives[1].image: belongs to format = \"banner\", and this creative's is \"video\"; remove it or \
             change the format",
        ),
        (
            "format = \"native\"",
            "format = \"native\"\nduration = \"5s\"",
            "creatives[4].duration: belongs to format = \"video\" or \"audio\", and this creative's is \"native\"; \
             remove it or change the format",
        ),
        (
            "type = \"audio/mpeg\" }",
            "type = \"audio/mpeg\", width = 1 }",
            "creatives[3].files[0].width: belongs to format = \"video\", and this creative's is \"audio\"; sound has \
             no size, remove it",
        ),
        ("duration = \"30s\"", "", "creatives[3].duration: is missing; add duration = \"15s\""),
        (
            "duration = \"30s\"",
            "duration = \"2h\"",
            "creatives[3].duration: \"2h\" is not a whole number of seconds from 1s to 3600s",
        ),
        (
            "duration = \"30s\"",
            "duration = \"1500ms\"",
            "creatives[3].duration: \"1500ms\" is not a whole number of seconds from 1s to 3600s",
        ),
        (
            "skip_after = \"5s\"",
            "skip_after = \"15s\"",
            "creatives[1].skip_after: is not before the end; make it shorter than duration, or leave it out",
        ),
        (
            "skip_after = \"5s\"",
            "skip_after = \"0s\"",
            "creatives[1].skip_after: \"0s\" is not a whole number of seconds from 1s to 3600s",
        ),
        (
            "wrapper = { tag = \"https://vast.example/1\", types = [\"video/mp4\", \"video/webm\"], width = 1280, \
             height = 720 }",
            "",
            "creatives[2]: has neither files nor wrapper; add files = [{ url = \"https://…\", type = \"video/mp4\", \
             width = 640, height = 360 }]",
        ),
        (
            &format!("files = {files}"),
            "",
            "creatives[3]: has neither files nor wrapper; add files = [{ url = \"https://…\", type = \"audio/mpeg\" }]",
        ),
        (
            &format!("files = {files}"),
            &format!(
                "files = {files}\nwrapper = {{ tag = \"https://a.example/1\", types = [\"audio/mpeg\"] }}"
            ),
            "creatives[3].wrapper: stands beside files; keep one of the two",
        ),
        (files, "[]", "creatives[3].files: has 0 files, must have 1 to 16"),
        (
            "type = \"audio/mpeg\"",
            "type = \"video/mp4\"",
            "creatives[3].files[0].type: \"video/mp4\" is not a media type that fits here; write it like \"audio/mpeg\"",
        ),
        (
            "type = \"video/mp4\"",
            "type = \"mp4\"",
            "creatives[1].files[0].type: \"mp4\" is not a media type that fits here; write it like \"video/mp4\"",
        ),
        (
            ", bitrate = 1200",
            ", bitrate = 0",
            "creatives[1].files[0].bitrate: is 0, must be a whole number from 1 to 1000000",
        ),
        (", height = 360, bitrate = 1200", "", "creatives[1].files[0].height: is missing; add height = 360"),
        (
            "https://vast.example/1",
            "http://vast.example/1",
            "creatives[2].wrapper.tag: \"http://vast.example/1\" does not begin with https://; ads are shown on secure \
             pages",
        ),
        (
            "[\"video/mp4\", \"video/webm\"]",
            "[]",
            "creatives[2].wrapper.types: has 0 types, must have 1 to 16",
        ),
        ("[15, 7]", "[64]", "creatives[1].attributes[0]: is 64, must be a whole number from 1 to 63"),
        (
            "vendor = \"shop.example-omid\", ",
            "",
            "creatives[1].verification.vendor: is missing; add vendor = \"measure.example-omid\"",
        ),
        (
            "parameters = \"a=1\"",
            "parameters = \"a\\n\"",
            "creatives[1].verification.parameters: is longer than 2048 bytes or holds control characters; shorten it",
        ),
        (
            "kind = \"icon\"",
            "kind = \"logo\"",
            "creatives[4].images[0].kind: \"logo\" is none of \"icon\", \"main\"",
        ),
        ("kind = 501", "kind = 0", "creatives[4].images[2].kind: is 0, must be a whole number from 1 to 999"),
        (
            "kind = 501, url = \"https://cdn.shop.example/x.jpg\", type = \"image/jpeg\", width = 600, height = 600",
            "kind = 3, url = \"https://cdn.shop.example/x.jpg\", type = \"image/jpeg\", width = 1200, height = 627",
            "creatives[4].images[2]: has another image's kind and size; keep one of them, or correct the sizes",
        ),
        (
            "type = \"image/png\"",
            "type = \"video/mp4\"",
            "creatives[4].images[0].type: \"video/mp4\" is not a media type that fits here; write it like \"image/jpeg\"",
        ),
        ("sponsored = ", "sponsered = ", "creatives[4].data.sponsered: unknown key; did you mean sponsored?"),
        (
            "sponsored = \"Shop\"",
            "sponsored = \"\"",
            "creatives[4].data.sponsored: is empty; write a few words",
        ),
    ] {
        assert_eq!(creative_error(from, to), told, "{from} → {to}");
    }
    let file = "{ url = \"https://a.example/a.mp3\", type = \"audio/mpeg\" },";
    let told = creative_error(files, &format!("[{}]", file.repeat(17)));
    assert_eq!(told, "creatives[3].files: has 17 files, must have 1 to 16");
    let image =
        "{ kind = 1, url = \"https://a.example/a.png\", type = \"image/png\", width = 1, height = 1 },";
    let told = creative_error("images = [", &format!("images = [{}", image.repeat(14)));
    assert_eq!(told, "creatives[4].images: has 17 images, must have at most 16");
}
