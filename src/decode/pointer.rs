//! JSON pointers (RFC 6901) into a text, without building the values around the one that is wanted.

use std::fmt;

use serde::de::{Deserializer as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The value at a pointer, as it stands in the text.
pub(super) fn find<'j>(json: &'j str, pointer: &str) -> Option<&'j str> {
    let tokens = pointer.strip_prefix('/')?.split('/');
    tokens
        .map(|token| token.replace("~1", "/").replace("~0", "~"))
        .try_fold(json, |value, token| member(value, &token))
}

/// A member of an object, or an item of an array.
pub(super) fn member<'j>(json: &'j str, name: &str) -> Option<&'j str> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    deserializer.deserialize_any(MemberVisitor(name)).ok().flatten()
}

struct MemberVisitor<'n>(&'n str);

impl<'j> Visitor<'j> for MemberVisitor<'_> {
    type Value = Option<&'j str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'j>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<std::borrow::Cow<'j, str>>()? {
            if key == self.0 && found.is_none() {
                found = Some(map.next_value::<&RawValue>()?.get());
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'j>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let wanted: Option<usize> = self.0.parse().ok();
        let mut found = None;
        let mut index = 0;
        while let Some(item) = seq.next_element::<&RawValue>()? {
            if Some(index) == wanted {
                found = Some(item.get());
            }
            index += 1;
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_in_objects_and_arrays_whatever_stands_around_them() {
        let json = r#"{"a":[1,{"b/c":{"~":"x\"y"}}],"d":{"e":{"f":2}}, "a":3}"#;
        assert_eq!(find(json, "/a/1/b~1c/~0"), Some(r#""x\"y""#));
        assert_eq!(find(json, "/d/e"), Some(r#"{"f":2}"#));
        for nothing in ["/a/2", "/a/x", "/d/f", "/d/e/f/g", "d", ""] {
            assert_eq!(find(json, nothing), None, "{nothing}");
        }
    }

    #[test]
    fn deep_nesting_is_no_harm() {
        let deep = format!("{{\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(find(&deep, "/y"), None);
    }
}
