//! A campaign's `[[creatives]]`: what each of the four formats is made of.

use haggle_domain::{Ad, Codes, Creative, Format, NativeAd, NativeImage, Tag, Verification};

use super::address::https_url;
use super::document::{Node, Table};
use super::stream;
use super::words::{identifier, label, media_type};

/// More than these are a slip.
const MOST_CREATIVES: usize = 64;
const MOST_IMAGES: usize = 16;

/// The formats by name; the first is what a creative is that says nothing.
pub(super) const FORMATS: [(&str, Format); 4] = [
    ("banner", Format::Banner),
    ("video", Format::Video),
    ("audio", Format::Audio),
    ("native", Format::Native),
];

/// Keys that only some formats have.
const KEYS: [(&str, &[Format]); 9] = [
    ("width", &[Format::Banner]),
    ("height", &[Format::Banner]),
    ("image", &[Format::Banner]),
    ("duration", &[Format::Video, Format::Audio]),
    ("skip_after", &[Format::Video, Format::Audio]),
    ("files", &[Format::Video, Format::Audio]),
    ("wrapper", &[Format::Video, Format::Audio]),
    ("images", &[Format::Native]),
    ("data", &[Format::Native]),
];

/// OpenRTB Native 1.2, list of image asset types, for those with names.
const IMAGE_KINDS: [(&str, u16); 2] = [("icon", 1), ("main", 3)];

/// OpenRTB Native 1.2, list of data asset types, from 1 up.
const DATA_KINDS: [&str; 12] = [
    "sponsored",
    "description",
    "rating",
    "likes",
    "downloads",
    "price",
    "sale_price",
    "phone",
    "address",
    "description2",
    "display_url",
    "call_to_action",
];

/// The word for a format in the configuration.
pub(super) fn format_name(format: Format) -> &'static str {
    FORMATS.iter().find(|(_, known)| *known == format).map_or("", |(name, _)| name)
}

pub(super) fn read_all(node: &Node<'_>) -> Option<Vec<Creative>> {
    let list = node.list()?;
    if list.is_empty() || list.len() > MOST_CREATIVES {
        node.fail(format!("has {} creatives, must have 1 to {MOST_CREATIVES}", list.len()));
        return None;
    }
    let mut seen: Vec<Tag> = Vec::new();
    let read: Vec<_> = list.iter().map(|node| read(node.table()?, &mut seen)).collect();
    read.into_iter().collect()
}

fn read(mut table: Table<'_>, seen: &mut Vec<Tag>) -> Option<Creative> {
    let id_node = table.need("id", "\"boots-300x250-a\"");
    let id = id_node.as_ref().and_then(|node| node.read(identifier));
    let format = table.get("format").map_or(Some(Format::Banner), |node| node.choice(&FORMATS));
    if let Some(format) = format {
        refuse_other_keys(&mut table, format);
    }
    let ad = match format {
        Some(Format::Banner) => banner(&mut table),
        Some(Format::Video) => stream::read(&mut table, Format::Video).map(Ad::Video),
        Some(Format::Audio) => stream::read(&mut table, Format::Audio).map(Ad::Audio),
        Some(Format::Native) => native(&mut table).map(Ad::Native),
        None => {
            // Which keys are right is not known; none shall be called unknown for it.
            KEYS.iter().for_each(|(key, _)| drop(table.get(key)));
            None
        }
    };
    let landing =
        table.need("landing", "\"https://shop.example/boots\"").and_then(|node| node.read(https_url));
    let title = table.need("title", "\"Boots for spring trails\"").and_then(|node| node.read(label));
    let attributes = table.get("attributes").map_or(Some(Codes::NONE), |node| attributes(&node));
    let verification = match table.get("verification") {
        Some(node) => verification(&node).map(Some),
        None => Some(None),
    };
    table.finish();
    let id = id?;
    let tag = Tag::of(&id);
    if seen.contains(&tag) {
        id_node?
            .fail(format!("{id:?} is another creative's id too (letters' case is ignored); choose another"));
        return None;
    }
    seen.push(tag);
    Some(Creative {
        id,
        tag,
        landing: landing?,
        title: title?,
        attributes: attributes?,
        verification: verification?,
        ad: ad?,
    })
}

/// Reports keys of other formats as what they are.
fn refuse_other_keys(table: &mut Table<'_>, format: Format) {
    for (key, formats) in KEYS {
        if formats.contains(&format) {
            continue;
        }
        if let Some(node) = table.get_unlisted(key) {
            let of: Vec<_> = formats.iter().map(|format| format!("{:?}", format_name(*format))).collect();
            node.fail(format!(
                "belongs to format = {}, and this creative's is {:?}; remove it or change the format",
                of.join(" or "),
                format_name(format)
            ));
        }
    }
}

fn banner(table: &mut Table<'_>) -> Option<Ad> {
    let size = stream::size(table, ("300", "250"));
    let image =
        table.need("image", "\"https://cdn.shop.example/boots.jpg\"").and_then(|node| node.read(https_url));
    Some(Ad::Banner { size: size?, image: image? })
}

/// AdCOM 1.0, list of creative attributes.
fn attributes(node: &Node<'_>) -> Option<Codes> {
    let read: Vec<_> = node.list()?.iter().map(|node| node.integer(1..=63)).collect();
    read.into_iter().collect()
}

fn verification(node: &Node<'_>) -> Option<Verification> {
    let mut table = node.table()?;
    let vendor = table.need("vendor", "\"measure.example-omid\"").and_then(|node| node.read(label));
    let script =
        table.need("script", "\"https://measure.example/omid.js\"").and_then(|node| node.read(https_url));
    let parameters = table.get("parameters").map_or(Some(String::new()), |node| node.read(parameters));
    table.finish();
    Some(Verification { vendor: vendor?, script: script?, parameters: parameters? })
}

/// Whatever a vendor's script wants to be told.
fn parameters(text: &str) -> Result<String, String> {
    if text.len() > 2048 || text.chars().any(char::is_control) {
        Err("is longer than 2048 bytes or holds control characters; shorten it".to_owned())
    } else {
        Ok(text.to_owned())
    }
}

fn native(table: &mut Table<'_>) -> Option<NativeAd> {
    let images = table.get("images").map_or(Some(Vec::new()), |node| images(&node));
    let data = table.get("data").map_or(Some(Vec::new()), |node| data(&node));
    Some(NativeAd { images: images?, data: data? })
}

fn images(node: &Node<'_>) -> Option<Vec<NativeImage>> {
    let list = node.list()?;
    if list.len() > MOST_IMAGES {
        node.fail(format!("has {} images, must have at most {MOST_IMAGES}", list.len()));
        return None;
    }
    let read: Vec<_> = list.iter().map(image).collect();
    let images: Vec<_> = read.into_iter().collect::<Option<_>>()?;
    for (at, image) in images.iter().enumerate() {
        if images.iter().take(at).any(|known| known.kind == image.kind && known.size == image.size) {
            list.get(at)?.fail("has another image's kind and size; keep one of them, or correct the sizes");
            return None;
        }
    }
    Some(images)
}

fn image(node: &Node<'_>) -> Option<NativeImage> {
    let mut table = node.table()?;
    let kind = table.need("kind", "\"main\"").and_then(|node| image_kind(&node));
    let url =
        table.need("url", "\"https://cdn.shop.example/boots.jpg\"").and_then(|node| node.read(https_url));
    let mime = table
        .need("type", "\"image/jpeg\"")
        .and_then(|node| node.read(|text| media_type(text, &["image/"], "image/jpeg")));
    let size = stream::size(&mut table, ("1200", "627"));
    table.finish();
    Some(NativeImage { kind: kind?, url: url?, mime: mime?, size: size? })
}

fn image_kind(node: &Node<'_>) -> Option<u16> {
    if node.value().as_integer().is_some() {
        return node.integer(1..=999).and_then(|number| u16::try_from(number).ok());
    }
    node.choice(&IMAGE_KINDS)
}

fn data(node: &Node<'_>) -> Option<Vec<(u16, String)>> {
    let mut table = node.table()?;
    let mut texts = Vec::new();
    let mut all_read = true;
    for (kind, key) in (1..).zip(DATA_KINDS) {
        if let Some(node) = table.get(key) {
            match node.read(label) {
                Some(text) => texts.push((kind, text)),
                None => all_read = false,
            }
        }
    }
    table.finish();
    all_read.then_some(texts)
}
