//! Bytes that nobody can guess, and how bytes are written as digits.

use std::fmt::Write as _;

use mulgil_core::{codes, diagnostic::Diagnostic, port::Fault};

/// Bytes of a secret.
pub(crate) const SECRET_BYTES: usize = 32;

/// 256 bits from the operating system.
pub(crate) fn secret() -> Result<[u8; SECRET_BYTES], Fault> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| {
        Diagnostic::error(
            codes::DISK_FAILED,
            format!("the system gives no random numbers: {error}"),
        )
        .with_remedy("look at what the system says about its random numbers, and start again")
    })?;
    Ok(bytes)
}

/// As lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Reads 64 lower-case hex digits.
pub(crate) fn from_hex(text: &str) -> Option<[u8; SECRET_BYTES]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let digits = text.as_bytes();
    if digits.len() != SECRET_BYTES * 2 {
        return None;
    }
    let mut bytes = [0; SECRET_BYTES];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_come_back_as_bytes_and_two_secrets_differ() {
        let (one, other) = (secret().unwrap(), secret().unwrap());
        assert_ne!(one, other);
        assert_eq!(from_hex(&hex(&one)), Some(one));
        assert_eq!(from_hex("12"), None);
        assert_eq!(from_hex(&"g".repeat(64)), None);
        assert_eq!(from_hex(&"é".repeat(32)), None);
    }
}
