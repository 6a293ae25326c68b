//! Dense parameters and how they are moved: Adam (Kingma and Ba, ICLR 2015).

use super::file::{FileError, Reader};

const FIRST: f32 = 0.9;
const SECOND: f32 = 0.999;
/// Below this a root counts as this.
const TINY: f32 = 1e-8;

/// Parameters, their gradient, and its running moments.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dense {
    pub(crate) numbers: Vec<f32>,
    /// What the next step goes against.
    pub(crate) gradient: Vec<f32>,
    first: Vec<f32>,
    second: Vec<f32>,
}

/// The size of one step: the rate with both corrections for moments that started from 0.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step(f32);

impl Step {
    /// The `number`th step, from 1.
    pub(crate) fn new(rate: f32, number: u64) -> Self {
        let number = i32::try_from(number).unwrap_or(i32::MAX);
        Self(rate * (1.0 - SECOND.powi(number)).sqrt() / (1.0 - FIRST.powi(number)))
    }
}

impl Dense {
    pub(crate) fn new(numbers: Vec<f32>) -> Self {
        let zero = vec![0.0; numbers.len()];
        Self { gradient: zero.clone(), first: zero.clone(), second: zero, numbers }
    }

    /// Moves the numbers against the gradient.
    #[inline(always)]
    pub(crate) fn step(&mut self, Step(rate): Step) {
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((number, gradient), (first, second)) in self.numbers.iter_mut().zip(&self.gradient).zip(moments)
        {
            *first = FIRST * *first + (1.0 - FIRST) * gradient;
            *second = SECOND * *second + (1.0 - SECOND) * gradient * gradient;
            *number -= rate * *first / (second.sqrt() + TINY);
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        4 * size_of_val(&self.numbers[..])
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        for numbers in [&self.numbers, &self.first, &self.second] {
            numbers.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
        }
    }

    /// Reads as many numbers as there are.
    pub(crate) fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), FileError> {
        for number in self.numbers.iter_mut().chain(&mut self.first).chain(&mut self.second) {
            *number = reader.f32()?;
            if number.is_nan() || number.abs() > 1e12 {
                return Err(FileError::Invalid("a dense parameter is out of range"));
            }
        }
        if self.second.iter().any(|second| *second < 0.0) {
            return Err(FileError::Invalid("a mean of squares is negative"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_is_the_rate_and_steps_end_where_the_slope_does() {
        let mut dense = Dense::new(vec![3.0, -2.0]);
        dense.gradient = vec![0.02, -50.0];
        dense.step(Step::new(0.1, 1));
        // However steep it is, as the paper says in section 2.1.
        assert!((dense.numbers[0] - 2.9).abs() < 1e-4 && (dense.numbers[1] + 1.9).abs() < 1e-4);
        for number in 2..3000 {
            // The slope of (x - 1)^2 / 2.
            dense.gradient = dense.numbers.iter().map(|x| x - 1.0).collect();
            dense.step(Step::new(0.01, number));
        }
        assert!(dense.numbers.iter().all(|x| (x - 1.0).abs() < 0.01), "{:?}", dense.numbers);
    }
}
