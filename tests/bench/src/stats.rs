//! Medians, spreads and percentiles of small samples.

/// Median of some numbers; nothing of none.
pub fn median(numbers: &[f64]) -> Option<f64> {
    percentile(numbers, 50.0)
}

/// Nearest-rank percentile; nothing of none.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)] // small counts
pub fn percentile(numbers: &[f64], percent: f64) -> Option<f64> {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

/// Smallest and greatest; nothing of none.
pub fn spread(numbers: &[f64]) -> Option<(f64, f64)> {
    let first = *numbers.first()?;
    Some(numbers.iter().fold((first, first), |(low, high), n| (low.min(*n), high.max(*n))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let numbers = [5.0, 1.0, 4.0, 2.0, 3.0];
        assert_eq!(median(&numbers), Some(3.0));
        assert_eq!(percentile(&numbers, 99.0), Some(5.0));
        assert_eq!(percentile(&numbers, 0.0), Some(1.0));
        assert_eq!(spread(&numbers), Some((1.0, 5.0)));
        assert_eq!((median(&[]), spread(&[])), (None, None));
    }
}
