//! Random numbers from a seed: the same ones on every machine and in every version, so that a run can be repeated.

use crate::number::fraction;

/// xoshiro256++ (Blackman and Vigna, 2019), seeded by `SplitMix64` as its authors recommend.
#[derive(Clone, Debug)]
pub(crate) struct Random([u64; 4]);

impl Random {
    /// The numbers of a seed. Different streams of one seed have nothing to do with each other.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let mut state = seed ^ stream.wrapping_mul(0xd134_2543_de82_ef95);
        Self(std::array::from_fn(|_| split_mix(&mut state)))
    }

    /// The next 64 bits.
    pub(crate) fn bits(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.0;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }

    /// Evenly from 0 to 1, without 1.
    pub(crate) fn unit(&mut self) -> f64 {
        fraction(self.bits() >> 11) / fraction(1 << 53)
    }

    /// Evenly from 0 to `bound`, without it; 0 for a bound of 0. The bias is below 2^-32 for the sizes of lists.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let product = u128::from(self.bits()) * bound as u128;
        usize::try_from(product >> 64).expect("a share of a length is a length")
    }

    /// The time between two arrivals of a Poisson process, in units of its mean.
    pub(crate) fn exponential(&mut self) -> f64 {
        // 1 - u is never 0, so the logarithm is finite.
        -(1.0 - self.unit()).ln()
    }

    /// A text of so many letters and digits.
    pub(crate) fn text(&mut self, length: usize) -> String {
        const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        (0..length).map(|_| char::from(LETTERS[self.below(LETTERS.len())])).collect()
    }
}

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn split_mix_gives_its_published_numbers() {
        let mut state = 1_234_567;
        let first: Vec<u64> = (0..3).map(|_| split_mix(&mut state)).collect();
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn xoshiro_gives_its_published_numbers() {
        let mut random = Random([1, 2, 3, 4]);
        let first: Vec<u64> = (0..4).map(|_| random.bits()).collect();
        assert_eq!(first, [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386]);
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        let mut random = Random::new(7, 0);
        let count = 200_000;
        let (mut even, mut times, mut squares) = (0.0, 0.0, 0.0);
        for _ in 0..count {
            even += random.unit();
            let time = random.exponential();
            times += time;
            squares += time * time;
        }
        let mean = |sum: f64| sum / f64::from(count);
        assert!((mean(even) - 0.5).abs() < 0.003);
        // Mean 1 and variance 1: so the second moment is 2.
        assert!((mean(times) - 1.0).abs() < 0.01, "{}", mean(times));
        assert!((mean(squares) - 2.0).abs() < 0.05, "{}", mean(squares));
    }

    #[test]
    fn streams_differ_and_seeds_repeat() {
        assert_eq!(Random::new(1, 2).bits(), Random::new(1, 2).bits());
        assert_ne!(Random::new(1, 2).bits(), Random::new(1, 3).bits());
        assert_ne!(Random::new(1, 2).bits(), Random::new(2, 2).bits());
        assert!((0..1000).all(|number| Random::new(3, number).below(10) < 10));
        assert_eq!(Random::new(1, 1).below(0), 0);
    }
}
