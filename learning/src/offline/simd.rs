//! Wide registers where the machine has them, without a second copy of any kernel.
//!
//! A kernel is a safe function that works on eight lanes at a time and is always inlined. It is compiled twice: as it is,
//! and where AVX2 may be used; which one runs is found out at run time. Neither fuses a multiplication with an addition
//! or reorders a sum, so both give the same bits (and so does every other machine).

/// Declares a function that runs `$kernel` with AVX2 where the machine has it.
macro_rules! dispatch {
    ($(#[$doc:meta])* $visible:vis fn $name:ident($($argument:ident: $kind:ty),* $(,)?) $(-> $result:ty)? = $kernel:path) => {
        $(#[$doc])*
        #[inline]
        #[allow(unsafe_code, reason = "calls of functions compiled for AVX2; see offline/simd.rs")]
        $visible fn $name($($argument: $kind),*) $(-> $result)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                fn wide($($argument: $kind),*) $(-> $result)? {
                    $kernel($($argument),*)
                }
                if std::arch::is_x86_feature_detected!("avx2") {
                    // SAFETY: the only thing that `wide` asks for is AVX2, and it was found just now.
                    return unsafe { wide($($argument),*) };
                }
            }
            $kernel($($argument),*)
        }
    };
}

pub(crate) use dispatch;

/// Eight numbers: one wide register.
pub(crate) type Lanes = [f32; 8];

/// The sum of two, four or eight numbers, in a fixed order.
#[inline(always)]
pub(crate) fn fold<const K: usize>(lanes: &[f32; K]) -> f32 {
    let (mut left, mut width) = (*lanes, K);
    while width > 1 {
        width /= 2;
        for lane in 0..width {
            left[lane] += left[lane + width];
        }
    }
    left[0]
}

/// The sum of eight numbers, in a fixed order. Its own function, because the compiler would otherwise pull the order of
/// this sum into the loop before it and work on pairs there.
#[inline(never)]
pub(crate) fn sum(lanes: &Lanes) -> f32 {
    let [a, b, c, d, e, f, g, h] = *lanes;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

/// The product of two vectors of the same length, a multiple of eight.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut total = [0.0; 8];
    for (a, b) in a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0) {
        for lane in 0..8 {
            total[lane] += a[lane] * b[lane];
        }
    }
    sum(&total)
}

/// Asks for the cache line of an element that is needed soon; of none where there is no such element.
#[inline(always)]
#[allow(
    unsafe_code,
    reason = "a hint without an effect on the program; learning from large tables waits for memory"
)]
pub(crate) fn prefetch<T>(table: &[T], at: usize) {
    #[cfg(target_arch = "x86_64")]
    if let Some(element) = table.get(at) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing, whatever its address, and this one is that of an element; it needs SSE, which
        // every x86-64 has.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(element).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (table, at);
}
