//! How names and kinds stand in the ledger: one text each, read back to the same value.

use std::collections::BTreeMap;

use mulgil_core::{
    name::{Instance, Key, NodeName, Relation},
    run::TaskKind,
};

use crate::error::Error;

/// `name` or `name[column=value,…]`, as people write it; a sign in a key that would end it early
/// is written `%5D` and so on.
pub(crate) fn of_instance(instance: &Instance) -> String {
    let mut text = instance.node.as_str().to_owned();
    for (index, (column, value)) in instance.key.0.iter().enumerate() {
        text.push(if index == 0 { '[' } else { ',' });
        escape(column, &mut text);
        text.push('=');
        escape(value, &mut text);
    }
    if !instance.key.is_empty() {
        text.push(']');
    }
    text
}

/// Reads what [`of_instance`] writes; nothing where it is something else.
pub(crate) fn instance(text: &str) -> Option<Instance> {
    let Some((node, rest)) = text.split_once('[') else {
        return (!text.is_empty()).then(|| Instance::of(NodeName::new(text)));
    };
    let key: Option<BTreeMap<_, _>> = rest
        .strip_suffix(']')?
        .split(',')
        .map(|pair| {
            let (column, value) = pair.split_once('=')?;
            Some((unescape(column)?, unescape(value)?))
        })
        .collect();
    Some(Instance {
        node: NodeName::new(node),
        key: Key(key?),
    })
}

/// Reads what the ledger itself wrote.
///
/// # Errors
/// Where it is something else: the ledger is damaged.
pub(crate) fn known_instance(text: &str) -> Result<Instance, Error> {
    instance(text).ok_or_else(|| Error::damaged(format!("`{text}` is not the name of an instance")))
}

/// `schema.name`; a dot in the schema is written `%2E`.
pub(crate) fn of_relation(relation: &Relation) -> String {
    let schema = relation.schema.replace('%', "%25").replace('.', "%2E");
    format!("{schema}.{}", relation.name)
}

/// `fill`, `test` or `step`.
pub(crate) fn of_kind(kind: TaskKind) -> &'static str {
    match kind {
        TaskKind::Fill => "fill",
        TaskKind::Test => "test",
        TaskKind::Step => "step",
    }
}

/// Reads what [`of_kind`] writes.
pub(crate) fn kind(text: &str) -> Option<TaskKind> {
    [TaskKind::Fill, TaskKind::Test, TaskKind::Step]
        .into_iter()
        .find(|kind| of_kind(*kind) == text)
}

fn escape(part: &str, out: &mut String) {
    for sign in part.chars() {
        match sign {
            '%' => out.push_str("%25"),
            // PostgreSQL keeps no text with a zero in it.
            '\0' => out.push_str("%00"),
            ',' => out.push_str("%2C"),
            '=' => out.push_str("%3D"),
            '[' => out.push_str("%5B"),
            ']' => out.push_str("%5D"),
            other => out.push(other),
        }
    }
}

fn unescape(part: &str) -> Option<String> {
    let mut pieces = part.split('%');
    let mut out = pieces.next()?.to_owned();
    for piece in pieces {
        let code = u8::from_str_radix(piece.get(..2)?, 16).ok()?;
        out.push(char::from(code));
        out.push_str(&piece[2..]);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_read_back_whatever_its_key_holds() {
        for (value, written) in [
            ("kr", "sales[country=kr]"),
            ("a,b=c]d[%25", "sales[country=a%2Cb%3Dc%5Dd%5B%2525]"),
            ("한국", "sales[country=한국]"),
            ("a\0b", "sales[country=a%00b]"),
            ("", "sales[country=]"),
        ] {
            let key = Key(BTreeMap::from([("country".to_owned(), value.to_owned())]));
            let original = Instance {
                node: NodeName::new("sales"),
                key,
            };
            assert_eq!(of_instance(&original), written);
            assert_eq!(instance(written), Some(original));
        }
        assert_eq!(instance("flights"), Some(Instance::of(NodeName::new("flights"))));
    }

    #[test]
    fn a_relation_has_one_text() {
        let text = |schema: &str, name: &str| {
            of_relation(&Relation {
                schema: schema.to_owned(),
                name: name.to_owned(),
            })
        };
        assert_eq!(text("dev_shop", "sales"), "dev_shop.sales");
        assert_ne!(text("a.b", "c"), text("a", "b.c"));
    }
}
