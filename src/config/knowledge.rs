//! What the operator knows beforehand, in files of its own: the `[[list]]` and `[[taxonomy]]` tables.

use std::path::{Path, PathBuf};

use haggle_domain::ListKey;

use super::document::{Node, Table};
use super::words::identifier;

/// A list of sites and apps, or of users, that targeting can name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// Its name in predicates.
    pub name: String,
    /// The stable hash of its name.
    pub key: ListKey,
    /// What its entries are.
    pub kind: ListKind,
    /// Its file, one entry a line.
    pub file: PathBuf,
}

/// What a list's entries are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListKind {
    /// Sites' domains, which stand for their subdomains too, and apps' bundles.
    Inventory,
    /// Users' ids, as the exchanges write them.
    Users,
}

impl ListKind {
    /// As the configuration writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inventory => "inventory",
            Self::Users => "users",
        }
    }
}

/// A content taxonomy whose categories' parents a file tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taxonomy {
    /// Its number in AdCOM 1.0's list of category taxonomies, 2 to 9; 1 tells parents by its codes.
    pub id: u8,
    /// Its file, tab-separated values.
    pub file: PathBuf,
}

/// `folder` is what paths are relative to; none for the built-in file.
pub(super) fn lists(root: &mut Table<'_>, folder: Option<&Path>) -> Vec<List> {
    let mut lists: Vec<List> = Vec::new();
    for node in root.get("list").and_then(|node| node.list()).unwrap_or_default() {
        let Some(mut table) = node.table() else { continue };
        let name_node = table.need("name", "\"premium-sites\"");
        let name = name_node.as_ref().and_then(|node| node.read(identifier));
        let kinds = [("inventory", ListKind::Inventory), ("users", ListKind::Users)];
        let kind = table.need("kind", "\"inventory\"").and_then(|node| node.choice(&kinds));
        let file = table.need("file", "\"premium.txt\"").and_then(|node| path(&node, folder));
        table.finish();
        let (Some(name), Some(kind), Some(file)) = (name, kind, file) else { continue };
        let key = ListKey::of(&name);
        if lists.iter().any(|known| known.key == key) {
            if let Some(node) = name_node {
                node.fail(format!("{name:?} is another list's name too (letters' case is ignored)"));
            }
            continue;
        }
        lists.push(List { name, key, kind, file });
    }
    lists
}

/// `folder` is what paths are relative to; none for the built-in file.
pub(super) fn taxonomies(root: &mut Table<'_>, folder: Option<&Path>) -> Vec<Taxonomy> {
    let mut taxonomies: Vec<Taxonomy> = Vec::new();
    for node in root.get("taxonomy").and_then(|node| node.list()).unwrap_or_default() {
        let Some(mut table) = node.table() else { continue };
        let id_node = table.need("id", "7");
        let id = id_node.as_ref().and_then(|node| node.integer(2..=9)).and_then(|id| u8::try_from(id).ok());
        let file = table.need("file", "\"content-taxonomy-3.0.tsv\"").and_then(|node| path(&node, folder));
        table.finish();
        let (Some(id), Some(file)) = (id, file) else { continue };
        if taxonomies.iter().any(|known| known.id == id) {
            if let Some(node) = id_node {
                node.fail(format!("{id} is another taxonomy's id too; one file tells all of it"));
            }
            continue;
        }
        taxonomies.push(Taxonomy { id, file });
    }
    taxonomies
}

fn path(node: &Node<'_>, folder: Option<&Path>) -> Option<PathBuf> {
    node.read(|text| match text {
        "" => Err("is empty; name the file".to_owned()),
        text => Ok(folder.unwrap_or(Path::new("")).join(text)),
    })
}
