//! Types of columns in the words of people who write SQL.

/// A type in the words of SQL, as a `cast` takes it; nested ones stay in Arrow's.
pub(crate) fn of_arrow(arrow: &str) -> String {
    let simple = match arrow {
        "Boolean" => "boolean",
        "Int8" => "tinyint",
        "Int16" => "smallint",
        "Int32" => "int",
        "Int64" => "bigint",
        "UInt8" => "tinyint unsigned",
        "UInt16" => "smallint unsigned",
        "UInt32" => "int unsigned",
        "UInt64" => "bigint unsigned",
        "Float32" => "real",
        "Float64" => "double",
        "Utf8" | "LargeUtf8" | "Utf8View" => "varchar",
        "Binary" | "LargeBinary" | "BinaryView" => "bytea",
        "Date32" | "Date64" => "date",
        other if other.starts_with("Time32") || other.starts_with("Time64") => "time",
        other if other.starts_with("Timestamp(") && (other.contains("None") || !other.contains(',')) => "timestamp",
        other if other.starts_with("Timestamp(") => "timestamptz",
        other => match other.strip_prefix("Decimal128(") {
            Some(rest) => return format!("decimal({rest}").replace(", ", ","),
            None => other,
        },
    };
    simple.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_named_as_a_cast_takes_them() {
        for (arrow, sql) in [
            ("Int64", "bigint"),
            ("Timestamp(Microsecond, None)", "timestamp"),
            ("Timestamp(Microsecond, Some(\"UTC\"))", "timestamptz"),
            ("Timestamp(µs)", "timestamp"),
            ("Timestamp(µs, \"UTC\")", "timestamptz"),
            ("Decimal128(10, 2)", "decimal(10,2)"),
            ("List(Int64)", "List(Int64)"),
        ] {
            assert_eq!(of_arrow(arrow), sql);
        }
    }
}
