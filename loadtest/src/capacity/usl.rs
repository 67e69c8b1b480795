//! The Universal Scalability Law (Gunther, "Guerrilla Capacity Planning", 2007): the throughput of `n` is
//! `lambda n / (1 + sigma (n - 1) + kappa n (n - 1))`.

use crate::number::{fraction, fraction_of_length, whole};

/// What `n` together can do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Law {
    /// What one alone can do.
    pub(crate) lambda: f64,
    /// The share that waits for something that only one can have: contention.
    pub(crate) sigma: f64,
    /// What each costs each other one: crosstalk.
    pub(crate) kappa: f64,
}

impl Law {
    /// The law that is nearest to these points, by least squares of the throughput (Levenberg 1944, Marquardt 1963).
    pub(crate) fn fit(points: &[(f64, f64)]) -> Result<Self, String> {
        const ROUNDS: usize = 500;
        let mut counts: Vec<f64> = points.iter().map(|point| point.0).collect();
        counts.sort_by(f64::total_cmp);
        counts.dedup();
        if counts.len() < 3 {
            return Err("three points of different sizes are needed at least, and six are better".to_owned());
        }
        let first = points.iter().map(|(n, x)| x / n).fold(0.0, f64::max);
        let mut law = Self { lambda: first, sigma: 0.01, kappa: 1e-6 };
        let (mut damping, mut error) = (1e-3, law.squares(points));
        for _ in 0..ROUNDS {
            let Some(next) = law.step(points, damping) else { break };
            let squares = next.squares(points);
            if squares < error {
                (law, error, damping) = (next, squares, damping / 3.0);
            } else {
                damping *= 4.0;
            }
        }
        Ok(law)
    }

    /// What `n` together can do.
    pub(crate) fn throughput(&self, n: f64) -> f64 {
        self.lambda * n / self.divisor(n)
    }

    /// How many do most, and how much that is; `None` when more always do more.
    pub(crate) fn peak(&self) -> Option<(f64, f64)> {
        /// What comes out of a fit to a law without crosstalk.
        const NONE: f64 = 1e-12;
        if self.kappa < NONE || self.sigma >= 1.0 {
            return None;
        }
        let best = ((1.0 - self.sigma) / self.kappa).sqrt().max(1.0);
        let around = [best.floor(), best.ceil()].map(|n| (n, self.throughput(n)));
        Some(if around[0].1 >= around[1].1 { around[0] } else { around[1] })
    }

    /// What without crosstalk any number stays below (Amdahl 1967); `None` when there is no limit.
    pub(crate) fn limit(&self) -> Option<f64> {
        (self.sigma > 1e-12).then(|| self.lambda / self.sigma)
    }

    /// The least number that reaches a throughput.
    pub(crate) fn needed(&self, throughput: f64) -> Option<u64> {
        /// More are none of anybody's.
        const MOST: f64 = 1e6;
        let (mut high, _) = self.peak().unwrap_or((MOST, 0.0));
        high = high.min(MOST);
        if self.throughput(high) < throughput {
            return None;
        }
        let (mut low, mut high) = (0, whole(high));
        // Up to the peak it only rises.
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.throughput(fraction(middle)) >= throughput { high = middle } else { low = middle }
        }
        Some(high)
    }

    /// Which share of what the points differ by the law explains: R squared.
    pub(crate) fn determination(&self, points: &[(f64, f64)]) -> f64 {
        let mean = points.iter().map(|point| point.1).sum::<f64>() / fraction_of_length(points.len());
        let spread: f64 = points.iter().map(|point| (point.1 - mean).powi(2)).sum();
        if spread > 0.0 { 1.0 - self.squares(points) / spread } else { 1.0 }
    }

    fn divisor(&self, n: f64) -> f64 {
        1.0 + self.sigma * (n - 1.0) + self.kappa * n * (n - 1.0)
    }

    fn squares(&self, points: &[(f64, f64)]) -> f64 {
        points.iter().map(|(n, x)| (x - self.throughput(*n)).powi(2)).sum()
    }

    /// One step of the fit. Costs below 0 are not in the law, so that it stops at 0.
    fn step(&self, points: &[(f64, f64)], damping: f64) -> Option<Self> {
        let (mut matrix, mut right) = ([[0.0; 3]; 3], [0.0; 3]);
        for (n, x) in points {
            let divisor = self.divisor(*n);
            let slope = -self.lambda * n / (divisor * divisor);
            let mut gradient = [n / divisor, slope * (n - 1.0), slope * n * (n - 1.0)];
            // What stands at 0 and would go below is left out, so that the others find their place without it.
            let rest = x - self.throughput(*n);
            for (place, value) in [(1, self.sigma), (2, self.kappa)] {
                if value <= 0.0 && self.pull(points, place) < 0.0 {
                    gradient[place] = 0.0;
                }
            }
            for row in 0..3 {
                right[row] += gradient[row] * rest;
                for column in 0..3 {
                    matrix[row][column] += gradient[row] * gradient[column];
                }
            }
        }
        for (place, row) in matrix.iter_mut().enumerate() {
            row[place] = if row[place] > 0.0 { row[place] * (1.0 + damping) } else { 1.0 };
        }
        let [lambda, sigma, kappa] = solve(matrix, right)?;
        let next = Self {
            lambda: self.lambda + lambda,
            sigma: (self.sigma + sigma).max(0.0),
            kappa: (self.kappa + kappa).max(0.0),
        };
        (next.lambda > 0.0 && next.lambda.is_finite()).then_some(next)
    }

    /// In which direction the points pull a parameter.
    fn pull(&self, points: &[(f64, f64)], place: usize) -> f64 {
        let pull = |(n, x): &(f64, f64)| {
            let by = if place == 1 { n - 1.0 } else { n * (n - 1.0) };
            -by * n * (x - self.throughput(*n)) / self.divisor(*n).powi(2)
        };
        points.iter().map(pull).sum()
    }
}

/// Three equations (Cramer's rule); `None` when they do not determine three unknowns.
fn solve(matrix: [[f64; 3]; 3], right: [f64; 3]) -> Option<[f64; 3]> {
    let determinant = |m: &[[f64; 3]; 3]| {
        m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
            + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0])
    };
    let whole = determinant(&matrix);
    let solved = std::array::from_fn(|column| {
        let mut replaced = matrix;
        for (row, value) in replaced.iter_mut().zip(right) {
            row[column] = value;
        }
        determinant(&replaced) / whole
    });
    solved.iter().all(|value: &f64| value.is_finite()).then_some(solved)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(one: f64, other: f64, share: f64) -> bool {
        (one / other - 1.0).abs() <= share
    }

    fn points_of(law: &Law, counts: &[f64]) -> Vec<(f64, f64)> {
        counts.iter().map(|n| (*n, law.throughput(*n))).collect()
    }

    /// The SPEC SDM91 benchmark, on which Gunther's book and the `usl` package of R fit the law.
    #[test]
    fn the_published_example_is_fitted_as_published() {
        let points = [
            (1.0, 64.9),
            (18.0, 995.9),
            (36.0, 1652.4),
            (72.0, 1853.2),
            (108.0, 1828.9),
            (144.0, 1775.0),
            (216.0, 1702.2),
        ];
        let law = Law::fit(&points).unwrap();
        assert!(close(law.lambda, 89.99, 0.005), "{law:?}");
        assert!(close(law.sigma, 0.0277, 0.005), "{law:?}");
        assert!(close(law.kappa, 0.000_104_4, 0.005), "{law:?}");
        let (count, throughput) = law.peak().unwrap();
        assert!((95.0..=98.0).contains(&count) && close(throughput, 1880.0, 0.02), "{count} {throughput}");
        assert!(law.determination(&points) > 0.98);
    }

    #[test]
    fn a_law_is_found_again_from_its_own_points() {
        let counts = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0];
        for law in [
            Law { lambda: 1000.0, sigma: 0.05, kappa: 0.001 },
            Law { lambda: 20_000.0, sigma: 0.0, kappa: 0.0 },
            Law { lambda: 500.0, sigma: 0.2, kappa: 0.0 },
            Law { lambda: 500.0, sigma: 0.0, kappa: 0.01 },
        ] {
            let found = Law::fit(&points_of(&law, &counts)).unwrap();
            assert!(close(found.lambda, law.lambda, 1e-3), "{found:?}");
            assert!((found.sigma - law.sigma).abs() < 1e-4 && (found.kappa - law.kappa).abs() < 1e-5, "{found:?}");
        }
    }

    #[test]
    fn better_than_linear_is_not_below_nothing() {
        let law = Law::fit(&[(1.0, 100.0), (2.0, 210.0), (4.0, 430.0), (8.0, 870.0)]).unwrap();
        assert!(law.sigma >= 0.0 && law.kappa >= 0.0 && law.lambda > 100.0, "{law:?}");
        assert_eq!(law.needed(1e12), None);
    }

    #[test]
    fn as_many_are_needed_as_reach_it() {
        let law = Law { lambda: 100.0, sigma: 0.1, kappa: 0.01 };
        let (best, most) = law.peak().unwrap();
        assert!((best - 9.0).abs() < 1.0);
        assert_eq!(law.needed(100.0), Some(1));
        assert_eq!(law.needed(100.1), Some(2));
        assert_eq!(law.needed(most), Some(whole(best)));
        assert_eq!(law.needed(most + 0.1), None);
        let straight = Law { lambda: 100.0, sigma: 0.0, kappa: 0.0 };
        assert_eq!((straight.needed(1000.0), straight.needed(1001.0), straight.peak()), (Some(10), Some(11), None));
    }

    #[test]
    fn too_few_points_are_refused() {
        assert!(Law::fit(&[]).is_err());
        assert!(Law::fit(&[(1.0, 10.0), (1.0, 11.0), (2.0, 20.0)]).is_err());
    }
}
