//! Whether two sets of figures differ, without supposing that they are distributed in any particular way.

use crate::number::{fraction_of_length, index};
use crate::random::Random;

/// The middle one, or the mean of the two in the middle; 0 of none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        length if length % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// The result of a rank test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RankTest {
    /// The smaller of both statistics.
    pub(crate) u: f64,
    /// How likely ranks as uneven as these are, when there is no difference; two-sided.
    pub(crate) p_value: f64,
}

/// Up to this many on each side, without ties, the distribution is counted out.
const EXACT: usize = 30;

/// The test of Mann and Whitney (1947): exact where it can be, else by the normal approximation with correction for
/// ties and for continuity.
pub(crate) fn mann_whitney(one: &[f64], other: &[f64]) -> RankTest {
    let (m, n) = (one.len(), other.len());
    if m == 0 || n == 0 {
        return RankTest { u: 0.0, p_value: 1.0 };
    }
    let pairs = fraction_of_length(m * n);
    let wins = one.iter().flat_map(|a| other.iter().map(move |b| a.partial_cmp(b)));
    let u: f64 = wins
        .map(|order| match order {
            Some(std::cmp::Ordering::Greater) => 1.0,
            Some(std::cmp::Ordering::Equal) => 0.5,
            _ => 0.0,
        })
        .sum();
    let u = u.min(pairs - u);
    let ties = tie_sum(one, other);
    let p_value = if ties == 0.0 && m <= EXACT && n <= EXACT { exact(m, n, u) } else { approximate(m, n, u, ties) };
    RankTest { u, p_value: p_value.min(1.0) }
}

/// The share of all arrangements of ranks with a statistic of at most `u`, on both sides.
fn exact(m: usize, n: usize, u: f64) -> f64 {
    // ways[k][s]: how many choices of k among the ranks so far have a statistic of s.
    let most = m * n;
    let mut ways = vec![vec![0.0_f64; most + 1]; m + 1];
    ways[0][0] = 1.0;
    for rank in 0..m + n {
        for chosen in (1..=m.min(rank + 1)).rev() {
            // The chosen one stands above all that were not chosen before it.
            let above = rank + 1 - chosen;
            if above > n {
                continue;
            }
            for sum in (above..=most).rev() {
                ways[chosen][sum] += ways[chosen - 1][sum - above];
            }
        }
    }
    let total: f64 = ways[m].iter().sum();
    let extreme: f64 = ways[m][..=index(u, most + 1)].iter().sum();
    2.0 * extreme / total
}

fn approximate(m: usize, n: usize, u: f64, ties: f64) -> f64 {
    let [m, n] = [m, n].map(fraction_of_length);
    let all = m + n;
    let variance = m * n / 12.0 * (all + 1.0 - ties / (all * (all - 1.0)));
    if variance <= 0.0 {
        return 1.0;
    }
    let distance = ((u - m * n / 2.0).abs() - 0.5).max(0.0) / variance.sqrt();
    complementary_error(distance / std::f64::consts::SQRT_2)
}

/// The sum of t^3 - t over groups of `t` equal values.
fn tie_sum(one: &[f64], other: &[f64]) -> f64 {
    let mut all = [one, other].concat();
    all.sort_by(f64::total_cmp);
    let groups = all.chunk_by(|a, b| a.total_cmp(b).is_eq());
    groups.map(|group| fraction_of_length(group.len())).map(|t| t * t * t - t).sum()
}

/// erfc, to 1.2e-7 (Press et al., Numerical Recipes, section 6.2).
fn complementary_error(x: f64) -> f64 {
    const COEFFICIENTS: [f64; 10] = [
        0.170_872_77,
        -0.822_152_23,
        1.488_515_87,
        -1.135_203_98,
        0.278_868_07,
        -0.186_288_06,
        0.096_784_18,
        0.374_091_96,
        1.000_023_68,
        -1.265_512_23,
    ];
    let t = 1.0 / (1.0 + 0.5 * x.abs());
    let series = COEFFICIENTS.into_iter().reduce(|sum, next| sum * t + next).unwrap_or_default();
    let tail = t * (series - x * x).exp();
    if x >= 0.0 { tail } else { 2.0 - tail }
}

/// The interval in which the relative difference of the medians, of `other` from `one`, lies with 95 per cent
/// confidence: the percentile bootstrap (Efron 1979).
pub(crate) fn bootstrap(one: &[f64], other: &[f64], seed: u64) -> (f64, f64) {
    const RESAMPLES: usize = 10_000;
    const TAIL: f64 = 0.025;
    if one.is_empty() || other.is_empty() {
        return (f64::NEG_INFINITY, f64::INFINITY);
    }
    let mut random = Random::new(seed, 4 << 32);
    let mut resample = |values: &[f64]| -> f64 {
        let again: Vec<f64> = values.iter().map(|_| values[random.below(values.len())]).collect();
        median(&again)
    };
    let mut differences: Vec<f64> = (0..RESAMPLES).map(|_| difference(resample(one), resample(other))).collect();
    differences.sort_by(f64::total_cmp);
    let at = |share: f64| differences[index(share * fraction_of_length(RESAMPLES), RESAMPLES)];
    (at(TAIL), at(1.0 - TAIL))
}

/// By which share `other` is more than `one`.
pub(crate) fn difference(one: f64, other: f64) -> f64 {
    if one == 0.0 && other == 0.0 { 0.0 } else { other / one - 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(one: f64, other: f64, within: f64) -> bool {
        (one - other).abs() <= within
    }

    #[test]
    fn medians() {
        assert!(close(median(&[3.0, 1.0, 2.0]), 2.0, 0.0) && close(median(&[4.0, 1.0, 2.0, 3.0]), 2.5, 0.0));
        assert!(close(median(&[]), 0.0, 0.0));
    }

    /// Counted by hand: of the 252 ways to choose 5 of 10 ranks, 1 has U = 0, 2 have at most 1, 4 at most 2.
    #[test]
    fn exact_p_values_are_those_of_the_published_tables() {
        let low = [1.0, 2.0, 3.0, 4.0, 5.0];
        let test = mann_whitney(&low, &[6.0, 7.0, 8.0, 9.0, 10.0]);
        assert!(close(test.u, 0.0, 0.0) && close(test.p_value, 2.0 / 252.0, 1e-12), "{test:?}");
        let test = mann_whitney(&[1.0, 2.0, 3.0, 4.0, 7.0], &[5.0, 6.0, 8.0, 9.0, 10.0]);
        assert!(close(test.u, 2.0, 0.0) && close(test.p_value, 8.0 / 252.0, 1e-12), "{test:?}");
        // The critical values at 0.05, two-sided: 2 for 5 and 5, 8 for 7 and 7, 23 for 10 and 10, 127 for 20 and 20.
        for (size, critical) in [(5, 2.0), (7, 8.0), (10, 23.0), (20, 127.0)] {
            assert!(exact(size, size, critical) <= 0.05, "{size}");
            assert!(exact(size, size, critical + 1.0) > 0.05, "{size}");
        }
        assert!(exact(8, 12, 22.0) <= 0.05 && exact(8, 12, 23.0) > 0.05);
    }

    #[test]
    fn the_approximation_agrees_and_takes_ties() {
        for u in [100.0, 127.0, 150.0, 190.0] {
            assert!(close(approximate(20, 20, u, 0.0), exact(20, 20, u), 0.005), "{u}");
        }
        // By hand: one tie across both sides, so U is 0.5; two pairs of equals, so t^3 - t adds up to 12.
        let test = mann_whitney(&[1.0, 2.0, 2.0, 3.0], &[3.0, 4.0, 5.0, 6.0]);
        assert!(close(test.u, 0.5, 0.0), "{test:?}");
        let variance: f64 = 16.0 / 12.0 * (9.0 - 12.0 / 56.0);
        let z = (8.0 - 0.5 - 0.5) / variance.sqrt();
        assert!(close(test.p_value, complementary_error(z / 2_f64.sqrt()), 1e-12));
        assert!(close(mann_whitney(&[1.0; 5], &[1.0; 5]).p_value, 1.0, 0.0));
        assert!(close(mann_whitney(&[], &[1.0]).p_value, 1.0, 0.0));
    }

    #[test]
    fn the_error_function_has_its_published_values() {
        for (x, value) in
            [(0.0, 1.0), (0.5, 0.479_500_122), (1.0, 0.157_299_207), (2.0, 0.004_677_735), (-1.0, 1.842_700_793)]
        {
            assert!(close(complementary_error(x), value, 2e-7), "{x}");
        }
    }

    #[test]
    fn the_interval_holds_the_difference_and_narrows_with_more_figures() {
        let mut random = Random::new(1, 1);
        let mut sample = |middle: f64, size: usize| -> Vec<f64> {
            (0..size).map(|_| middle * (0.9 + 0.2 * random.unit())).collect()
        };
        let (few, many) = ((sample(100.0, 10), sample(120.0, 10)), (sample(100.0, 200), sample(120.0, 200)));
        let (low, high) = bootstrap(&few.0, &few.1, 0);
        let (lower, higher) = bootstrap(&many.0, &many.1, 0);
        assert!(low < 0.2 && 0.2 < high, "{low} {high}");
        assert!(lower < 0.21 && 0.19 < higher && higher - lower < high - low, "{lower} {higher}");
        assert_eq!(bootstrap(&few.0, &few.1, 0), (low, high));
        let same = [5.0; 8];
        assert_eq!(bootstrap(&same, &same, 0), (0.0, 0.0));
    }
}
