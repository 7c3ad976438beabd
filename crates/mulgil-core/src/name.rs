//! Names, parsed once at the edge: nodes, their instances by key, relations.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::{Deserialize, Serialize};

/// The name of a node: a model, seed or source (`raw.flights` for a source's table).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeName(Arc<str>);

impl NodeName {
    /// Takes a name as it is written; the loader has checked its letters.
    pub fn new(name: impl AsRef<str>) -> Self {
        Self(Arc::from(name.as_ref()))
    }

    /// The name as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for NodeName {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

/// The values of a node's key columns for one instance: `country=kr`. Empty for a node without keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(pub BTreeMap<String, String>);

impl Key {
    /// Whether this is the one instance of a node without keys.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (column, value)) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{column}={value}")?;
        }
        Ok(())
    }
}

/// One instance of a node: what has an interval set of its own. Written `sales[country=kr]`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Instance {
    /// The node.
    pub node: NodeName,
    /// Its key's values; empty where the node has no keys.
    #[serde(default, skip_serializing_if = "Key::is_empty")]
    pub key: Key,
}

impl Instance {
    /// The one instance of a node without keys.
    pub fn of(node: NodeName) -> Self {
        Self {
            node,
            key: Key::default(),
        }
    }

    /// Reads what [`fmt::Display`] writes: `name` or `name[column=value,…]`.
    pub fn parse(text: &str) -> Option<Self> {
        let Some((name, rest)) = text.split_once('[') else {
            return (!text.is_empty()).then(|| Self::of(NodeName::new(text)));
        };
        let pairs = rest.strip_suffix(']')?;
        let mut key = BTreeMap::new();
        for pair in pairs.split(',') {
            let (column, value) = pair.split_once('=')?;
            key.insert(column.trim().to_owned(), value.trim().to_owned());
        }
        (!name.is_empty()).then(|| Self {
            node: NodeName::new(name),
            key: Key(key),
        })
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            write!(f, "{}", self.node)
        } else {
            write!(f, "{}[{}]", self.node, self.key)
        }
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Where a node's rows lie: `<schema>.<name>`; in the local warehouse the folder `<schema>/<name>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Relation {
    /// The schema, with the environment's prefix already in it.
    pub schema: String,
    /// The table's name.
    pub name: String,
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}
