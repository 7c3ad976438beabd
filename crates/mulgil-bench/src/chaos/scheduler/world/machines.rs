//! Two machines on one ledger. Each has a project folder, and so a data folder, of its own; they reach the same
//! files and tables. Whatever a world does is done on the machine where it is.

use std::{
    fs,
    os::unix::fs::symlink,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use mulgil_store::LEAD;

use super::World;
use crate::{
    chaos::scheduler::project::{MACHINES, Places},
    wait,
};

/// How often it is asked who leads.
const LOOK: Duration = Duration::from_millis(100);

/// How long a lead may take to pass on: the lease of 30 s, the 2 s between two asks, and a slow machine.
const PASSES_ON: Duration = Duration::from_secs(45);

impl World {
    /// Makes the second machine.
    pub(crate) fn add_machine(&self) -> Result<()> {
        let [first, second] = MACHINES.map(|name| self.places.folder.join(name));
        let status = Command::new("cp").arg("-a").args([&first, &second]).status()?;
        ensure!(status.success(), "{} could not be copied", first.display());
        fs::remove_dir_all(second.join("data"))?;
        Ok(symlink(first.join("data"), second.join("data"))?)
    }

    /// Goes to a machine.
    pub(crate) fn go_to(&mut self, machine: usize) {
        self.here = machine;
        self.places = Places::on(&self.places.folder, machine);
    }

    /// The machine whose server leads, as the ledger says; nothing where none does.
    pub(crate) fn leader(&self) -> Result<Option<usize>> {
        let state = self.read(async |store| store.lease(LEAD).await)?;
        let Some(held) = state.filter(|state| state.is_live) else {
            return Ok(None);
        };
        let is_of = |pid: u32| held.lease.holder.contains(&format!("(process {pid} on "));
        Ok(self
            .servers
            .iter()
            .position(|server| server.as_ref().is_some_and(|server| is_of(server.pid))))
    }

    /// Goes to the machine whose server leads, once one does.
    ///
    /// # Errors
    /// Where none does in time.
    pub(crate) fn go_to_leader(&mut self) -> Result<usize> {
        let leader = wait::until(PASSES_ON, LOOK, || self.leader())?;
        let leader = leader.with_context(|| {
            let (patience, here) = (PASSES_ON.as_secs(), MACHINES[self.here]);
            format!("nobody leads after {patience} s; {here} says: {}", self.last_words())
        })?;
        self.go_to(leader);
        Ok(leader)
    }

    /// Waits until the server of a machine leads, and goes there; gives how long that took.
    ///
    /// # Errors
    /// Where it does not in time.
    pub(crate) fn led_by(&mut self, machine: usize) -> Result<Duration> {
        self.go_to(machine);
        let began = Instant::now();
        let leads = || Ok(self.leader()?.filter(|leader| *leader == machine));
        let led = wait::until(PASSES_ON, LOOK, leads)?;
        led.with_context(|| {
            let (patience, name) = (PASSES_ON.as_secs(), MACHINES[machine]);
            format!("{name} does not lead after {patience} s: {}", self.last_words())
        })?;
        Ok(began.elapsed())
    }

    /// Ends the servers of all machines but the one where this world is.
    pub(super) fn end_others(&mut self) -> Result<()> {
        let here = self.here;
        for machine in (0..MACHINES.len()).filter(|machine| *machine != here) {
            self.go_to(machine);
            let has_ended = match self.servers[machine].as_mut() {
                Some(server) => server.has_ended()?.is_some(),
                None => true,
            };
            if !has_ended {
                self.end_well()?;
            }
        }
        self.go_to(here);
        Ok(())
    }
}
