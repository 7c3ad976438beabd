//! Clocks that are set, and days without a server.

use anyhow::Result;

use crate::chaos::scheduler::world::World;

/// Three days, in seconds.
const DAYS_S: i64 = 3 * 86_400;

pub(super) fn clock(world: &mut World) -> Result<()> {
    const HOURS_S: i64 = 2 * 3600;
    let mut now = 0;
    let jumps = 2 + world.random.below(2);
    for _ in 0..jumps {
        world.fire_some(3);
        world.pass(200, 1500);
        let by = [HOURS_S, -HOURS_S, DAYS_S][world.random.below(3) as usize];
        now += by;
        world.set_clock(now)?;
        world.note(format!("{by:+} s"));
        world.fire_some(3);
        world.pass(1500, 4000);
        if world.random.below(3) == 0 {
            world.kill()?;
            world.start()?;
        }
    }
    storms(world, jumps)
}

pub(super) fn downtime(world: &mut World) -> Result<()> {
    world.fire_some(4);
    world.pass(200, 1500);
    world.kill()?;
    world.set_clock(DAYS_S)?;
    world.start()?;
    world.fire_some(3);
    world.pass(2000, 4000);
    storms(world, 1)
}

/// A schedule that missed much makes up for it once, not once a minute.
fn storms(world: &mut World, jumps: u64) -> Result<()> {
    for flow in ["minutely", "never"] {
        let count = world.count_runs(flow)?;
        // One for each jump, and one for each minute that really passed.
        world.expect(count as u64 <= jumps + 4, || {
            format!("{flow} ran {count} times over {jumps} jumps of the clock")
        });
    }
    Ok(())
}
