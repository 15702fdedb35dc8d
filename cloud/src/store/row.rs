//! Reading columns into types that cannot be wrong.

use std::str::FromStr;

use postern_kit::clock::Timestamp;
use postern_proto::ids::Malformed;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::StoreError;

/// An identifier from its 16 bytes.
///
/// # Errors
/// [`StoreError`] if there is no such column or it holds something else.
pub fn id<T>(row: &SqliteRow, column: &'static str) -> Result<T, StoreError>
where
    T: for<'a> TryFrom<&'a [u8], Error = Malformed>,
{
    Ok(T::try_from(row.try_get::<&[u8], _>(column)?)?)
}

/// A name or another type that is read from its text.
///
/// # Errors
/// [`StoreError`] if there is no such column or it holds something else.
pub fn text<T: FromStr<Err = Malformed>>(row: &SqliteRow, column: &'static str) -> Result<T, StoreError> {
    Ok(row.try_get::<&str, _>(column)?.parse()?)
}

/// A digest or key of 32 bytes.
///
/// # Errors
/// [`StoreError`] if there is no such column or it holds something else.
pub fn bytes32(row: &SqliteRow, column: &'static str) -> Result<[u8; 32], StoreError> {
    let bytes = row.try_get::<&[u8], _>(column)?;
    bytes.try_into().map_err(|_| StoreError::Corrupt(column))
}

/// A time in milliseconds.
///
/// # Errors
/// [`StoreError`] if there is no such column or it holds something else.
pub fn time(row: &SqliteRow, column: &'static str) -> Result<Timestamp, StoreError> {
    Ok(Timestamp::from_unix_ms(row.try_get(column)?))
}

/// A name or another type that is read from its text, where there is one.
///
/// # Errors
/// [`StoreError`] if there is no such column or it holds something else.
pub fn optional_text<T: FromStr<Err = Malformed>>(
    row: &SqliteRow,
    column: &'static str,
) -> Result<Option<T>, StoreError> {
    let found = row.try_get::<Option<&str>, _>(column)?;
    Ok(found.map(str::parse).transpose()?)
}
