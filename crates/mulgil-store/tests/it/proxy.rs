//! A way to a server that can be broken at a chosen message.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinHandle,
};

/// What a client says last to end a group.
const COMMIT: &[u8] = b"commit\0";
/// What it says before the first request of a group.
const SAVEPOINT: &[u8] = b"savepoint request\0";

/// What the way does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// All goes through.
    Open,
    /// The next commit does not arrive; then all goes through.
    CutBeforeCommit,
    /// The next commit arrives and its answer does not; then all goes through.
    CutAfterCommit,
    /// As before, and then nobody is let through.
    CutAfterCommitAndStayClosed,
    /// Every second commit is cut, before and after by turns.
    CutEverySecond(u32),
    /// A group that has begun hears and says nothing more.
    HangAtSavepoint,
    /// Nobody is let through.
    Closed,
}

/// The way, in a folder of its own.
pub(crate) struct Proxy {
    folder: tempfile::TempDir,
    mode: Arc<Mutex<Mode>>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// To the server at a socket.
    pub(crate) fn to(server: PathBuf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).unwrap();
        let mode = Arc::new(Mutex::new(Mode::Open));
        let task = tokio::spawn(serve(listener, server, Arc::clone(&mode)));
        Self { folder, mode, task }
    }

    /// The folder that stands for the host in a URL.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// From now on.
    pub(crate) fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: UnixListener, server: PathBuf, mode: Arc<Mutex<Mode>>) {
    while let Ok((client, _)) = listener.accept().await {
        if *mode.lock().unwrap() != Mode::Closed
            && let Ok(server) = UnixStream::connect(&server).await
        {
            tokio::spawn(pass(client, server, Arc::clone(&mode)));
        }
    }
}

async fn pass(client: UnixStream, server: UnixStream, mode: Arc<Mutex<Mode>>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            read = from_client.read(&mut asked) => {
                let Ok(length @ 1..) = read else { return };
                if !forward(&asked[..length], &mut to_server, &mut from_server, &mode).await {
                    return;
                }
            }
            read = from_server.read(&mut answered) => {
                let Ok(length @ 1..) = read else { return };
                if to_client.write_all(&answered[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Passes on what a client said; false where the connection breaks.
async fn forward(
    asked: &[u8],
    to_server: &mut OwnedWriteHalf,
    from_server: &mut OwnedReadHalf,
    mode: &Mutex<Mode>,
) -> bool {
    let (is_commit, is_savepoint) = (asked.ends_with(COMMIT), asked.ends_with(SAVEPOINT));
    let now = *mode.lock().unwrap();
    let (cut, then) = match now {
        Mode::CutBeforeCommit if is_commit => (Some(Cut::Before), Mode::Open),
        Mode::CutAfterCommit if is_commit => (Some(Cut::After), Mode::Open),
        Mode::CutAfterCommitAndStayClosed if is_commit => (Some(Cut::After), Mode::Closed),
        Mode::CutEverySecond(n) if is_commit => {
            let cut = [None, Some(Cut::Before), None, Some(Cut::After)][n as usize % 4];
            (cut, Mode::CutEverySecond(n + 1))
        }
        Mode::HangAtSavepoint if is_savepoint => (Some(Cut::Never), Mode::Open),
        other => (None, other),
    };
    *mode.lock().unwrap() = then;
    match cut {
        None => to_server.write_all(asked).await.is_ok(),
        Some(Cut::Before) => false,
        Some(Cut::After) => {
            to_server.write_all(asked).await.unwrap();
            // Its answer comes when it is done, and goes no further.
            let _ = from_server.read(&mut [0; 1024]).await;
            false
        }
        Some(Cut::Never) => std::future::pending().await,
    }
}

/// Where a connection breaks.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Before,
    After,
    Never,
}
