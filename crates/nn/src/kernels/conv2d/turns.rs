//! Planes of channels to places with their channels beside each other, and back: sixteen numbers at a time.

use std::ops::Range;

/// Rows of channels, `plane` apart, to places with their channels beside each other, `deep` apart.
pub(super) fn turn(x: &[f32], [channels, plane]: [usize; 2], out: &mut [f32], [places, deep]: [usize; 2]) {
    let turner = Turner::new();
    let fours = if places < 4 { 0 } else { channels / 4 * 4 };
    for c in (0..fours).step_by(4) {
        let row = |i: usize| &x[(c + i) * plane..][..places];
        let rows = [row(0), row(1), row(2), row(3)];
        for q in starts(places) {
            let mut block = [[0.0f32; 4]; 4];
            for (four, row) in block.iter_mut().zip(rows) {
                four.copy_from_slice(&row[q..q + 4]);
            }
            let out = &mut out[q * deep..];
            for (i, four) in turner.turned(block).iter().enumerate() {
                out[i * deep + c..i * deep + c + 4].copy_from_slice(four);
            }
        }
    }
    for c in fours..channels {
        for (q, v) in x[c * plane..][..places].iter().enumerate() {
            out[q * deep + c] = *v;
        }
    }
}

/// Places with channels beside each other, `deep` apart, to a run of each channel's plane.
pub(super) fn turn_back(y: &[f32], deep: usize, planes: &mut [&mut [f32]], span: Range<usize>) {
    let (turner, places) = (Turner::new(), span.len());
    for (four, planes) in planes.chunks_mut(4).enumerate() {
        let c = 4 * four;
        match planes {
            [p0, p1, p2, p3] if places >= 4 => {
                let runs = [p0, p1, p2, p3].map(|p| &mut p[span.clone()]);
                for q in starts(places) {
                    let mut block = [[0.0f32; 4]; 4];
                    for (i, four) in block.iter_mut().enumerate() {
                        four.copy_from_slice(&y[(q + i) * deep + c..(q + i) * deep + c + 4]);
                    }
                    let [a, b, d, e] = turner.turned(block);
                    runs[0][q..q + 4].copy_from_slice(&a);
                    runs[1][q..q + 4].copy_from_slice(&b);
                    runs[2][q..q + 4].copy_from_slice(&d);
                    runs[3][q..q + 4].copy_from_slice(&e);
                }
            }
            _ => {
                for (i, plane) in planes.iter_mut().enumerate() {
                    for (q, v) in plane[span.clone()].iter_mut().enumerate() {
                        *v = y[q * deep + c + i];
                    }
                }
            }
        }
    }
}

/// Where blocks of four begin; the last overlaps the one before where they do not come out even.
fn starts(places: usize) -> impl Iterator<Item = usize> {
    (0..places.div_ceil(4)).map(move |i| (4 * i).min(places - 4))
}

/// Exchanges rows and columns of blocks, with shuffles where the processor has them.
#[derive(Clone, Copy)]
struct Turner {
    #[cfg(target_arch = "x86_64")]
    shuffles: Option<pulp::core_arch::x86::Sse>,
}

impl Turner {
    fn new() -> Self {
        Self {
            #[cfg(target_arch = "x86_64")]
            shuffles: pulp::core_arch::x86::Sse::try_new(),
        }
    }

    #[inline(always)]
    fn turned(self, block: [[f32; 4]; 4]) -> [[f32; 4]; 4] {
        #[cfg(target_arch = "x86_64")]
        if let Some(sse) = self.shuffles {
            let [a, b, c, d]: [std::arch::x86_64::__m128; 4] =
                [pulp::cast(block[0]), pulp::cast(block[1]), pulp::cast(block[2]), pulp::cast(block[3])];
            let (ab, ba) = (sse._mm_unpacklo_ps(a, b), sse._mm_unpackhi_ps(a, b));
            let (cd, dc) = (sse._mm_unpacklo_ps(c, d), sse._mm_unpackhi_ps(c, d));
            return [
                pulp::cast(sse._mm_movelh_ps(ab, cd)),
                pulp::cast(sse._mm_movehl_ps(cd, ab)),
                pulp::cast(sse._mm_movelh_ps(ba, dc)),
                pulp::cast(sse._mm_movehl_ps(dc, ba)),
            ];
        }
        let mut out = [[0.0; 4]; 4];
        for (i, row) in block.iter().enumerate() {
            for (j, v) in row.iter().enumerate() {
                out[j][i] = *v;
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::reference::numbers;

    #[test]
    fn channels_come_to_lie_beside_each_other_and_go_back() {
        for (channels, places, deep) in [(1, 1, 16), (6, 3, 16), (9, 4, 16), (18, 7, 32), (16, 30, 16)] {
            let plane = places + 2;
            let x = numbers(channels * plane, 1);
            let mut out = vec![f32::NAN; places * deep];
            turn(&x, [channels, plane], &mut out, [places, deep]);
            for c in 0..channels {
                assert!((0..places).all(|q| out[q * deep + c] == x[c * plane + q]), "{channels} {places}");
            }
            let mut back = vec![0.0; channels * plane];
            let mut planes: Vec<&mut [f32]> = back.chunks_mut(plane).collect();
            turn_back(&out, deep, &mut planes, 1..places + 1);
            for (back, x) in back.chunks(plane).zip(x.chunks(plane)) {
                assert_eq!((back[0], &back[1..=places], back[places + 1]), (0.0, &x[..places], 0.0));
            }
        }
    }
}
