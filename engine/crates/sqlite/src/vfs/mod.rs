//! SQLite's C interface: a thin VFS over whatever VFS is below.
//!
//! [`host`] registers; [`shim`] is the VFS object and decides at `xOpen` what a file is; [`callbacks`] is what SQLite
//! calls, [`file`] what that does to an [`open_file`], which SQLite knows by its [`shim_file`], and which is one of six
//! kinds; [`given`] collects what a main database is opened with, and [`database`] takes it from a name to a key, as far as
//! nobody else [`sharing`] its cache may use it without having shown one ([`proofs`]); [`control`] says what file controls
//! and pragmas mean to a file, whatever it is; [`base`] is the file below, and [`map`] what it is read from, and [`writer`]
//! a thread that writes to it; [`report`] turns faults into codes;
//! [`checkpoint`] says when blocks of the main file may wait for each other; [`command`] carries out what a connection
//! is told to do beyond SQL, [`users`] knows which connections use a file, [`header_edit`] writes what that changes in the header, [`rekey`] changes the data key, with
//! [`renewal`] for the blocks; [`passphrase`] is `PRAGMA lumo_change_key` and [`rekey_pragma`] is `PRAGMA lumo_rekey`, for which [`own_connection`] takes SQLite's lock; [`wal_index`] is SQLite's shared memory, and [`shm_lock`] its locks;
//! [`evidence`] copies logs that a recovery is about to lose, and [`orphans`] moves those aside that have no database;
//! [`mains`] knows the open main files and whose a log is, [`company`] the files and the statement of a connection;
//! [`dialects`] refuses what other products' statements would seem to do; [`guest`] is what another format has to offer;
//! [`observe`] counts calls and tells those who want to know ([`recorder`]). [`companions`] are the logs of a main file,
//! and [`own_file`] is how the engine reads one of them. All `unsafe` of the VFS is here.

pub mod base;
pub mod blame;
pub mod callbacks;
pub mod checkpoint;
pub mod command;
pub mod companions;
pub mod company;
pub mod control;
pub mod creation;
pub mod database;
pub mod dialects;
pub mod evidence;
pub mod file;
pub mod given;
pub mod guest;
pub mod header_edit;
pub mod host;
pub mod length;
pub mod mains;
pub mod map;
pub mod observe;
pub mod open_file;
pub mod orphans;
pub mod own_connection;
pub mod own_file;
pub mod passphrase;
pub mod probe;
pub mod proofs;
pub mod recorder;
pub mod rekey;
pub mod rekey_pragma;
pub mod renewal;
pub mod report;
pub mod sharing;
pub mod shim;
pub mod shim_file;
pub mod shm_lock;
pub mod users;
pub mod wal_index;
pub mod writer;

#[cfg(test)]
mod tests;
