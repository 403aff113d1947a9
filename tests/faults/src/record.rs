//! What went through the proxy.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::call::{Call, Kind};
use crate::plan::Fault;

/// One call and what became of it.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// The call.
    pub call: Call,
    /// What was done to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// Status of the server's answer; none while there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// Milliseconds since the proxy began.
    pub at: u128,
}

struct Inner {
    entries: Vec<Entry>,
    last_write: Instant,
}

/// Every call since the beginning, or since it was last forgotten.
pub struct Record {
    began: Instant,
    inner: Mutex<Inner>,
}

impl Default for Record {
    fn default() -> Self {
        let now = Instant::now();
        Self { began: now, inner: Mutex::new(Inner { entries: Vec::new(), last_write: now }) }
    }
}

impl Record {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call came; its place, for the answer.
    pub fn came(&self, call: Call, fault: Option<Fault>) -> usize {
        let mut inner = self.inner();
        if call.kind == Kind::Write {
            inner.last_write = Instant::now();
        }
        inner.entries.push(Entry { call, fault, code: None, at: self.began.elapsed().as_millis() });
        inner.entries.len() - 1
    }

    /// The server answered.
    pub fn answered(&self, place: usize, code: u16) {
        if let Some(entry) = self.inner().entries.get_mut(place) {
            entry.code = Some(code);
        }
    }

    /// What came so far.
    pub fn entries(&self) -> Vec<Entry> {
        self.inner().entries.clone()
    }

    /// Time since the last write came.
    pub fn quiet_for(&self) -> Duration {
        self.inner().last_write.elapsed()
    }
}

/// A line for people.
impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let call = &self.call;
        let code = self.code.map_or_else(|| "-".to_owned(), |c| c.to_string());
        let manager = call.manager.as_deref().unwrap_or("-");
        write!(
            f,
            "{:>6} ms {:?} {} {} {} by {manager}: {code}",
            self.at, call.kind, call.number, call.method, call.path
        )?;
        match &self.fault {
            Some(fault) => write!(f, " ({fault:?})"),
            None => Ok(()),
        }
    }
}
