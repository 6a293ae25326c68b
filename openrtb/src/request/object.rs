//! Tolerant objects and lists of objects, read in place.
//!
//! Every value is read *into* a place that already says "not said"; a wrong type leaves it so. Objects are not derived
//! because a derived reader refuses a document in which a member comes twice; here the two are merged.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A value that can be read into a place.
pub(super) trait Member<'de> {
    /// Reads the next value; fails only where the JSON itself is broken.
    fn read<D: Deserializer<'de>>(&mut self, deserializer: D) -> Result<(), D::Error>;
}

/// An object whose members are read by name.
pub(super) trait Object<'de> {
    /// Reads the value of `key`, or skips it.
    fn member<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error>;
}

/// Defines an object: its members' names in JSON, and where each is read to.
macro_rules! object {
    ($(#[$doc:meta])* $vis:vis $name:ident<$life:lifetime> { $($members:tt)* }) => {
        $crate::request::object::object!(@ $life, $name<$life>, ($(#[$doc])* $vis struct $name<$life>), $($members)*);
    };
    ($(#[$doc:meta])* $vis:vis $name:ident { $($members:tt)* }) => {
        $crate::request::object::object!(@ 'de, $name, ($(#[$doc])* $vis struct $name), $($members)*);
    };
    (@ $life:lifetime, $self:ty, ($($head:tt)*),
        $($key:literal => $(#[$doc:meta])* $vis:vis $field:ident: $type:ty,)*
        $(and $(#[$rest_doc:meta])* $rest_vis:vis $rest:ident: $rest_type:ty,)*
    ) => {
        #[derive(Clone, Debug, Default)]
        $($head)* {
            $($(#[$doc])* $vis $field: $type,)*
            $($(#[$rest_doc])* $rest_vis $rest: $rest_type,)*
        }
        impl<$life> $crate::request::object::Object<$life> for $self {
            fn member<A: serde::de::MapAccess<$life>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
                match key {
                    $($key => map.next_value_seed($crate::request::object::Place(&mut self.$field)),)*
                    _ => map.next_value::<serde::de::IgnoredAny>().map(drop),
                }
            }
        }
    };
}
pub(super) use object;

/// Where the next value goes.
pub(super) struct Place<'p, T>(pub(super) &'p mut T);

impl<'de, T: Member<'de>> DeserializeSeed<'de> for Place<'_, T> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.0.read(deserializer)
    }
}

/// What stood where an object was looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// An object, and it has been read.
    Object,
    /// `null`.
    Null,
    /// Something else, and it has been skipped.
    Other,
}

/// Reads an object's members into `object`, if it is one.
pub(super) fn read_object<'de, T: Object<'de>, D: Deserializer<'de>>(
    object: &mut T,
    deserializer: D,
) -> Result<Shape, D::Error> {
    deserializer.deserialize_any(ObjectVisitor(object))
}

struct ObjectVisitor<'p, T>(&'p mut T);

/// What a visitor answers to the types it does not look for.
macro_rules! other_types {
    ($null:expr, $other:expr; $($visit:ident: $type:ty),*) => {
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok($null)
        }
        $(fn $visit<E>(self, _: $type) -> Result<Self::Value, E> {
            Ok($other)
        })*
    };
}

pub(super) use other_types;

impl<'de, T: Object<'de>> Visitor<'de> for ObjectVisitor<'_, T> {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
        while let Some(Key(key)) = map.next_key()? {
            self.0.member(&key, &mut map)?;
        }
        Ok(Shape::Object)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Shape, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Shape::Other)
    }
    other_types!(Shape::Null, Shape::Other;
        visit_bool: bool, visit_u64: u64, visit_i64: i64, visit_f64: f64, visit_str: &str);
}

/// A member's name; owned only if it is written with escapes.
pub(super) struct Key<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a member's name")
            }
            fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(key)))
            }
            fn visit_str<E>(self, key: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(key.to_owned())))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

impl<'de, T: Object<'de>> Member<'de> for T {
    fn read<D: Deserializer<'de>>(&mut self, deserializer: D) -> Result<(), D::Error> {
        read_object(self, deserializer).map(drop)
    }
}

impl<'de, T: Object<'de> + Default> Member<'de> for Option<T> {
    fn read<D: Deserializer<'de>>(&mut self, deserializer: D) -> Result<(), D::Error> {
        let mut object = T::default();
        let shape = read_object(&mut object, deserializer)?;
        *self = (shape == Shape::Object).then_some(object);
        Ok(())
    }
}

/// An object whose being of a wrong type matters.
#[derive(Clone, Debug, Default)]
pub(super) struct Strict<T> {
    /// What was read.
    pub(super) object: T,
    /// Something that is neither an object nor `null` stood there.
    pub(super) malformed: bool,
}

impl<'de, T: Object<'de>> Member<'de> for Strict<T> {
    fn read<D: Deserializer<'de>>(&mut self, deserializer: D) -> Result<(), D::Error> {
        self.malformed |= read_object(&mut self.object, deserializer)? == Shape::Other;
        Ok(())
    }
}

/// A list of objects keeps its length: an element of a wrong type is an object that says nothing.
impl<'de, T: Object<'de> + Default> Member<'de> for Vec<T> {
    fn read<D: Deserializer<'de>>(&mut self, deserializer: D) -> Result<(), D::Error> {
        struct ListVisitor<'p, T>(&'p mut Vec<T>);
        impl<'de, T: Object<'de> + Default> Visitor<'de> for ListVisitor<'_, T> {
            type Value = ();
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
                self.0.clear();
                loop {
                    let mut element = T::default();
                    if list.next_element_seed(Place(&mut element))?.is_none() {
                        return Ok(());
                    }
                    self.0.push(element);
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
                while map.next_entry::<Key<'_>, IgnoredAny>()?.is_some() {}
                Ok(())
            }
            other_types!((), ();
                visit_bool: bool, visit_u64: u64, visit_i64: i64, visit_f64: f64, visit_str: &str);
        }
        deserializer.deserialize_any(ListVisitor(self))
    }
}
