//! How a [`Deep`](super::Deep) model is made and learned.

use crate::offline::file::{FileError, Reader};
use crate::offline::learner::{SettingsError, check};
use crate::offline::linear::LinearSettings;
use crate::offline::matrix::PANEL;

/// The most hidden layers.
const LAYERS: usize = 4;

/// How vectors, weighted pairs and network are made and learned.
#[derive(Clone, Debug, PartialEq)]
pub struct DeepSettings {
    /// The weights.
    pub linear: LinearSettings,
    /// How many fields there are, 1 to 256; a slot of any further field has a weight only.
    pub fields: u16,
    /// Numbers in a feature's vector: 8 or 16.
    pub size: u8,
    /// The table has vectors for 2 to this power features, 4 to 28, of 8 bytes times their numbers.
    pub bits: u8,
    /// Size of the vectors' steps; above 0.
    pub rate: f32,
    /// What the vectors' sums of squared gradients start from; above 0.
    pub caution: f32,
    /// Draws vectors to 0; from 0.
    pub l2: f32,
    /// Vectors' numbers start within this on both sides of 0; 0 to 1.
    pub start: f32,
    /// With which strength all pairs of fields start; -10 to 10.
    pub strength: f32,
    /// Units of each hidden layer, first to last: multiples of 16 up to 512, 4 layers at most. None: pairs alone.
    pub hidden: Vec<u16>,
    /// Size of the steps of all that is dense; above 0.
    pub dense_rate: f32,
    /// Whether hidden units are normalised within a minibatch.
    pub normalise: bool,
    /// Which share of the hidden units is dropped while learning; 0 to 0.9, in steps of 1/256.
    pub dropout: f32,
    /// Rows learned at once; 1 to 4096.
    pub minibatch: u16,
    /// Over so many minibatches the dense steps grow to their size.
    pub warm_up: u32,
    /// After each pass the dense steps are multiplied by this; above 0, up to 1.
    pub decay: f32,
    /// Chooses starts and what is dropped.
    pub seed: u64,
}

impl Default for DeepSettings {
    fn default() -> Self {
        Self {
            linear: LinearSettings::default(),
            fields: 16,
            size: 8,
            bits: 18,
            rate: 0.1,
            caution: 1.0,
            l2: 0.0,
            start: 0.05,
            strength: 0.5,
            hidden: vec![64, 32],
            dense_rate: 1e-3,
            normalise: false,
            dropout: 0.0,
            minibatch: 128,
            warm_up: 100,
            decay: 0.5,
            seed: 1,
        }
    }
}

impl DeepSettings {
    pub(crate) fn check(&self) -> Result<(), SettingsError> {
        self.linear.check()?;
        let positive = |x: f32| x > 0.0 && x <= 1e3;
        check((1..=256).contains(&self.fields), "fields", self.fields, "from 1 to 256")?;
        check([8, 16].contains(&self.size), "size of the vectors", self.size, "8 or 16")?;
        check((4..=28).contains(&self.bits), "bits of the vectors", self.bits, "from 4 to 28")?;
        check(positive(self.rate), "rate of the vectors", self.rate, "above 0, up to 1000")?;
        // Sums of squares stay normal numbers, as the quick root needs.
        check(
            (1e-6..=1e3).contains(&self.caution),
            "caution of the vectors",
            self.caution,
            "from 1e-6 to 1000",
        )?;
        check((0.0..=1.0).contains(&self.l2), "l2 of the vectors", self.l2, "from 0 to 1")?;
        check((0.0..=1.0).contains(&self.start), "start of the vectors", self.start, "from 0 to 1")?;
        check(self.strength.abs() <= 10.0, "strength of pairs", self.strength, "from -10 to 10")?;
        check(self.hidden.len() <= LAYERS, "number of hidden layers", self.hidden.len() as f64, "up to 4")?;
        for units in &self.hidden {
            let whole = (16..=512).contains(units) && units.is_multiple_of(PANEL as u16);
            check(whole, "units of a hidden layer", *units, "a multiple of 16 from 16 to 512")?;
        }
        check(
            self.dense_rate > 0.0 && self.dense_rate <= 1.0,
            "dense rate",
            self.dense_rate,
            "above 0, up to 1",
        )?;
        check((0.0..=0.9).contains(&self.dropout), "dropout", self.dropout, "from 0 to 0.9")?;
        check((1..=4096).contains(&self.minibatch), "minibatch", self.minibatch, "from 1 to 4096")?;
        check(self.decay > 0.0 && self.decay <= 1.0, "decay", self.decay, "above 0, up to 1")
    }

    /// Numbers of all fields' vectors, filled up for the first layer.
    pub(crate) fn width(&self) -> usize {
        (usize::from(self.fields) * usize::from(self.size)).next_multiple_of(PANEL)
    }

    /// Of 256 units those that are dropped.
    pub(crate) fn dropped(&self) -> u8 {
        (self.dropout * 256.0) as u8
    }

    /// Size of the dense steps of a minibatch, counted from 1, in a pass, counted from 0.
    pub(crate) fn rate_at(&self, minibatch: u64, pass: u32) -> f32 {
        let warm = (minibatch as f32 / self.warm_up.max(1) as f32).min(1.0);
        self.dense_rate * warm * self.decay.powi(pass.min(1000).cast_signed())
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let LinearSettings { bits, rate, caution, l1, l2 } = self.linear;
        out.extend_from_slice(&[
            bits,
            self.size,
            self.bits,
            self.hidden.len() as u8,
            u8::from(self.normalise),
        ]);
        for number in [self.fields, self.minibatch].iter().chain(&self.hidden) {
            out.extend_from_slice(&u32::from(*number).to_le_bytes());
        }
        for number in [rate, caution, l1, l2, self.rate, self.caution, self.l2, self.start, self.strength] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for number in [self.dense_rate, self.dropout, self.decay] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.warm_up.to_le_bytes());
        out.extend_from_slice(&self.seed.to_le_bytes());
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, FileError> {
        let (linear_bits, size, bits) = (reader.u8()?, reader.u8()?, reader.u8()?);
        let layers = usize::from(reader.u8()?).min(LAYERS + 1);
        let normalise = reader.u8()? != 0;
        let short = |reader: &mut Reader<'_>| {
            u16::try_from(reader.u32()?).map_err(|_| FileError::Invalid("a setting is out of range"))
        };
        let (fields, minibatch) = (short(reader)?, short(reader)?);
        let hidden = (0..layers).map(|_| short(reader)).collect::<Result<Vec<u16>, FileError>>()?;
        let mut number = || reader.f32();
        let linear = LinearSettings {
            bits: linear_bits,
            rate: number()?,
            caution: number()?,
            l1: number()?,
            l2: number()?,
        };
        let (rate, caution, l2, start, strength) = (number()?, number()?, number()?, number()?, number()?);
        let (dense_rate, dropout, decay) = (number()?, number()?, number()?);
        Ok(Self {
            linear,
            fields,
            size,
            bits,
            rate,
            caution,
            l2,
            start,
            strength,
            hidden,
            dense_rate,
            normalise,
            dropout,
            minibatch,
            warm_up: reader.u32()?,
            decay,
            seed: reader.u64()?,
        })
    }
}
