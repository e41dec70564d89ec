//! Numbers that callers give.

use std::time::Duration;

use pyo3::{Borrowed, exceptions::PyOverflowError, inspect::PyStaticExpr, prelude::*};

use crate::error::bad_argument;

/// A whole number. One that is out of range is a `BadArgument`, and no bare `OverflowError`.
#[derive(Clone, Copy)]
pub(crate) struct Number<T>(pub(crate) T);

/// A length of time in seconds.
#[derive(Clone, Copy)]
pub(crate) struct Seconds(pub(crate) Duration);

impl Number<usize> {
    /// The number, unless it is nothing.
    pub(crate) fn at_least_one(self, py: Python<'_>, what: &str) -> PyResult<usize> {
        if self.0 == 0 {
            return Err(bad_argument(py, &format!("0 {what} are none"), "ask for at least 1"));
        }
        Ok(self.0)
    }
}

impl<'a, 'py, T> FromPyObject<'a, 'py> for Number<T>
where
    T: FromPyObject<'a, 'py, Error = PyErr>,
{
    type Error = PyErr;

    const INPUT_TYPE: PyStaticExpr = T::INPUT_TYPE;

    fn extract(number: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let range = "give a number that is not negative, and no larger one than makes sense";
        T::extract(number).map(Self).map_err(|error| in_range(number, error, range))
    }
}

impl<'a, 'py> FromPyObject<'a, 'py> for Seconds {
    type Error = PyErr;

    const INPUT_TYPE: PyStaticExpr = <f64 as FromPyObject<'a, 'py>>::INPUT_TYPE;

    fn extract(number: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let range = "give seconds, such as 2 or 0.5";
        let seconds = f64::extract(number).map_err(|error| in_range(number, error, range))?;
        let length = Duration::try_from_secs_f64(seconds).map_err(|_| {
            let what = format!("{seconds} is no length of time in seconds");
            bad_argument(number.py(), &what, range)
        })?;
        Ok(Self(length.min(LONGEST)))
    }
}

/// An error of reading a number, as a `BadArgument` where the number is to blame.
fn in_range(number: Borrowed<'_, '_, PyAny>, error: PyErr, range: &str) -> PyErr {
    let py = number.py();
    if error.is_instance_of::<PyOverflowError>(py) {
        bad_argument(py, &format!("the number is out of range: {}", error.value(py)), range)
    } else {
        error
    }
}

/// A hundred years: nobody waits for longer, and clocks cannot count without end.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
