//! What `mulgil dev` and its server tell each other, so that nothing is done by a project that is not the one in
//! the folder any more: who asks for something meanwhile is told to ask again, and what somebody has asked for
//! ends before the project is loaded anew.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Retry},
    project::Fingerprint,
};
use tokio::sync::watch;

use crate::wire::Opened;

/// How a server stands that is loaded anew when its project's files change.
pub(crate) struct Reload {
    door: Mutex<Door>,
    /// Whether a project was loaded before this one.
    is_anew: bool,
    /// Runs of models that somebody has asked for and that go on.
    asked: watch::Sender<usize>,
}

/// Whether anything may begin.
struct Door {
    /// The files as they were looked at last.
    looked_at: Fingerprint,
    /// Whether they are to be loaded, or are loaded already and wait for this server to end.
    is_closed: bool,
    /// Why they cannot be loaded.
    faults: Arc<[Diagnostic]>,
}

/// A run that somebody has asked for, until it is dropped.
pub(crate) struct Asked(Arc<Reload>);

impl Reload {
    /// Of a project that was just loaded.
    pub(crate) fn of(opened: &Opened) -> Self {
        Self {
            door: Mutex::new(Door {
                looked_at: opened.stamp(),
                is_closed: false,
                faults: Arc::default(),
            }),
            is_anew: false,
            asked: watch::Sender::new(0),
        }
    }

    /// Of the project that was loaded after this one had looked last. What was saved since is another.
    pub(crate) fn anew(&self) -> Self {
        Self {
            door: Mutex::new(Door {
                looked_at: self.door().looked_at,
                is_closed: false,
                faults: Arc::default(),
            }),
            is_anew: true,
            asked: watch::Sender::new(0),
        }
    }

    /// Whether a project was loaded before this one, so that somebody knows where it is served.
    pub(crate) fn is_anew(&self) -> bool {
        self.is_anew
    }

    /// Whether the files are others than those that were looked at last. Where they are nothing begins any more.
    pub(crate) fn look(&self, opened: &Opened) -> bool {
        let now = opened.stamp();
        let mut door = self.door();
        let is_other = door.looked_at != now;
        door.looked_at = now;
        door.is_closed |= is_other;
        is_other
    }

    /// What was looked at last cannot be loaded, and why, so what is loaded goes on.
    pub(crate) fn open(&self, faults: &[Diagnostic]) {
        let mut door = self.door();
        door.is_closed = false;
        door.faults = faults.into();
    }

    /// Why the project in the folder cannot be loaded; nothing where it is the one that is served.
    pub(crate) fn faults(&self) -> Arc<[Diagnostic]> {
        Arc::clone(&self.door().faults)
    }

    /// Whether a run that somebody has asked for goes on.
    pub(crate) fn is_busy(&self) -> bool {
        *self.asked.borrow() > 0
    }

    /// Returns when none of the runs that somebody has asked for goes on.
    pub(crate) async fn idle(&self) {
        // Who sends is this.
        let _ = self.asked.subscribe().wait_for(|count| *count == 0).await;
    }

    /// Begins something that somebody asks for.
    ///
    /// # Errors
    /// `PROJECT_CHANGED` where the project is about to be loaded anew.
    pub(crate) fn begin(self: &Arc<Self>, opened: &Opened) -> Result<Asked, Diagnostic> {
        let now = opened.stamp();
        let door = self.door();
        if door.is_closed || door.looked_at != now {
            return Err(
                Diagnostic::error(codes::PROJECT_CHANGED, "the project changed, and is being loaded anew")
                    .with_remedy("ask again in a moment")
                    .with_retry(Retry::Later),
            );
        }
        // Counted while nobody can close it, so that who closes it sees it.
        self.asked.send_modify(|count| *count += 1);
        Ok(Asked(Arc::clone(self)))
    }

    fn door(&self) -> MutexGuard<'_, Door> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.asked.send_modify(|count| *count -= 1);
    }
}
