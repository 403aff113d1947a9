//! Worlds that tests borrow, one each.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::try_join_all;
use tokio::runtime::Runtime;

use super::world::{Plan, World};

/// As many worlds as tests run at once.
pub struct Pool(Mutex<Vec<World>>);

impl Pool {
    /// Starts them beside each other, in the thread that calls: servers end with the thread that started them.
    pub fn start(count: usize) -> anyhow::Result<Self> {
        let plan = Plan::from_environment()?;
        let runtime = Arc::new(Runtime::new()?);
        let worlds = runtime.block_on(try_join_all((0..count).map(|_| World::start(&plan, &runtime))))?;
        Ok(Self(Mutex::new(worlds)))
    }

    fn free(&self) -> MutexGuard<'_, Vec<World>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A world for one test. There are as many as tests at once, so one is free.
    pub fn lend(&self) -> Lent<'_> {
        let world = self.free().pop();
        assert!(world.is_some(), "more tests at once than worlds");
        Lent { pool: self, world }
    }
}

/// A borrowed world; it goes back when the test ends, however it ends: a test that panicked leaves the control planes as
/// good as they were.
pub struct Lent<'a> {
    pool: &'a Pool,
    world: Option<World>,
}

impl Deref for Lent<'_> {
    type Target = World;

    fn deref(&self) -> &World {
        self.world.as_ref().unwrap()
    }
}

impl DerefMut for Lent<'_> {
    fn deref_mut(&mut self) -> &mut World {
        self.world.as_mut().unwrap()
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.pool.free().extend(self.world.take());
    }
}
