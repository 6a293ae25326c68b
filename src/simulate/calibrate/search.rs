//! The least of a function without derivatives: the simplex of Nelder and Mead (1965), with its usual coefficients.

/// Looks from `start` on, with steps that far, for about so many evaluations; gives the best point.
///
/// # Errors
///
/// Those of the function.
pub(super) fn least<const N: usize, E>(
    start: [f64; N],
    steps: [f64; N],
    evaluations: usize,
    of: &mut dyn FnMut(&[f64; N]) -> Result<f64, E>,
) -> Result<[f64; N], E> {
    let mut simplex = vec![(of(&start)?, start)];
    for (at, step) in steps.into_iter().enumerate() {
        let mut point = start;
        point[at] += step;
        simplex.push((of(&point)?, point));
    }
    let mut spent = simplex.len();
    while spent < evaluations {
        simplex.sort_by(|one, other| one.0.total_cmp(&other.0));
        let Some((worst, rest)) = simplex.split_last_mut() else { break };
        let mut centre = [0.0; N];
        for (_, point) in rest.iter() {
            centre.iter_mut().zip(point).for_each(|(centre, it)| *centre += it / N as f64);
        }
        let from_centre = |times: f64, worst: &[f64; N]| {
            let mut point = centre;
            point.iter_mut().zip(worst).for_each(|(it, worst)| *it += times * (*it - worst));
            point
        };
        let (best, second) =
            (rest.first().map_or(worst.0, |it| it.0), rest.last().map_or(worst.0, |it| it.0));
        let reflected = from_centre(1.0, &worst.1);
        let value = of(&reflected)?;
        spent += 1;
        if value < best {
            let expanded = from_centre(2.0, &worst.1);
            let further = of(&expanded)?;
            spent += 1;
            *worst = if further < value { (further, expanded) } else { (value, reflected) };
        } else if value < second {
            *worst = (value, reflected);
        } else {
            let times = if value < worst.0 { 0.5 } else { -0.5 };
            let contracted = from_centre(times, &worst.1);
            let nearer = of(&contracted)?;
            spent += 1;
            if nearer < worst.0.min(value) {
                *worst = (nearer, contracted);
            } else {
                let Some((first, others)) = simplex.split_first_mut() else { break };
                for (value, point) in others {
                    point.iter_mut().zip(first.1).for_each(|(it, first)| *it = f64::midpoint(*it, first));
                    *value = of(point)?;
                    spent += 1;
                }
            }
        }
    }
    simplex.sort_by(|one, other| one.0.total_cmp(&other.0));
    Ok(simplex.first().map_or(start, |it| it.1))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn the_bottom_of_a_curved_valley_is_found() {
        // Rosenbrock's (1960), whose least is at (1, 1).
        let mut of = |[x, y]: &[f64; 2]| -> Result<f64, Infallible> {
            Ok((1.0 - x).powi(2) + 100.0 * (y - x * x).powi(2))
        };
        let [x, y] = least([-1.2, 1.0], [0.5, 0.5], 300, &mut of).unwrap();
        assert!((x - 1.0).abs() < 1e-3 && (y - 1.0).abs() < 1e-3, "{x} {y}");
    }

    #[test]
    fn an_error_ends_it() {
        let mut left = 5;
        let mut of = |_: &[f64; 1]| {
            left -= 1;
            if left > 0 { Ok(f64::from(left)) } else { Err("stopped") }
        };
        assert_eq!(least([0.0], [1.0], 100, &mut of), Err("stopped"));
    }
}
