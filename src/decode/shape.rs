//! JSON read without trust: a wrong type is noticed, not fatal.
//!
//! A field that is not what it should be becomes [`Field::Malformed`], so that an odd field nobody
//! needs rejects nothing and an odd field that carries the report can be rejected by name. Only
//! broken JSON is an error. Unknown fields are skipped without recursion; known ones nest at most as
//! deep as `serde_json` allows (128).

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A field that may be absent or of a wrong type.
#[derive(Clone, Default)]
pub(in crate::decode) enum Field<T> {
    #[default]
    Absent,
    Malformed,
    Given(T),
}

impl<T> Field<T> {
    pub(in crate::decode) const fn as_ref(&self) -> Option<&T> {
        match self {
            Self::Given(value) => Some(value),
            _ => None,
        }
    }

    pub(in crate::decode) const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    pub(in crate::decode) const fn is_malformed(&self) -> bool {
        matches!(self, Self::Malformed)
    }
}

impl Field<Text> {
    /// The text, empty when absent or malformed.
    pub(in crate::decode) fn text(&self) -> &str {
        self.as_ref().map_or("", |text| &text.0)
    }
}

impl<T> Field<List<T>> {
    /// The items, none when absent or malformed.
    pub(in crate::decode) fn items(&self) -> &[T] {
        self.as_ref().map_or(&[], |list| &list.0)
    }
}

/// A JSON string (numbers and booleans are taken as their text).
#[derive(Clone, Default)]
pub(in crate::decode) struct Text(pub(in crate::decode) String);

/// A JSON array, or one object where an array belongs (DSTU2, careless senders).
#[derive(Clone)]
pub(in crate::decode) struct List<T>(pub(in crate::decode) Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// What a JSON value of one shape becomes; a value of another shape is malformed.
pub(in crate::decode) trait Shape: Sized {
    fn of_text(_text: &str) -> Option<Self> {
        None
    }
    fn of_map<'de, A: MapAccess<'de>>(map: A) -> Result<Option<Self>, A::Error> {
        skip_map(map).map(|()| None)
    }
    fn of_seq<'de, A: SeqAccess<'de>>(seq: A) -> Result<Option<Self>, A::Error> {
        skip_seq(seq).map(|()| None)
    }
    /// Says nothing: an item of a list that is not worth its memory.
    fn is_empty(&self) -> bool {
        false
    }
}

fn skip_map<'de, A: MapAccess<'de>>(map: A) -> Result<(), A::Error> {
    IgnoredAny::deserialize(MapAccessDeserializer::new(map)).map(|_| ())
}

fn skip_seq<'de, A: SeqAccess<'de>>(seq: A) -> Result<(), A::Error> {
    IgnoredAny::deserialize(SeqAccessDeserializer::new(seq)).map(|_| ())
}

impl Shape for Text {
    fn of_text(text: &str) -> Option<Self> {
        Some(Self(text.to_owned()))
    }
}

impl<T: Shape> Shape for List<T> {
    fn of_text(text: &str) -> Option<Self> {
        T::of_text(text).map(|item| Self(vec![item]))
    }

    fn of_map<'de, A: MapAccess<'de>>(map: A) -> Result<Option<Self>, A::Error> {
        Ok(T::of_map(map)?.map(|item| Self(vec![item])))
    }

    fn of_seq<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<Option<Self>, A::Error> {
        let mut items = Vec::new();
        let mut malformed = false;
        while let Some(item) = seq.next_element::<Field<T>>()? {
            match item {
                Field::Given(item) if item.is_empty() => {}
                Field::Given(_) if items.len() == MOST_ITEMS => {
                    return Err(A::Error::custom(TOO_MANY));
                }
                Field::Given(item) => items.push(item),
                Field::Malformed => malformed = true,
                Field::Absent => {}
            }
        }
        Ok((!malformed || !items.is_empty()).then_some(Self(items)))
    }
}

impl<'de, T: Shape> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor(PhantomData))
    }
}

struct FieldVisitor<T>(PhantomData<T>);

impl<'de, T: Shape> Visitor<'de> for FieldVisitor<T> {
    type Value = Field<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Field::Absent)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(T::of_text(text).map_or(Field::Malformed, Field::Given))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        self.visit_str(if value { "true" } else { "false" })
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        Ok(T::of_map(map)?.map_or(Field::Malformed, Field::Given))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        Ok(T::of_seq(seq)?.map_or(Field::Malformed, Field::Given))
    }
}

/// Most memory that the objects of a text may take, as a multiple of its length: one of a few bytes
/// (`{"code":1}`) takes a kilobyte, and a payload of megabytes may have nothing else.
const MOST_TIMES: usize = 12;

/// What they may take in any case, bytes.
const ALWAYS: usize = 64 * 1024;

thread_local! {
    /// Bytes that the objects of the text being read may still take. It is no parameter because
    /// serde's `Deserialize` takes none.
    static ALLOWANCE: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Begins to read a text of this length. Call it before each parse.
pub(in crate::decode) fn allow(length: usize) {
    ALLOWANCE.set(length.saturating_mul(MOST_TIMES).saturating_add(ALWAYS));
}

/// Takes what an object needs from the allowance, and its place in a growing list.
///
/// # Errors
///
/// [`TOO_MANY`] when nothing is left.
pub(in crate::decode) fn charge<T, E: Error>() -> Result<(), E> {
    let left = ALLOWANCE.get().checked_sub(size_of::<T>() + 3 * size_of::<usize>());
    ALLOWANCE.set(left.ok_or_else(|| E::custom(TOO_MANY))?);
    Ok(())
}

/// Most items of one list. A report has a few, a bundle hundreds.
const MOST_ITEMS: usize = 20_000;

/// The error of a list with more.
pub(in crate::decode) const TOO_MANY: &str = "too many items";

/// Declares a JSON object of which some fields are read.
macro_rules! object {
    (
        $(#[$meta:meta])*
        $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty = $json:literal),* $(,)? }
        $($empty:item)?
    ) => {
        $(#[$meta])*
        #[derive(Clone, Default, serde::Deserialize)]
        #[serde(default)]
        pub(in crate::decode) struct $name {
            $($(#[$field_meta])* #[serde(rename = $json)]
              pub(in crate::decode) $field: $crate::decode::shape::Field<$type>,)*
        }

        impl $crate::decode::shape::Shape for Box<$name> {
            fn of_map<'de, A: serde::de::MapAccess<'de>>(
                map: A,
            ) -> Result<Option<Self>, A::Error> {
                $crate::decode::shape::charge::<$name, A::Error>()?;
                let map = serde::de::value::MapAccessDeserializer::new(map);
                <$name as serde::Deserialize>::deserialize(map).map(|value| Some(Box::new(value)))
            }
            $($empty)?
        }
    };
}
pub(in crate::decode) use object;
