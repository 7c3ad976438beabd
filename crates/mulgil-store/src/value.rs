//! What is bound to the places of a statement, in the few types that the ledger's columns have: integers,
//! texts and bytes; truth values are asked about and never kept.

use std::{borrow::Cow, fmt};

use sqlx::{Arguments, Encode, Type};

/// What is bound to a place in a statement.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'q> {
    /// An integer, or nothing.
    Int(Option<i64>),
    /// A text, or nothing.
    Text(Option<Cow<'q, str>>),
    /// Bytes, or nothing.
    Bytes(Option<Cow<'q, [u8]>>),
    /// A truth value.
    Bool(bool),
}

/// The values as one of the databases takes them.
pub(crate) fn arguments<A>(values: Vec<Value<'_>>) -> Result<A, sqlx::Error>
where
    A: Arguments,
    Option<i64>: for<'t> Encode<'t, A::Database> + Type<A::Database>,
    Option<String>: for<'t> Encode<'t, A::Database> + Type<A::Database>,
    Option<Vec<u8>>: for<'t> Encode<'t, A::Database> + Type<A::Database>,
    bool: for<'t> Encode<'t, A::Database> + Type<A::Database>,
{
    let mut arguments = A::default();
    for value in values {
        match value {
            Value::Int(value) => arguments.add(value),
            Value::Text(value) => arguments.add(value.map(Cow::into_owned)),
            Value::Bytes(value) => arguments.add(value.map(Cow::into_owned)),
            Value::Bool(value) => arguments.add(value),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(Some(value)) => write!(f, "{value}"),
            Self::Text(Some(value)) => write!(f, "{value}"),
            Self::Bytes(Some(value)) => write!(f, "{value:02x?}"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(None) | Self::Text(None) | Self::Bytes(None) => f.write_str("null"),
        }
    }
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<&i64> for Value<'_> {
    fn from(value: &i64) -> Self {
        Self::Int(Some(*value))
    }
}

impl From<u32> for Value<'_> {
    fn from(value: u32) -> Self {
        Self::Int(Some(value.into()))
    }
}

impl From<Option<i64>> for Value<'_> {
    fn from(value: Option<i64>) -> Self {
        Self::Int(value)
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl<'q> From<&'q str> for Value<'q> {
    fn from(value: &'q str) -> Self {
        Self::Text(Some(value.into()))
    }
}

impl<'q> From<&'q String> for Value<'q> {
    fn from(value: &'q String) -> Self {
        Self::Text(Some(value.into()))
    }
}

impl From<String> for Value<'_> {
    fn from(value: String) -> Self {
        Self::Text(Some(value.into()))
    }
}

impl<'q> From<Cow<'q, str>> for Value<'q> {
    fn from(value: Cow<'q, str>) -> Self {
        Self::Text(Some(value))
    }
}

impl From<Option<String>> for Value<'_> {
    fn from(value: Option<String>) -> Self {
        Self::Text(value.map(Cow::Owned))
    }
}

impl<'q> From<&'q Option<String>> for Value<'q> {
    fn from(value: &'q Option<String>) -> Self {
        Self::Text(value.as_ref().map(Cow::from))
    }
}

impl From<Vec<u8>> for Value<'_> {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(Some(value.into()))
    }
}
