//! What a failure means to the queue, decided once.

use std::time::Duration;

/// What a failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Only another object or spec can help: no retry, the watch will wake us.
    Terminal,
    /// A server is unwell: retried with back-off.
    Transient,
    /// Somebody else wrote at the same time: retried soon.
    Conflict,
}

/// An error that knows what it means and under which bounded label it is counted.
pub trait Classified: std::error::Error {
    /// What it means.
    fn class(&self) -> Class;
    /// Bounded label for metrics; never names or messages.
    fn label(&self) -> &'static str;
}

/// Time until the next try: doubles from 250 ms to 30 s; conflicts are retried after 100 ms at first.
pub fn backoff(class: Class, attempt: u32) -> Option<Duration> {
    let doubled = |base: u64| Duration::from_millis(base.saturating_mul(1 << attempt.min(8)).min(30_000));
    match class {
        Class::Terminal => None,
        Class::Conflict => Some(doubled(100)),
        Class::Transient => Some(doubled(250)),
    }
}

/// Class of an answer of an API server.
pub fn class_of(error: &kube::Error) -> Class {
    match error {
        kube::Error::Api(status) if status.code == 409 => Class::Conflict,
        // 422 and 400 are about what we sent; the same again would get the same answer.
        kube::Error::Api(status) if matches!(status.code, 400 | 422) => Class::Terminal,
        _ => Class::Transient,
    }
}

/// An error with its causes, for people: `a: b: c`.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let cause = source.to_string();
        if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
        next = source.source();
    }
    text
}
