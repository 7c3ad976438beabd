//! What is done to a server, each by its name. A fault prepares its world before the first server, does its
//! harm while servers run, and leaves a server or none: the round brings everything to rest afterwards.

mod clock;
mod database;
mod disk;
mod kills;
mod machines;
mod tasks;

use std::time::{Duration, Instant};

use anyhow::Result;

pub(crate) use self::tasks::{make_group, remove_group};
use super::{
    machine::Need,
    project,
    world::{SLOTS, World},
};
use crate::wait;

/// What may be done to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// `kill -9` at random moments.
    Kill,
    /// It kills itself at a named point, or just before a numbered write.
    Point,
    /// It is stopped for longer than its lease, and goes on.
    Stop,
    /// Its clock is set, forth and back.
    Clock,
    /// Nobody is there for three days.
    Downtime,
    /// Its data folder is full.
    DiskFull,
    /// Its data folder takes no more files.
    InodesFull,
    /// Its disk is read-only for a while.
    DiskReadOnly,
    /// The disk says that it could not write.
    Fsync,
    /// A task that does not want to end is cancelled, and one runs out of time.
    Term,
    /// A task prints a gigabyte.
    Flood,
    /// A task is killed for its memory.
    Memory,
    /// It is killed while many tasks run.
    Adopt,
    /// It is told to end while tasks run.
    Drain,
    /// The supervisors of tasks are killed.
    Lost,
    /// Several of these in one night.
    Mixed,
    /// Two servers on one PostgreSQL, and the one that leads is killed, or stopped for longer than its lease.
    Two,
    /// Two servers on one PostgreSQL, one of them ahead of time, and the lead passes from one to the other.
    Skewed,
    /// The PostgreSQL that the ledger lies in is stopped hard and started again.
    PgKilled,
    /// It hangs for a while.
    PgHung,
    /// The server is killed, and its ledger lies in PostgreSQL.
    PgServerKill,
}

/// All of them.
pub(crate) const ALL: [Fault; 21] = [
    Fault::Kill,
    Fault::Point,
    Fault::Stop,
    Fault::Clock,
    Fault::Downtime,
    Fault::DiskFull,
    Fault::InodesFull,
    Fault::DiskReadOnly,
    Fault::Fsync,
    Fault::Term,
    Fault::Flood,
    Fault::Memory,
    Fault::Adopt,
    Fault::Drain,
    Fault::Lost,
    Fault::Mixed,
    Fault::Two,
    Fault::Skewed,
    Fault::PgKilled,
    Fault::PgHung,
    Fault::PgServerKill,
];

/// Those that need no more than this program, `/proc` and perhaps a PostgreSQL, and little time.
pub(crate) const PLAIN: [Fault; 8] = [
    Fault::Kill,
    Fault::Point,
    Fault::Adopt,
    Fault::Drain,
    Fault::Lost,
    Fault::Memory,
    Fault::Mixed,
    Fault::PgServerKill,
];

/// How long a server may take to be itself again.
const RECOVERY: Duration = Duration::from_secs(30);

impl Fault {
    /// As it is typed and told.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Point => "point",
            Self::Stop => "stop",
            Self::Clock => "clock",
            Self::Downtime => "downtime",
            Self::DiskFull => "disk_full",
            Self::InodesFull => "inodes_full",
            Self::DiskReadOnly => "disk_read_only",
            Self::Fsync => "fsync",
            Self::Term => "term",
            Self::Flood => "flood",
            Self::Memory => "memory",
            Self::Adopt => "adopt",
            Self::Drain => "drain",
            Self::Lost => "lost",
            Self::Mixed => "mixed",
            Self::Two => "two",
            Self::Skewed => "skewed",
            Self::PgKilled => "pg_killed",
            Self::PgHung => "pg_hung",
            Self::PgServerKill => "pg_server_kill",
        }
    }

    /// The fault of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        ALL.into_iter().find(|fault| fault.name() == name)
    }

    /// What the machine must have.
    pub(crate) fn needs(self) -> &'static [Need] {
        match self {
            Self::Clock | Self::Downtime => &[Need::Faketime],
            Self::DiskFull | Self::InodesFull | Self::DiskReadOnly => &[Need::Mount],
            Self::Fsync => &[Need::Strace],
            Self::Two | Self::PgKilled | Self::PgHung | Self::PgServerKill => &[Need::Postgres],
            Self::Skewed => &[Need::Postgres, Need::Faketime],
            Self::Kill
            | Self::Point
            | Self::Stop
            | Self::Term
            | Self::Flood
            | Self::Memory
            | Self::Adopt
            | Self::Drain
            | Self::Lost
            | Self::Mixed => &[],
        }
    }

    /// How many steps may be live at once.
    pub(crate) fn slots(self) -> usize {
        match self {
            Self::Adopt => project::FAN + SLOTS,
            _ => SLOTS,
        }
    }

    /// What has to be there before the first server.
    pub(crate) fn prepare(self, world: &mut World) -> Result<()> {
        match self {
            Self::Clock | Self::Downtime => world.fake_time(),
            Self::Two => world.add_machine(),
            Self::Skewed => machines::prepare_skewed(world),
            Self::DiskFull => {
                let target = if world.random.below(2) == 0 {
                    ".mulgil"
                } else {
                    "warehouse"
                };
                world.note(format!("{target} is small"));
                disk::mount(world, target, "size=12m")
            }
            Self::InodesFull => disk::mount(world, ".mulgil", "size=64m,nr_inodes=600"),
            Self::DiskReadOnly => {
                let target = ["warehouse", ".mulgil/attempts", ".mulgil"][world.random.below(3) as usize];
                world.note(format!("{target} is read-only for a while"));
                disk::mount(world, target, "size=64m")
            }
            _ => Ok(()),
        }
    }

    /// Does its harm; a healthy server runs when it begins.
    pub(crate) fn inject(self, world: &mut World) -> Result<()> {
        match self {
            Self::Kill => kills::kill(world),
            Self::Point => kills::point(world),
            Self::Stop => kills::stop(world, kills::STOPPED),
            Self::Clock => clock::clock(world),
            Self::Downtime => clock::downtime(world),
            Self::DiskFull | Self::InodesFull => disk::full(world, self),
            Self::DiskReadOnly => disk::read_only(world),
            Self::Fsync => disk::fsync(world),
            Self::Term => tasks::term(world),
            Self::Flood => tasks::flood(world),
            Self::Memory => tasks::memory(world),
            Self::Adopt => tasks::adopt(world),
            Self::Drain => kills::drain(world),
            Self::Lost => kills::lost(world),
            Self::Mixed => kills::mixed(world),
            Self::Two => machines::two(world),
            Self::Skewed => machines::skewed(world),
            Self::PgKilled => database::killed(world),
            Self::PgHung => database::hung(world),
            Self::PgServerKill => database::server_kill(world),
        }
    }
}

/// The server does its work again without a restart: it says so, and takes a trigger.
fn ready_again(world: &mut World, when: &str) -> Result<()> {
    let began = Instant::now();
    let door = world.door();
    let mut said = String::new();
    let ready = wait::until(RECOVERY, Duration::from_millis(200), || {
        if door.is_ready() {
            said = "it is ready, and takes no trigger".to_owned();
            return world.fire_now("chain");
        }
        said = format!("{:?}", door.get("/readyz"));
        Ok(None)
    })?;
    if ready.is_some() {
        world.note(format!("ready {:.1} s {when}", began.elapsed().as_secs_f64()));
        return Ok(());
    }
    let words = world.last_words();
    world.expect(false, || format!("not ready {RECOVERY:?} {when}: {said}\n{words}"));
    world.kill()?;
    world.start()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_found_by_its_name_alone() {
        for fault in ALL {
            assert_eq!(Fault::named(fault.name()), Some(fault));
        }
        assert_eq!(Fault::named("no"), None);
    }

    #[test]
    fn plain_faults_need_no_more_than_a_postgresql() {
        let mut needs = PLAIN.iter().flat_map(|fault| fault.needs());
        assert!(needs.all(|need| *need == Need::Postgres));
    }
}
