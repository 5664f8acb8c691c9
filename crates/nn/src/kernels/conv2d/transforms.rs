//! The transforms of Winograd's F(2 x 2, 3 x 3), each on many channels beside each other.

use pulp::{Arch, Simd, WithSimd};

/// From `N x N` numbers to `M x M`: the same rule along the columns, then along the rows.
pub(super) trait Rule<const N: usize, const M: usize>: Send + Sync {
    /// The rule along one line.
    fn line<S: Simd>(simd: S, x: [S::f32s; N]) -> [S::f32s; M];
}

/// `G g G^T` with `G = [[1, 0, 0], [1, 1, 1] / 2, [1, -1, 1] / 2, [0, 0, 1]]`.
pub(super) struct KernelToPoints;

impl Rule<3, 4> for KernelToPoints {
    #[inline(always)]
    fn line<S: Simd>(simd: S, [a, b, c]: [S::f32s; 3]) -> [S::f32s; 4] {
        let (half, ends) = (simd.splat_f32s(0.5), simd.add_f32s(a, c));
        let (more, less) = (simd.add_f32s(ends, b), simd.sub_f32s(ends, b));
        [a, simd.mul_f32s(half, more), simd.mul_f32s(half, less), c]
    }
}

/// The transpose of [`KernelToPoints`].
pub(super) struct PointsToKernel;

impl Rule<4, 3> for PointsToKernel {
    #[inline(always)]
    fn line<S: Simd>(simd: S, [a, b, c, d]: [S::f32s; 4]) -> [S::f32s; 3] {
        let half = simd.splat_f32s(0.5);
        let sum = simd.mul_f32s(half, simd.add_f32s(b, c));
        [simd.add_f32s(a, sum), simd.mul_f32s(half, simd.sub_f32s(b, c)), simd.add_f32s(sum, d)]
    }
}

/// `B^T d B` with `B^T = [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]]`.
pub(super) struct InputToPoints;

impl Rule<4, 4> for InputToPoints {
    #[inline(always)]
    fn line<S: Simd>(simd: S, [a, b, c, d]: [S::f32s; 4]) -> [S::f32s; 4] {
        [simd.sub_f32s(a, c), simd.add_f32s(b, c), simd.sub_f32s(c, b), simd.sub_f32s(b, d)]
    }
}

/// `A^T m A` with `A^T = [[1, 1, 1, 0], [0, 1, -1, -1]]`.
pub(super) struct PointsToOutput;

impl Rule<4, 2> for PointsToOutput {
    #[inline(always)]
    fn line<S: Simd>(simd: S, [a, b, c, d]: [S::f32s; 4]) -> [S::f32s; 2] {
        [simd.add_f32s(simd.add_f32s(a, b), c), simd.sub_f32s(simd.sub_f32s(b, c), d)]
    }
}

/// The transpose of [`PointsToOutput`].
pub(super) struct OutputToPoints;

impl Rule<2, 4> for OutputToPoints {
    #[inline(always)]
    fn line<S: Simd>(simd: S, [a, b]: [S::f32s; 2]) -> [S::f32s; 4] {
        [a, simd.add_f32s(a, b), simd.sub_f32s(a, b), simd.neg_f32s(b)]
    }
}

/// Where the numbers of tiles lie: `places` gives for each tile where it begins in the source and in the destination, and
/// from there the numbers of a tile are `from` and `to` apart: down, and across. All of them whole lanes.
pub(super) struct Tile<I> {
    pub places: I,
    pub from: [usize; 2],
    pub to: [usize; 2],
    /// Channels beside each other.
    pub width: usize,
}

/// Applies a rule to tiles.
#[inline]
pub(super) fn apply<R: Rule<N, M>, const N: usize, const M: usize>(
    tiles: Tile<impl Iterator<Item = (usize, usize)>>,
    source: &[f32],
    out: &mut [f32],
) {
    Arch::new().dispatch(Work { rule: std::marker::PhantomData::<R>, tiles, source, out });
}

struct Work<'a, R, I, const N: usize, const M: usize> {
    rule: std::marker::PhantomData<R>,
    tiles: Tile<I>,
    source: &'a [f32],
    out: &'a mut [f32],
}

impl<R: Rule<N, M>, I: Iterator<Item = (usize, usize)>, const N: usize, const M: usize> WithSimd
    for Work<'_, R, I, N, M>
{
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { tiles: Tile { places, from, to, width }, source, out, .. } = self;
        let (source, out) = (S::as_simd_f32s(source).0, S::as_mut_simd_f32s(out).0);
        let lanes = S::F32_LANES;
        let (from, to) = (from.map(|n| n / lanes), to.map(|n| n / lanes));
        for (start, end) in places {
            let (start, end) = (start / lanes, end / lanes);
            for v in 0..width / lanes {
                let zero = simd.splat_f32s(0.0);
                let mut columns = [[zero; N]; M];
                for j in 0..N {
                    let mut line = [zero; N];
                    for (i, x) in line.iter_mut().enumerate() {
                        *x = source[start + v + i * from[0] + j * from[1]];
                    }
                    let line = R::line(simd, line);
                    for i in 0..M {
                        columns[i][j] = line[i];
                    }
                }
                for (i, line) in columns.into_iter().enumerate() {
                    for (j, y) in R::line(simd, line).into_iter().enumerate() {
                        out[end + v + i * to[0] + j * to[1]] = y;
                    }
                }
            }
        }
    }
}
