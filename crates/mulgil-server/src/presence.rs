//! `<environment>.server.json`: where an environment's server is. A server that was killed leaves it
//! behind, so it only says where to ask; that the answer comes from this server is proven by the token.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use mulgil_core::port::Fault;
use serde::{Deserialize, Serialize};

use crate::durable;

/// Bytes of the file that are looked at.
const FILE_BYTES: u64 = 4096;

/// Where a server is, and which one it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its process.
    pub pid: u32,
    /// When it began.
    pub started_at: jiff::Timestamp,
    /// The version of the program.
    pub version: String,
    /// Which start of a server this is: digits that no other start has.
    pub instance: String,
}

impl Presence {
    /// What the last server of an environment said of itself; nothing where it took that back at its
    /// end, or where the file cannot be read as one of ours.
    pub fn read(data_dir: &Path, environment: &str) -> Result<Option<Self>, Fault> {
        let path = path(data_dir, environment);
        let mut bytes = Vec::new();
        let read = File::open(&path).and_then(|file| file.take(FILE_BYTES).read_to_end(&mut bytes));
        match read {
            Ok(_) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(durable::fault(&error, "read where the server is", &path)),
        }
    }

    /// Says it.
    pub(crate) fn write(&self, data_dir: &Path, environment: &str) -> Result<(), Fault> {
        let text = serde_json::to_vec(self).unwrap_or_default();
        durable::put(&path(data_dir, environment), &text, "write where the server is")
    }

    /// Takes it back, unless another server has written its own in the meantime. Whoever finds it left
    /// behind finds nobody there, so a failure is no matter.
    pub(crate) fn remove(&self, data_dir: &Path, environment: &str) {
        if Self::read(data_dir, environment).is_ok_and(|now| now.as_ref() == Some(self)) {
            let _ = fs::remove_file(path(data_dir, environment));
        }
    }
}

fn path(data_dir: &Path, environment: &str) -> PathBuf {
    data_dir.join(format!("{environment}.server.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presence(instance: &str) -> Presence {
        Presence {
            address: "127.0.0.1:7000".parse().unwrap(),
            pid: 1,
            started_at: "2026-11-20T09:00:00Z".parse().unwrap(),
            version: "0.1.0".to_owned(),
            instance: instance.to_owned(),
        }
    }

    #[test]
    fn a_server_takes_back_only_its_own_word() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (presence("a"), presence("b"));
        old.write(folder.path(), "dev").unwrap();
        new.write(folder.path(), "dev").unwrap();
        old.remove(folder.path(), "dev");
        assert_eq!(Presence::read(folder.path(), "dev").unwrap(), Some(new.clone()));
        new.remove(folder.path(), "dev");
        assert_eq!(Presence::read(folder.path(), "dev").unwrap(), None);
        fs::write(folder.path().join("dev.server.json"), "{\"address\":").unwrap();
        assert_eq!(Presence::read(folder.path(), "dev").unwrap(), None);
    }
}
