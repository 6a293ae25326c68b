//! Tolerant objects and lists of objects, read in place.
//!
//! Every value is read *into* a place that already says "not said"; a wrong type leaves it so.

use super::fault::{Fault, Flaw};
use super::json::Json;

/// A value that can be read into a place.
pub(super) trait Member<'a> {
    /// Reads the next value.
    fn read(&mut self, json: &mut Json<'a>) -> Result<(), Fault>;
}

/// An object whose members are read by name.
pub(super) trait Object<'a> {
    /// Reads the value of `key`, or skips it.
    fn member(&mut self, key: &str, json: &mut Json<'a>, seen: &mut Seen) -> Result<(), Fault>;
}

/// Which of an object's members have come, one bit each.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen(u64);

impl Seen {
    /// Marks a member.
    pub(super) fn once(&mut self, bit: u64, json: &Json<'_>) -> Result<(), Fault> {
        if self.0 & bit != 0 {
            return Err(json.fault(Flaw::Duplicate));
        }
        self.0 |= bit;
        Ok(())
    }
}

/// Defines an object: its members' names in JSON (as bytes, which are compared by a tree rather than one by one), and
/// where each is read to.
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
            fn member(
                &mut self,
                key: &str,
                json: &mut $crate::request::json::Json<$life>,
                seen: &mut $crate::request::object::Seen,
            ) -> Result<(), $crate::request::fault::Fault> {
                #[allow(non_camel_case_types, reason = "named as the fields are")]
                enum Place {
                    $($field,)*
                }
                match key.as_bytes() {
                    $($key => {
                        seen.once(1 << Place::$field as u32, json)?;
                        $crate::request::object::Member::read(&mut self.$field, json)
                    })*
                    _ => json.skip(),
                }
            }
        }
    };
}
pub(super) use object;

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
pub(super) fn read_object<'a, T: Object<'a>>(object: &mut T, json: &mut Json<'a>) -> Result<Shape, Fault> {
    let shape = match json.peek() {
        b'{' => Shape::Object,
        b'n' => Shape::Null,
        _ => Shape::Other,
    };
    if shape != Shape::Object {
        if shape == Shape::Other {
            json.misplace();
        }
        json.skip()?;
        return Ok(shape);
    }
    json.enter()?;
    let (mut first, mut seen) = (true, Seen::default());
    while let Some(key) = json.next_member(&mut first)? {
        object.member(&key, json, &mut seen).map_err(|fault| fault.within(&key))?;
    }
    Ok(shape)
}

impl<'a, T: Object<'a>> Member<'a> for T {
    fn read(&mut self, json: &mut Json<'a>) -> Result<(), Fault> {
        read_object(self, json).map(drop)
    }
}

/// An object that most requests lack.
impl<'a, T: Object<'a> + Default> Member<'a> for Option<Box<T>> {
    fn read(&mut self, json: &mut Json<'a>) -> Result<(), Fault> {
        *self = None;
        if json.peek() == b'{' {
            return self.insert(Box::default()).read(json);
        }
        read_object(&mut Bag, json).map(drop)
    }
}

/// An object of which only that it is one matters: exchanges' extensions.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bag;

impl<'a> Object<'a> for Bag {
    fn member(&mut self, _: &str, json: &mut Json<'a>, _: &mut Seen) -> Result<(), Fault> {
        json.skip()
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

impl<'a, T: Object<'a>> Member<'a> for Strict<T> {
    fn read(&mut self, json: &mut Json<'a>) -> Result<(), Fault> {
        self.malformed = read_object(&mut self.object, json)? == Shape::Other;
        Ok(())
    }
}

/// An object of an imp whose being of a wrong type spoils it: one of the formats that it is offered in, its deals, its
/// quantity.
#[derive(Clone, Debug, Default)]
pub enum Offer<T> {
    /// Not offered.
    #[default]
    Absent,
    /// Something stands there, but no object.
    Malformed,
    /// Offered so.
    As(Box<T>),
}

impl<T> Offer<T> {
    /// What is offered, where it can be read.
    pub fn get(&self) -> Option<&T> {
        match self {
            Self::As(object) => Some(object),
            Self::Absent | Self::Malformed => None,
        }
    }

    /// Whether something stands there that cannot be read.
    pub const fn is_malformed(&self) -> bool {
        matches!(self, Self::Malformed)
    }
}

impl<'a, T: Object<'a> + Default> Member<'a> for Offer<T> {
    fn read(&mut self, json: &mut Json<'a>) -> Result<(), Fault> {
        *self = match json.peek() {
            b'{' => {
                let mut object = Box::<T>::default();
                object.read(json)?;
                Self::As(object)
            }
            other => {
                json.skip()?;
                if other == b'n' { Self::Absent } else { Self::Malformed }
            }
        };
        Ok(())
    }
}

/// Reads each element of a list by `each`, if it is one.
pub(super) fn read_list<'a>(
    json: &mut Json<'a>,
    mut each: impl FnMut(&mut Json<'a>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    if json.peek() != b'[' {
        return json.skip();
    }
    json.enter()?;
    let (mut first, mut index) = (true, 0);
    while json.next_element(&mut first)? {
        each(json).map_err(|fault| fault.at_element(index))?;
        index += 1;
    }
    Ok(())
}

/// A list of objects; elements of a wrong type are left out.
impl<'a, T: Object<'a> + Default> Member<'a> for Vec<T> {
    fn read(&mut self, json: &mut Json<'a>) -> Result<(), Fault> {
        read_list(json, |json| {
            if json.peek() != b'{' {
                return json.skip();
            }
            let mut element = T::default();
            element.read(json)?;
            self.push(element);
            Ok(())
        })
    }
}

/// A list of objects whose absence matters.
impl<'a, T: Object<'a> + Default> Member<'a> for Option<Vec<T>> {
    fn read(&mut self, json: &mut Json<'a>) -> Result<(), Fault> {
        *self = None;
        if json.peek() == b'[' { self.insert(Vec::new()).read(json) } else { json.skip() }
    }
}

/// A list of objects that keeps its length: an element of a wrong type is an object that says nothing.
#[derive(Clone, Debug, Default)]
pub struct EveryOne<T>(pub(super) Vec<T>);

impl<T> std::ops::Deref for EveryOne<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<'a, T: Object<'a> + Default> Member<'a> for EveryOne<T> {
    fn read(&mut self, json: &mut Json<'a>) -> Result<(), Fault> {
        read_list(json, |json| {
            let mut element = T::default();
            if json.peek() == b'{' {
                element.read(json)?;
            } else {
                json.skip()?;
            }
            self.0.push(element);
            Ok(())
        })
    }
}
