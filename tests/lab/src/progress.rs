//! What a person sees while the lab works: moving lines on a terminal, plain lines with elapsed times elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Progress of one command of the lab.
pub struct Progress {
    started: Instant,
    bars: Option<MultiProgress>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    lines: BTreeMap<String, ProgressBar>,
    said: BTreeSet<(String, String)>,
    times: Vec<(String, Duration)>,
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Progress {
    /// Starts the clock.
    pub fn new() -> Self {
        let bars = std::io::stderr().is_terminal().then(MultiProgress::new);
        Self { started: Instant::now(), bars, inner: Mutex::default() }
    }

    /// Says what `part` does now.
    pub fn say(&self, part: &str, message: &str) {
        let Some(bars) = &self.bars else {
            return eprintln!("{:>7.1}s {part:<10} {message}", self.started.elapsed().as_secs_f64());
        };
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = inner.lines.entry(part.to_owned()).or_insert_with(|| {
            let bar = bars.add(ProgressBar::new_spinner());
            let style = ProgressStyle::with_template("{spinner} {elapsed:>4} {prefix:12} {wide_msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar.with_prefix(part.to_owned())
        });
        bar.set_message(message.to_owned());
    }

    /// Says once that `thing` of `part` is ready, however often it is looked at.
    pub fn ready(&self, part: &str, thing: &str, since: Instant) {
        let said = (part.to_owned(), thing.to_owned());
        if self.inner.lock().unwrap_or_else(PoisonError::into_inner).said.insert(said) {
            self.say(part, &format!("{thing} ready ({:.1} s)", since.elapsed().as_secs_f64()));
        }
    }

    /// Says that `part` is done with `step`, which began at `since`, and keeps the time for the end.
    pub fn done(&self, part: &str, step: &str, since: Instant) {
        let took = since.elapsed();
        self.say(part, &format!("{step} ({:.1} s)", took.as_secs_f64()));
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.times.push((format!("{part}: {step}"), took));
    }

    /// Ends the display and gives the measured times, with the whole as the last.
    pub fn finish(&self) -> Vec<(String, Duration)> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        for bar in inner.lines.values() {
            bar.finish();
        }
        let mut times = std::mem::take(&mut inner.times);
        times.push(("everything".into(), self.started.elapsed()));
        times
    }
}
