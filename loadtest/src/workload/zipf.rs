//! Choosing by weight, in constant time however many there are to choose from.

use crate::number::{fraction, fraction_of_length};
use crate::random::Random;

/// The alias method (Walker 1977, in Vose's form of 1991): one column for each choice, filled up by one other.
#[derive(Debug)]
pub(crate) struct Weighted {
    columns: Vec<Column>,
}

#[derive(Clone, Copy, Debug)]
struct Column {
    /// Below this share of the column it is the column's own choice that counts.
    own: f64,
    other: u32,
}

impl Weighted {
    /// Choices by these weights, of which one at least must be above 0, and none below.
    pub(crate) fn new(weights: &[f64]) -> Self {
        let mean = weights.iter().sum::<f64>() / fraction_of_length(weights.len());
        let number = |index: usize| u32::try_from(index).expect("a population is bounded far below 2^32");
        let mut columns: Vec<Column> =
            weights.iter().enumerate().map(|(index, w)| Column { own: w / mean, other: number(index) }).collect();
        let (mut low, mut high): (Vec<usize>, Vec<usize>) =
            (0..weights.len()).partition(|&index| columns[index].own < 1.0);
        while let (Some(poor), Some(&rich)) = (low.pop(), high.last()) {
            columns[poor].other = number(rich);
            columns[rich].own -= 1.0 - columns[poor].own;
            if columns[rich].own < 1.0 {
                high.pop();
                low.push(rich);
            }
        }
        // What is left differs from 1 by rounding only.
        for index in low.into_iter().chain(high) {
            columns[index].own = 1.0;
        }
        Self { columns }
    }

    /// Zipf's law: the `k`-th of `count` is chosen in proportion to `k` to the power of `-exponent`; 0 is even.
    pub(crate) fn zipf(count: usize, exponent: f64) -> Self {
        let weights: Vec<f64> = (1..=count as u64).map(|rank| fraction(rank).powf(-exponent)).collect();
        Self::new(&weights)
    }

    /// Chooses one.
    pub(crate) fn choose(&self, random: &mut Random) -> usize {
        let index = random.below(self.columns.len());
        let column = self.columns[index];
        if random.unit() < column.own { index } else { column.other as usize }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frequencies(choices: &Weighted, count: usize, draws: u32) -> Vec<f64> {
        let mut random = Random::new(11, 0);
        let mut seen = vec![0.0; count];
        for _ in 0..draws {
            seen[choices.choose(&mut random)] += 1.0 / f64::from(draws);
        }
        seen
    }

    #[test]
    fn weights_are_kept_and_nothing_of_weight_0_is_chosen() {
        let seen = frequencies(&Weighted::new(&[1.0, 0.0, 2.0, 5.0]), 4, 200_000);
        for (seen, due) in seen.iter().zip([0.125, 0.0, 0.25, 0.625]) {
            assert!((seen - due).abs() < 0.005, "{seen} instead of {due}");
        }
        assert!(seen[1] == 0.0);
    }

    #[test]
    fn zipf_has_its_moments() {
        for exponent in [0.0, 0.8, 1.0, 1.5] {
            let count = 1000;
            let weights: Vec<f64> = (1..=count).map(|rank| f64::from(rank).powf(-exponent)).collect();
            let total: f64 = weights.iter().sum();
            let moment = |power: i32, shares: &[f64]| -> f64 {
                (1..=count).zip(shares).map(|(rank, share)| f64::from(rank).powi(power) * share).sum()
            };
            let due: Vec<f64> = weights.iter().map(|weight| weight / total).collect();
            let seen = frequencies(&Weighted::zipf(1000, exponent), 1000, 400_000);
            for power in [1, 2] {
                let (seen, due) = (moment(power, &seen), moment(power, &due));
                assert!((seen / due - 1.0).abs() < 0.02, "exponent {exponent}, moment {power}: {seen}, {due}");
            }
            assert!((seen[0] - due[0]).abs() < 0.005);
        }
    }
}
