//! Each ratio with its bar and whether it is met. Nothing is judged by an absolute time.

use serde::Serialize;

use crate::stats::{median, spread};

/// One line of the report.
#[derive(Debug, Clone, Serialize)]
pub struct Ratio {
    /// What was measured.
    pub what: String,
    /// Every measurement.
    pub values: Vec<f64>,
    /// The bar; none where the number is only shown.
    pub bar: Option<f64>,
}

impl Ratio {
    /// A number with a bar.
    pub fn new(what: impl Into<String>, values: Vec<f64>, bar: f64) -> Self {
        Self { what: what.into(), values, bar: Some(bar) }
    }

    /// A number without one.
    pub fn shown(what: impl Into<String>, values: Vec<f64>) -> Self {
        Self { what: what.into(), values, bar: None }
    }

    /// Whether the median keeps the bar; none without a bar or without measurements.
    pub fn met(&self) -> Option<bool> {
        Some(median(&self.values)? <= self.bar?)
    }

    fn line(&self) -> String {
        let (Some(middle), Some((low, high))) = (median(&self.values), spread(&self.values)) else {
            return format!("{:<58} not measured\n", self.what);
        };
        let range = if self.values.len() > 1 { format!("({low:.2}..{high:.2})") } else { String::new() };
        let verdict = match (self.bar, self.met()) {
            (Some(bar), Some(true)) => format!("bar {bar:.2}: met"),
            (Some(bar), _) => format!("bar {bar:.2}: NOT met"),
            _ => String::new(),
        };
        format!("{:<58} {middle:>8.2} {range:<16} {verdict}\n", self.what)
    }
}

/// The report as text.
pub fn print(ratios: &[Ratio]) -> String {
    ratios.iter().map(Ratio::line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_judged_and_nothing_is_not_met() {
        assert_eq!(Ratio::new("a", vec![1.0, 9.0, 1.2], 1.5).met(), Some(true));
        assert_eq!(Ratio::new("a", vec![1.6], 1.5).met(), Some(false));
        assert_eq!(Ratio::new("a", vec![], 1.5).met(), None);
        let text = print(&[Ratio::new("a", vec![1.6], 1.5), Ratio::new("b", vec![], 1.0)]);
        assert!(text.contains("NOT met") && text.contains("not measured"), "{text}");
    }
}
