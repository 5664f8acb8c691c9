//! One model as it is, or scaled.

use consilience_core::Result;
use consilience_core::registry::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::combine;
use crate::method::{BaseNeed, MergeMethod, Needs, PerMember};
use crate::work::{Cut, Work};

/// The member's tensors, times `scale`: with layers of several models one after the other it makes a deeper one.
///
/// # Reference
/// Kim and others, "SOLAR 10.7B: scaling large language models with simple yet effective depth up-scaling", NAACL 2024.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Passthrough {
    /// What the tensors are multiplied with.
    pub scale: PerMember,
}

impl Default for Passthrough {
    fn default() -> Self {
        Self { scale: PerMember::All(1.0) }
    }
}

impl Method for Passthrough {
    const NAME: &'static str = "passthrough";
    const ABOUT: &'static str = "One network as it is or scaled, to stack layers";

    fn validate(&self) -> Result<()> {
        self.scale.each("scale", "a number", |_| true)
    }
}

impl MergeMethod for Passthrough {
    fn needs(&self) -> Needs {
        Needs { base: BaseNeed::Unknown, least: 1, most: Some(1) }
    }

    fn per_member(&self) -> Vec<(&'static str, &PerMember)> {
        vec![("scale", &self.scale)]
    }

    fn copies(&self) -> bool {
        self.scale.of(0) == 1.0
    }

    fn merge(&self, work: &Work<'_>) -> Result<()> {
        let scale = self.scale.of(0) as f32;
        work.write(Cut::NUMBERS, |block, out| {
            combine(block, 0.0, &[scale], out);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::merged;

    #[test]
    fn it_copies_or_scales() {
        let values = [1.5, -0.0, f32::MIN_POSITIVE / 8.0];
        let copy = merged(&Passthrough::default(), &[3], &[&values], None).unwrap();
        assert_eq!(copy.map_bits(), values.to_vec().map_bits());
        let half = Passthrough { scale: PerMember::Each(vec![0.5]) };
        assert_eq!(merged(&half, &[1], &[&[3.0]], None).unwrap(), [1.5]);
        assert!(merged(&half, &[1], &[&[3.0], &[3.0]], None).is_err());
    }

    trait Bits {
        fn map_bits(self) -> Vec<u32>;
    }

    impl Bits for Vec<f32> {
        fn map_bits(self) -> Vec<u32> {
            self.into_iter().map(f32::to_bits).collect()
        }
    }
}
