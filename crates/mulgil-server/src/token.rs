//! The token of an environment's server: who can read it may ask the server for anything. It is made
//! once, is read by its owner alone, and is never printed.

use std::{
    fmt,
    fs::File,
    io::{self, Read as _},
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Place, Retry},
    port::Fault,
};
use subtle::ConstantTimeEq as _;

use crate::{durable, random};

/// Bytes of a token file that are looked at.
const FILE_BYTES: u64 = 1024;

/// The rights of others.
const OTHERS: u32 = 0o077;

/// 256 bits that a server and its command line share.
#[derive(Clone)]
pub(crate) struct Token {
    bytes: [u8; random::SECRET_BYTES],
    hex: String,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

impl Token {
    /// The token of an environment; made where there is none.
    pub(crate) fn load_or_make(data_dir: &Path, environment: &str) -> Result<Self, Fault> {
        if let Some(token) = Self::load(data_dir, environment)? {
            return Ok(token);
        }
        let token = Self::of(random::secret()?);
        let path = path(data_dir, environment);
        durable::put(&path, format!("{}\n", token.hex).as_bytes(), "write the server's token")?;
        Ok(token)
    }

    /// The token of an environment, if one was ever made.
    pub(crate) fn load(data_dir: &Path, environment: &str) -> Result<Option<Self>, Fault> {
        let path = path(data_dir, environment);
        let mut file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(|error| durable::fault(&error, "read the server's token", &path))?,
        };
        let rights = file
            .metadata()
            .map_err(|error| durable::fault(&error, "read the server's token", &path))?
            .permissions()
            .mode();
        if rights & OTHERS != 0 {
            return Err(exposed(&path, rights));
        }
        let mut text = String::new();
        match file.by_ref().take(FILE_BYTES).read_to_string(&mut text) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(broken(&path)),
            Err(error) => return Err(durable::fault(&error, "read the server's token", &path)),
        }
        let bytes = random::from_hex(text.trim_end_matches('\n')).ok_or_else(|| broken(&path))?;
        Ok(Some(Self::of(bytes)))
    }

    /// Whether somebody presented it. Takes the same time however much of it is right.
    pub(crate) fn is(&self, presented: &str) -> bool {
        self.hex.as_bytes().ct_eq(presented.as_bytes()).into()
    }

    /// As it is presented.
    pub(crate) fn hex(&self) -> &str {
        &self.hex
    }

    /// What proves to the other side that the token is known here, without saying it. Bound to the
    /// address, so that an answer of one server is no use to somebody who listens elsewhere.
    pub(crate) fn proof(&self, address: SocketAddr, instance: &str, challenge: &str) -> String {
        let text = format!("mulgil server 1\n{address}\n{instance}\n{challenge}");
        random::hex(blake3::keyed_hash(&self.bytes, text.as_bytes()).as_bytes())
    }

    fn of(bytes: [u8; random::SECRET_BYTES]) -> Self {
        Self {
            bytes,
            hex: random::hex(&bytes),
        }
    }
}

fn path(data_dir: &Path, environment: &str) -> PathBuf {
    data_dir.join(format!("{environment}.token"))
}

fn exposed(path: &Path, rights: u32) -> Fault {
    let message = format!(
        "the server's token may be read by others (its rights are {:03o})",
        rights & 0o777
    );
    let fault = Diagnostic::error(codes::TOKEN_EXPOSED, message)
        .at(Place::file(path))
        .with_remedy("stop the server and remove this file: a new token is made at the next start")
        .with_retry(Retry::AfterHumanFix);
    Box::new(fault)
}

fn broken(path: &Path) -> Fault {
    let fault = Diagnostic::error(codes::TOKEN_BROKEN, "the file of the server's token holds no token")
        .at(Place::file(path))
        .with_remedy("stop the server and remove this file: a new token is made at the next start")
        .with_retry(Retry::AfterHumanFix);
    Box::new(fault)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn it_is_made_once_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Token::load(folder.path(), "dev").unwrap().is_none());
        let made = Token::load_or_make(folder.path(), "dev").unwrap();
        let again = Token::load_or_make(folder.path(), "dev").unwrap();
        assert!(again.is(made.hex()));
        assert!(!Token::load_or_make(folder.path(), "prod").unwrap().is(made.hex()));
        let file = fs::metadata(folder.path().join("dev.token")).unwrap();
        assert_eq!(file.permissions().mode() & 0o777, 0o600);
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            2,
            "nothing is left beside them"
        );
        assert_eq!(format!("{made:?}"), "Token");
    }

    #[test]
    fn one_that_others_may_read_or_that_is_none_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        Token::load_or_make(folder.path(), "dev").unwrap();
        let file = folder.path().join("dev.token");
        for rights in [0o640, 0o604, 0o610] {
            fs::set_permissions(&file, fs::Permissions::from_mode(rights)).unwrap();
            let fault = Token::load_or_make(folder.path(), "dev").unwrap_err();
            assert_eq!(fault.code, codes::TOKEN_EXPOSED);
        }
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        for text in [&b"short\n"[..], b"", b"\xff\xfe", "0".repeat(65).as_bytes()] {
            fs::write(&file, text).unwrap();
            let fault = Token::load_or_make(folder.path(), "dev").unwrap_err();
            assert_eq!(fault.code, codes::TOKEN_BROKEN);
        }
    }

    #[test]
    fn what_a_killed_start_left_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("dev.token.new"), "half").unwrap();
        let made = Token::load_or_make(folder.path(), "dev").unwrap();
        let file = fs::metadata(folder.path().join("dev.token")).unwrap();
        assert_eq!(file.permissions().mode() & 0o777, 0o600);
        assert!(Token::load(folder.path(), "dev").unwrap().unwrap().is(made.hex()));
    }
}
