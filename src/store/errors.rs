//! What SQLite and the system say, in the words of the door.

use crate::core::store::StoreError;
use rusqlite::ErrorCode;
use std::io;

pub fn of_sqlite(error: &rusqlite::Error) -> StoreError {
    let rusqlite::Error::SqliteFailure(failure, text) = error else {
        // A value of another type or length than was written.
        return StoreError::Damaged;
    };
    match failure.code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => StoreError::Busy,
        ErrorCode::DiskFull => StoreError::Full,
        ErrorCode::SystemIoFailure => StoreError::Broken,
        ErrorCode::ReadOnly => StoreError::ReadOnly,
        ErrorCode::PermissionDenied | ErrorCode::CannotOpen => StoreError::Denied,
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => StoreError::Damaged,
        _ => StoreError::Other(text.clone().unwrap_or_else(|| failure.to_string())),
    }
}

pub fn of_system(error: &io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::PermissionDenied => StoreError::Denied,
        io::ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full,
        _ => StoreError::Other(error.to_string()),
    }
}
